//! Starts the one command of the bare init, with as few system calls as will do.
//!
//! Without a terminal the child shares the parent's memory until it has executed the command,
//! as with `vfork`, and the parent stands still meanwhile: so no page is copied.

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

struct Order {
    launch: *const Launch,
    listen: *mut c_char,
    /// In memory that parent and child share even where they share nothing else.
    errno: *mut c_int,
}

/// A command that was started.
#[derive(Debug)]
pub struct Launched {
    /// Its process id.
    pub pid: i32,
    errno: *const c_int,
}

impl Launched {
    /// Why the command could not be executed, if that is known by now; the kind is that of
    /// `execvp(3)`. Known at once without a terminal, and with one when the child has ended.
    #[must_use]
    pub fn failure(&self) -> Option<io::Error> {
        // SAFETY: the page is never unmapped; the child may write it, so it is read anew.
        let errno = unsafe { self.errno.read_volatile() };
        (errno != 0).then(|| io::Error::from_raw_os_error(errno))
    }
}

/// Starts the command, which leads a process group of its own.
///
/// On a terminal the child gets a copy of the memory and nobody waits for it: somebody may
/// stop it by a key before it has executed the command, and a parent that stands still could
/// then not be told to continue it.
///
/// # Errors
/// There is no memory or no process left.
pub fn launch(launch: &Launch) -> io::Result<Launched> {
    let count = launch.arguments.count() - launch.command;
    let size = STACK + (count + 2) * size_of::<*const c_char>();
    let size = size.next_multiple_of(4096);
    // SAFETY: an anonymous mapping at an address of the kernel's choice.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let mut listen = [0; LISTEN_LENGTH];
    let errno = memory.cast::<c_int>();
    let mut order = Order {
        launch,
        listen: prepare_listen_pid(&mut listen),
        errno,
    };
    let together = match launch.terminal {
        None => libc::CLONE_VM | libc::CLONE_VFORK,
        Some(_) => 0,
    };
    // SAFETY: the mapping is `size` bytes long; its end is where a stack begins.
    let top = unsafe { memory.add(size) };
    // SAFETY: the child runs on a stack of its own, of which the parent uses the other end
    // alone, and only calls what is async-signal-safe. Where it shares memory, CLONE_VFORK
    // keeps `order` alive and untouched until it is gone.
    let pid = unsafe {
        libc::clone(
            child,
            top,
            together | libc::SIGCHLD,
            (&raw mut order).cast::<c_void>(),
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Launched { pid, errno })
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

extern "C" fn child(order: *mut c_void) -> c_int {
    // SAFETY: the parent passed a valid `Order`; this is a copy of it, or it stands still.
    let order = unsafe { &*order.cast::<Order>() };
    // SAFETY: as above.
    let launch = unsafe { &*order.launch };
    // SAFETY: no preconditions.
    unsafe { libc::setpgid(0, 0) };
    if let Some(terminal) = launch.terminal {
        // The caller is in the background now; SIGTTOU is blocked, so this does not stop it.
        let own = rustix::process::getpid().as_raw_nonzero().get();
        // SAFETY: takes two integers.
        unsafe { libc::tcsetpgrp(terminal, own) };
    }
    if !order.listen.is_null() {
        write_pid(order.listen);
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
    let errno = io::Error::last_os_error().raw_os_error();
    // SAFETY: the page is shared, writable and aligned.
    unsafe { order.errno.write_volatile(errno.unwrap_or(libc::EINVAL)) };
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
