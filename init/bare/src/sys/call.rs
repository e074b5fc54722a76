//! System calls, as the kernel's own documentation of each machine has them (`syscall(2)`).

use core::arch::{asm, naked_asm};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm")))]
compile_error!("write the system calls of this architecture");

/// Calls the kernel. What it returns is negative where it failed: the error number.
///
/// # Safety
/// The arguments must be what this call takes, and pointers among them valid for it.
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller vouches for the arguments; the two registers that the instruction
    // overwrites are declared.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller vouches for the arguments.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    #[cfg(target_arch = "arm")]
    // SAFETY: the caller vouches for the arguments.
    unsafe {
        asm!(
            "svc #0",
            in("r7") number,
            inlateout("r0") a => result,
            in("r1") b, in("r2") c, in("r3") d, in("r4") e, in("r5") f,
            options(nostack),
        );
    }
    result
}

/// `clone(2)` with a stack of its own for the child, which calls `child` with `argument` and
/// never comes back from it. Returns the child's process id, or a negative error number.
///
/// # Safety
/// `top` must be the end of memory that nobody else uses, aligned to 16 bytes and large enough
/// for `child`; `argument` must be what `child` takes.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn clone(
    flags: usize,
    top: *mut u8,
    argument: *const u8,
    child: unsafe extern "C" fn(*const u8) -> !,
) -> isize {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "sub rsi, 16",
        "mov [rsi], rcx",
        "mov [rsi + 8], rdx",
        "xor edx, edx",
        "xor r10d, r10d",
        "xor r8d, r8d",
        "mov eax, {number}",
        "syscall",
        "test eax, eax",
        "jz 2f",
        "ret",
        "2:",
        "xor ebp, ebp",
        "pop rax",
        "pop rdi",
        "call rax",
        "ud2",
        number = const libc::SYS_clone,
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x3, x2, [x1, #-16]!",
        "mov x2, xzr",
        "mov x3, xzr",
        "mov x4, xzr",
        "mov x8, #{number}",
        "svc #0",
        "cbz x0, 2f",
        "ret",
        "2:",
        "ldp x1, x0, [sp], #16",
        "mov x29, xzr",
        "blr x1",
        "brk #1",
        number = const libc::SYS_clone,
    );
    // The fourth argument of the call is the thread pointer here, and the fifth is not used.
    #[cfg(target_arch = "arm")]
    naked_asm!(
        "push {{r4, r7}}",
        "stmdb r1!, {{r2, r3}}",
        "mov r2, #0",
        "mov r3, #0",
        "mov r4, #0",
        "mov r7, #{number}",
        "svc #0",
        "cmp r0, #0",
        "beq 2f",
        "pop {{r4, r7}}",
        "bx lr",
        "2:",
        "pop {{r0, r1}}",
        "blx r1",
        "udf #0",
        number = const libc::SYS_clone,
    );
}
