//! Where the kernel, or the dynamic linker, enters the program.
//!
//! The C library needs a while until it comes to `main`: it relocates the program and asks the
//! processor for its features, which takes most of a millisecond in a nested virtual machine.
//! A SIGTERM in that time would be lost, so every signal is blocked before it begins. Nothing
//! is relocated here and no register but those of the system call may change, hence assembly:
//! one call of `rt_sigprocmask`, then the C library's own entry.

#![expect(unsafe_code, reason = "the entry point is a piece of assembly")]

use std::arch::naked_asm;

use cib_init::sys::start::INHERITED_MASK;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm")))]
compile_error!("write the entry point of this architecture");

/// `rdx` is what the dynamic linker wants to be called at the end.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn cib_init_entry() {
    naked_asm!(
        "mov r8, rdx",
        "mov edi, {set}",
        "lea rsi, [rip + {mask}]",
        "mov rdx, rsi",
        "mov r10d, 8",
        "mov eax, {call}",
        "syscall",
        "mov rdx, r8",
        "jmp _start",
        set = const libc::SIG_SETMASK,
        call = const libc::SYS_rt_sigprocmask,
        mask = sym INHERITED_MASK,
    )
}

/// `x0` is what the dynamic linker wants to be called at the end.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn cib_init_entry() {
    naked_asm!(
        "mov x9, x0",
        "mov x0, #{set}",
        "adrp x1, {mask}",
        "add x1, x1, :lo12:{mask}",
        "mov x2, x1",
        "mov x3, #8",
        "mov x8, #{call}",
        "svc #0",
        "mov x0, x9",
        "b _start",
        set = const libc::SIG_SETMASK,
        call = const libc::SYS_rt_sigprocmask,
        mask = sym INHERITED_MASK,
    )
}

/// `r0` is what the dynamic linker wants to be called at the end.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn cib_init_entry() {
    naked_asm!(
        "mov r9, r0",
        "mov r0, #{set}",
        "ldr r1, 3f",
        "2: add r1, pc, r1",
        "mov r2, r1",
        "mov r3, #8",
        "mov r7, #{call}",
        "svc #0",
        "mov r0, r9",
        "b _start",
        ".p2align 2",
        // In ARM state `pc` is two instructions ahead.
        "3: .word {mask} - (2b + 8)",
        set = const libc::SIG_SETMASK,
        call = const libc::SYS_rt_sigprocmask,
        mask = sym INHERITED_MASK,
    )
}
