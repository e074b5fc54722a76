//! Where the kernel, or the dynamic linker of a debug build, enters the program.
//!
//! A SIGTERM that comes before a program can handle it is lost, so the first thing is one call
//! of `rt_sigprocmask` that blocks every signal. Then comes the bare init, unless it is not for
//! it: then the C library begins as if nothing had been before.
//!
//! The function is in assembly because nothing but the registers of the call may change: the
//! C library's entry takes the stack as the kernel made it, and from the dynamic linker what to
//! call at the end.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::signal::SignalSet;
use crate::sys::process::{self, Process};
use crate::{program, sys::kernel};

/// The entry point gives this word to `rt_sigprocmask` twice: as the set to block, and as the
/// place for what was blocked before.
static INHERITED_MASK: AtomicU64 = AtomicU64::new(u64::MAX);

/// The signals that were blocked when the process started.
pub(super) fn inherited_mask() -> SignalSet {
    SignalSet::from_bits(INHERITED_MASK.load(Ordering::Relaxed))
}

/// `rdx` is what the dynamic linker wants to be called at the end.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn cib_init_entry() {
    naked_asm!(
        "mov r12, rdx",
        "mov edi, {set}",
        "lea rsi, [rip + {mask}]",
        "mov rdx, rsi",
        "mov r10d, 8",
        "mov eax, {number}",
        "syscall",
        "mov rdi, rsp",
        "mov rbx, rsp",
        "xor ebp, ebp",
        "and rsp, -16",
        "call {begin}",
        "mov rsp, rbx",
        "mov rdx, r12",
        "jmp _start",
        set = const libc::SIG_SETMASK,
        number = const libc::SYS_rt_sigprocmask,
        mask = sym INHERITED_MASK,
        begin = sym begin,
    )
}

/// `x0` is what the dynamic linker wants to be called at the end.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn cib_init_entry() {
    naked_asm!(
        "mov x19, x0",
        "mov x0, #{set}",
        "adrp x1, {mask}",
        "add x1, x1, :lo12:{mask}",
        "mov x2, x1",
        "mov x3, #8",
        "mov x8, #{number}",
        "svc #0",
        "mov x0, sp",
        "mov x29, xzr",
        "bl {begin}",
        "mov x0, x19",
        "b _start",
        set = const libc::SIG_SETMASK,
        number = const libc::SYS_rt_sigprocmask,
        mask = sym INHERITED_MASK,
        begin = sym begin,
    )
}

/// `r0` is what the dynamic linker wants to be called at the end.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn cib_init_entry() {
    naked_asm!(
        "mov r4, r0",
        "mov r0, #{set}",
        "ldr r1, 3f",
        "2: add r1, pc, r1",
        "mov r2, r1",
        "mov r3, #8",
        "mov r7, #{number}",
        "svc #0",
        "mov r0, sp",
        "bl {begin}",
        "mov r0, r4",
        "b _start",
        ".p2align 2",
        // In ARM state `pc` is two instructions ahead.
        "3: .word {mask} - (2b + 8)",
        set = const libc::SIG_SETMASK,
        number = const libc::SYS_rt_sigprocmask,
        mask = sym INHERITED_MASK,
        begin = sym begin,
    )
}

/// `stack` is what the kernel put there: the number of arguments, the arguments, and the
/// environment, each list with a null pointer behind it.
unsafe extern "C" fn begin(stack: *const usize) {
    // SAFETY: called once, by the entry point, with the stack as the kernel made it.
    unsafe { process::note(stack) };
    if let Some(code) = program::begin(Process::given()) {
        kernel::exit(code);
    }
}
