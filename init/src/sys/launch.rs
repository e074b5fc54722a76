//! Starts the one command of the bare init, with as few system calls as will do.
//!
//! The child shares the parent's memory until it has executed the command, as with `vfork`,
//! and the parent stands still meanwhile: so no page is copied, and the child can leave the
//! reason of a failure in a variable.

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::ptr;

use super::signal::{self, SignalSet};
use super::start::{self, Arguments};

/// What the command is given.
#[derive(Debug)]
pub struct Launch {
    /// The process's arguments, and which of them is the command.
    pub arguments: Arguments,
    /// Number of the argument that names the command.
    pub command: usize,
    /// Signals that are blocked in it.
    pub mask: SignalSet,
    /// Whether SIGCHLD is ignored in it.
    pub ignore_child: bool,
    /// A descriptor of the terminal of which its group becomes the foreground group.
    pub terminal: Option<c_int>,
}

/// Room for what the child does before it executes: the C library's search along `PATH`
/// keeps one path on the stack, and a copy of the argument array if the file turns out to be
/// a script without an interpreter line.
const STACK: usize = 64 * 1024;
/// `LISTEN_PID=`, ten digits, and the final NUL.
const LISTEN_LENGTH: usize = 22;

struct Shared {
    launch: *const Launch,
    listen: *mut c_char,
    errno: c_int,
}

/// Runs the command and returns its process id once it has been executed. It leads a process
/// group of its own.
///
/// # Errors
/// There is no memory or no process left, or the command cannot be executed: then the kind
/// is that of `execvp(3)`.
pub fn launch(launch: &Launch) -> io::Result<i32> {
    let count = launch.arguments.count() - launch.command;
    let size = STACK + (count + 2) * size_of::<*const c_char>();
    let size = size.next_multiple_of(4096);
    // SAFETY: an anonymous mapping at an address of the kernel's choice.
    let stack = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if stack == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let mut listen = [0; LISTEN_LENGTH];
    let mut shared = Shared {
        launch,
        listen: prepare_listen_pid(&mut listen),
        errno: 0,
    };
    // SAFETY: the mapping is `size` bytes long; its end is where a stack begins.
    let top = unsafe { stack.add(size) };
    // SAFETY: the child runs on a stack of its own, only calls what is async-signal-safe, and
    // CLONE_VFORK keeps `shared`, which it writes, alive and untouched until it is gone.
    let pid = unsafe {
        libc::clone(
            child,
            top,
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut shared).cast::<c_void>(),
        )
    };
    let failed = io::Error::last_os_error();
    // SAFETY: the mapping is ours, and the child no longer runs on it.
    unsafe { libc::munmap(stack, size) };
    // SAFETY: the child wrote it through a pointer; read it anew.
    let errno = unsafe { (&raw const shared.errno).read_volatile() };
    if pid < 0 {
        Err(failed)
    } else if errno != 0 {
        // The child has exited with 127; take it before anybody wonders whose it was.
        // SAFETY: a null status pointer is allowed.
        unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
        Err(io::Error::from_raw_os_error(errno))
    } else {
        Ok(pid)
    }
}

/// Points an environment entry `LISTEN_PID=<our pid>` to `buffer`, for the child to write its
/// own number there: socket activation names the process that the sockets are meant for.
fn prepare_listen_pid(buffer: &mut [c_char; LISTEN_LENGTH]) -> *mut c_char {
    const NAME: &[u8] = b"LISTEN_PID=";
    let mut entry = start::environment().cast_mut();
    if entry.is_null() {
        return ptr::null_mut();
    }
    loop {
        // SAFETY: the array ends with a null pointer, at which the loop stops.
        let text = unsafe { entry.read() };
        if text.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: the kernel ended each entry with NUL.
        let bytes = unsafe { std::ffi::CStr::from_ptr(text) }.to_bytes();
        if let Some(value) = bytes.strip_prefix(NAME) {
            let own = rustix::process::getpid().as_raw_nonzero().get();
            let named = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            if named != Some(own) {
                return ptr::null_mut();
            }
            for (to, from) in buffer.iter_mut().zip(NAME) {
                *to = from.cast_signed() as c_char;
            }
            // SAFETY: the slot is in the array that the kernel made for this process.
            unsafe { entry.write(buffer.as_ptr()) };
            // SAFETY: the digits follow the name, and `buffer` is longer than that.
            return unsafe { buffer.as_mut_ptr().add(NAME.len()) };
        }
        // SAFETY: not yet at the final null pointer.
        entry = unsafe { entry.add(1) };
    }
}

extern "C" fn child(shared: *mut c_void) -> c_int {
    // SAFETY: the parent passed a valid `Shared`, and stands still.
    let shared = unsafe { &mut *shared.cast::<Shared>() };
    // SAFETY: as above.
    let launch = unsafe { &*shared.launch };
    // SAFETY: no preconditions.
    unsafe { libc::setpgid(0, 0) };
    if let Some(terminal) = launch.terminal {
        // The caller is in the background now; SIGTTOU is blocked, so this does not stop it.
        let own = rustix::process::getpid().as_raw_nonzero().get();
        // SAFETY: takes two integers.
        unsafe { libc::tcsetpgrp(terminal, own) };
    }
    if !shared.listen.is_null() {
        write_pid(shared.listen);
    }
    if launch.ignore_child {
        signal::set_ignored(libc::SIGCHLD, true);
    }
    signal::set_mask(launch.mask);
    let argv = launch.arguments.tail(launch.command);
    // SAFETY: the array is the kernel's own, and its first entry is the command.
    let file = unsafe { argv.read() };
    // SAFETY: the array ends with a null pointer; the environment is `environ`, which the C
    // library took from the same place.
    unsafe { libc::execvp(file, argv) };
    shared.errno = io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL);
    127
}

/// Writes the caller's process id in decimal and a final NUL; at most eleven bytes.
fn write_pid(to: *mut c_char) {
    let mut digits = [0_u8; 10];
    let mut left = rustix::process::getpid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs();
    let mut at = digits.len();
    while left > 0 && at > 0 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    let digits = &digits[at..];
    let count = digits.len();
    // SAFETY: `to` has room for ten digits and a NUL, see LISTEN_LENGTH.
    unsafe { ptr::copy_nonoverlapping(digits.as_ptr().cast::<c_char>(), to, count) };
    // SAFETY: as above.
    let end = unsafe { to.add(count) };
    // SAFETY: as above.
    unsafe { end.write(0) };
}
