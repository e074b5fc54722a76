//! Starts the bare init's command, and closes what belongs to the command.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::unistd::Pid;

/// What the child may take of stack to begin with, in bytes.
const STACK: usize = 64 * 1024;

/// Makes a child that does `act`, which becomes another program or says why it cannot. Returns
/// only in the parent, when the child has done either: until then both work on the same memory,
/// as with `posix_spawn(3)`, which knows nothing of terminals that are given away. A copy of the
/// memory, which the child leaves at once, takes a part of a start that is seen.
///
/// Searching a program in `PATH` takes stack for each of its `words`.
///
/// # Errors
/// There is no memory or no process left.
pub fn start<A: FnMut() -> u8>(words: usize, mut act: A) -> nix::Result<Pid> {
    extern "C" fn enter<A: FnMut() -> u8>(act: *mut c_void) -> c_int {
        // SAFETY: what `start` was given, who waits for this child.
        let act = unsafe { &mut *act.cast::<A>() };
        c_int::from(act())
    }
    let mut stack: Vec<MaybeUninit<u128>> = Vec::new();
    stack.reserve_exact(STACK / size_of::<u128>() + words);
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is the child's alone, and is there until the child has other memory or
    // none. The process has one thread, which does nothing meanwhile, and every signal is blocked.
    let pid = unsafe { libc::clone(enter::<A>, top.cast(), flags, (&raw mut act).cast()) };
    Errno::result(pid).map(Pid::from_raw)
}

/// The standard descriptors, whether or not they are open.
#[must_use]
pub fn standard() -> [BorrowedFd<'static>; 3] {
    // SAFETY: nobody asks more of them than which terminal they are, before they are closed; one
    // that is not open is an error of the kernel's.
    [0, 1, 2].map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Closes every descriptor but standard error. Nothing in the process may use another.
pub fn close_all_but_stderr() {
    for (low, high) in [(0, 1), (3, libc::c_uint::MAX)] {
        // SAFETY: nothing in the process refers to those numbers any more.
        if unsafe { libc::close_range(low, high, 0) } == 0 {
            continue;
        }
        // An old kernel, or a filter that does not know the call.
        for fd in low..=high.min(4096) {
            // SAFETY: as above; those that are not open do not matter.
            unsafe { libc::close(fd.cast_signed()) };
        }
    }
}
