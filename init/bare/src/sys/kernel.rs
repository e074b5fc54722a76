//! The system calls of the bare init, each as one function.

use core::mem::MaybeUninit;

use super::call::call;
use crate::signal::SignalSet;
use crate::time::Time;

/// Bytes of a kernel's signal set.
const SET: usize = size_of::<u64>();
/// Words of `struct sigaction` as the kernel has it: the handler comes first everywhere, and it
/// is nowhere longer.
const ACTION: usize = 4;

/// An error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

/// What the kernel said, apart from a failure.
pub(super) fn check(result: isize) -> Result<usize, Errno> {
    if result < 0 {
        Err(Errno(-(result as i32)))
    } else {
        Ok(result.unsigned_abs())
    }
}

/// Seconds and nanoseconds, in the width that the calls used here take: a clock that counts
/// from the machine's start fits into 32 bits.
#[repr(C)]
struct Timespec {
    seconds: isize,
    nanos: isize,
}

pub(crate) fn exit(code: u8) -> ! {
    loop {
        // SAFETY: takes an integer, and does not return.
        unsafe { call(libc::SYS_exit_group, [usize::from(code), 0, 0, 0, 0, 0]) };
    }
}

pub(crate) fn own_pid() -> i32 {
    // SAFETY: takes nothing.
    unsafe { call(libc::SYS_getpid, [0; 6]) as i32 }
}

/// Time on the monotonic clock.
pub(crate) fn now() -> Time {
    let mut time = Timespec {
        seconds: 0,
        nanos: 0,
    };
    let clock = libc::CLOCK_MONOTONIC as usize;
    // SAFETY: the place is valid for the call.
    unsafe {
        call(
            libc::SYS_clock_gettime,
            [clock, &raw mut time as usize, 0, 0, 0, 0],
        )
    };
    Time::new(time.seconds.unsigned_abs() as u64, time.nanos as u32)
}

/// Sends a signal: to a process, to a group if `target` is below -1, or to every process but
/// the caller and PID 1 if it is -1. Whoever is gone or not ours is passed over.
pub(crate) fn send(target: i32, signal: i32) {
    // SAFETY: takes two integers.
    unsafe {
        call(
            libc::SYS_kill,
            [target as usize, signal as usize, 0, 0, 0, 0],
        )
    };
}

/// Takes the next pending signal, all of which must be blocked; waits for one at most
/// `timeout`, or for ever. `None` when the time is over, or when the process was stopped and
/// continued meanwhile.
pub(crate) fn next_signal(timeout: Option<Time>) -> Option<i32> {
    let set = SignalSet::ALL.bits();
    let time = timeout.map(|timeout| Timespec {
        seconds: isize::try_from(timeout.seconds()).unwrap_or(isize::MAX),
        nanos: timeout.nanos() as isize,
    });
    let place = time.as_ref().map_or(0, |time| &raw const *time as usize);
    // SAFETY: the set is a word of the size given, and the time is null or valid for the call.
    let result = unsafe {
        call(
            libc::SYS_rt_sigtimedwait,
            [&raw const set as usize, 0, place, SET, 0, 0],
        )
    };
    check(result).ok().map(|signal| signal as i32)
}

/// Sets the mask of the process's one thread.
pub(super) fn set_mask(set: SignalSet) {
    let set = set.bits();
    let how = libc::SIG_SETMASK as usize;
    // SAFETY: the set is a word of the size given; the old one is not asked for.
    unsafe {
        call(
            libc::SYS_rt_sigprocmask,
            [how, &raw const set as usize, 0, SET, 0, 0],
        )
    };
}

/// Whether a signal's disposition is to be ignored.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut old = [0_u64; ACTION];
    let place = old.as_mut_ptr();
    // SAFETY: a null new action only asks, and the old one has room.
    unsafe {
        call(
            libc::SYS_rt_sigaction,
            [signal as usize, 0, place as usize, SET, 0, 0],
        )
    };
    // SAFETY: the handler is the first word.
    unsafe { place.cast::<usize>().read() == libc::SIG_IGN }
}

/// Gives a signal its default disposition, or lets it be ignored.
pub(crate) fn set_ignored(signal: i32, ignored: bool) {
    let mut action = [0_u64; ACTION];
    if ignored {
        // SAFETY: the handler is the first word.
        unsafe { action.as_mut_ptr().cast::<usize>().write(libc::SIG_IGN) };
    }
    let action = action.as_ptr() as usize;
    // SAFETY: neither disposition runs code of ours; the old action is not asked for.
    unsafe {
        call(
            libc::SYS_rt_sigaction,
            [signal as usize, action, 0, SET, 0, 0],
        )
    };
}

/// A child whose state changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed {
    pub(crate) pid: i32,
    pub(crate) status: i32,
}

/// Asks for one child that died, or stopped too if `stops`. Does not wait: `Ok(None)` if
/// nobody has.
pub(crate) fn wait_for_child(stops: bool) -> Result<Option<Changed>, Errno> {
    let mut status = 0_i32;
    let options = libc::WNOHANG | if stops { libc::WUNTRACED } else { 0 };
    // SAFETY: the place of the status is valid for the call.
    let result = unsafe {
        call(
            libc::SYS_wait4,
            [
                usize::MAX,
                &raw mut status as usize,
                options as usize,
                0,
                0,
                0,
            ],
        )
    };
    let pid = check(result)? as i32;
    Ok((pid > 0).then_some(Changed { pid, status }))
}

pub(crate) fn become_subreaper() -> Result<(), Errno> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
}

pub(crate) fn set_parent_death(signal: i32) -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, signal as usize)
}

fn prctl(option: i32, value: usize) -> Result<(), Errno> {
    // SAFETY: both options take an integer.
    let result = unsafe { call(libc::SYS_prctl, [option as usize, value, 0, 0, 0, 0]) };
    check(result).map(|_| ())
}

/// Goes to the root directory.
pub(crate) fn enter_root() {
    // SAFETY: the path is ended by NUL.
    unsafe { call(libc::SYS_chdir, [c"/".as_ptr() as usize, 0, 0, 0, 0, 0]) };
}

/// Makes the caller lead a process group of its own.
pub(super) fn lead_group() {
    // SAFETY: takes two integers.
    unsafe { call(libc::SYS_setpgid, [0; 6]) };
}

pub(crate) fn own_group() -> i32 {
    // SAFETY: takes an integer.
    unsafe { call(libc::SYS_getpgid, [0; 6]) as i32 }
}

/// The foreground group of the terminal behind a descriptor; 0 if it is not in our pid
/// namespace, `None` if there is no terminal of ours.
pub(crate) fn foreground_group(fd: i32) -> Option<i32> {
    let mut group = 0_i32;
    let place = &raw mut group as usize;
    // SAFETY: the call writes one integer.
    let result = unsafe {
        call(
            libc::SYS_ioctl,
            [fd as usize, libc::TIOCGPGRP as usize, place, 0, 0, 0],
        )
    };
    check(result).ok().map(|_| group)
}

/// Makes a group the foreground group of our terminal.
pub(crate) fn set_foreground_group(fd: i32, group: i32) {
    let place = &raw const group as usize;
    // SAFETY: the call reads one integer.
    unsafe {
        call(
            libc::SYS_ioctl,
            [fd as usize, libc::TIOCSPGRP as usize, place, 0, 0, 0],
        )
    };
}

/// Opens a path that ends with NUL; closed on exec.
pub(crate) fn open(path: &[u8], flags: i32) -> Result<i32, Errno> {
    let [.., 0] = path else {
        return Err(Errno(libc::ENOENT));
    };
    let at = libc::AT_FDCWD as usize;
    let flags = (flags | libc::O_CLOEXEC) as usize;
    // SAFETY: the path is ended by NUL.
    let result = unsafe {
        call(
            libc::SYS_openat,
            [at, path.as_ptr() as usize, flags, 0, 0, 0],
        )
    };
    check(result).map(|fd| fd as i32)
}

pub(crate) fn close(fd: i32) {
    // SAFETY: the descriptor was opened here, or is one that this process was given and does
    // not use.
    unsafe { call(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// Closes descriptors `low..=high`; those that are not open do not matter.
pub(crate) fn close_range(low: i32, high: i32) {
    // SAFETY: takes integers; nothing in the process refers to those numbers.
    let result = unsafe {
        call(
            libc::SYS_close_range,
            [low as usize, high as usize, 0, 0, 0, 0],
        )
    };
    if result < 0 {
        // An old kernel or a filter without the call.
        let mut fd = low;
        while fd <= high && fd <= 4096 {
            close(fd);
            fd += 1;
        }
    }
}

/// Reads into a buffer, and returns what was read.
pub(crate) fn read(fd: i32, buffer: &mut [MaybeUninit<u8>]) -> Result<&[u8], Errno> {
    fill(libc::SYS_read, fd, buffer)
}

/// Reads entries of a directory, as `getdents64(2)` has them.
pub(crate) fn entries(fd: i32, buffer: &mut [MaybeUninit<u8>]) -> Result<&[u8], Errno> {
    fill(libc::SYS_getdents64, fd, buffer)
}

fn fill(number: libc::c_long, fd: i32, buffer: &mut [MaybeUninit<u8>]) -> Result<&[u8], Errno> {
    let place = buffer.as_mut_ptr();
    // SAFETY: the buffer is as long as said.
    let result = unsafe { call(number, [fd as usize, place as usize, buffer.len(), 0, 0, 0]) };
    let count = check(result)?;
    // SAFETY: the kernel wrote so many bytes.
    Ok(unsafe { core::slice::from_raw_parts(place.cast::<u8>(), count) })
}

/// Writes some of these bytes, and returns how many.
pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    let place = bytes.as_ptr() as usize;
    // SAFETY: the buffer is as long as said.
    check(unsafe { call(libc::SYS_write, [fd as usize, place, bytes.len(), 0, 0, 0]) })
}

/// Writes pieces in one call, so that the line they make is not torn.
pub(crate) fn write_pieces(fd: i32, pieces: &[&[u8]]) {
    // A slice is the address and the length, in an order that nobody promises.
    let mut vectors = [const { MaybeUninit::<[usize; 2]>::uninit() }; 9];
    let mut count = 0;
    for (slot, piece) in vectors.iter_mut().zip(pieces) {
        slot.write([piece.as_ptr() as usize, piece.len()]);
        count += 1;
    }
    let place = vectors.as_ptr() as usize;
    // SAFETY: so many vectors were filled, each with a slice that lives.
    unsafe { call(libc::SYS_writev, [fd as usize, place, count, 0, 0, 0]) };
}

/// Fresh memory of our own, all zero, that takes no room until it is used; null if there is
/// none.
pub(super) fn map(size: usize, flags: i32) -> *mut u8 {
    // The call counts pages of 4096 bytes on 32-bit machines; the offset is 0 in any case.
    #[cfg(target_arch = "arm")]
    let number = libc::SYS_mmap2;
    #[cfg(not(target_arch = "arm"))]
    let number = libc::SYS_mmap;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = flags | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: an anonymous mapping at an address of the kernel's choice.
    let result = unsafe {
        call(
            number,
            [0, size, protection as usize, flags as usize, usize::MAX, 0],
        )
    };
    // An address may look negative on a 32-bit machine; errors are the last page.
    if (-4095..0).contains(&result) {
        core::ptr::null_mut()
    } else {
        core::ptr::with_exposed_provenance_mut(result as usize)
    }
}

/// Gives memory of [`map`] back, which nobody may use any more.
pub(super) fn unmap(start: *mut u8, size: usize) {
    // SAFETY: the mapping is the caller's own and not used any more.
    unsafe { call(libc::SYS_munmap, [start as usize, size, 0, 0, 0, 0]) };
}
