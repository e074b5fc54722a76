//! Starts the one command, with as few system calls as will do.
//!
//! Without a terminal the child shares the parent's memory until it has executed the command,
//! as with `vfork`, and the parent stands still meanwhile: so no page is copied.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

use super::call::{call, clone};
use super::kernel::{self, Errno, check};
use super::process::Process;
use crate::signal::SignalSet;
use crate::text::{Digits, number};

/// What the command is given.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The process as it was started.
    pub(crate) process: Process,
    /// Number of the argument that names the command.
    pub(crate) command: usize,
    /// Signals that are blocked in it.
    pub(crate) mask: SignalSet,
    /// Whether SIGCHLD is ignored in it.
    pub(crate) ignore_child: bool,
    /// A descriptor of the terminal of which its group becomes the foreground group.
    pub(crate) terminal: Option<i32>,
}

/// Room for what the child does before it executes: a path that it tries, and little else.
const STACK: usize = 64 * 1024;
/// The longest path that is tried, the final NUL included: `PATH_MAX`.
const PATH_MAX: usize = 4096;
/// Where commands are looked for if nobody says, as `execvp(3)` has it.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
const LISTEN_PID: &[u8] = b"LISTEN_PID=";
/// The name, ten digits, and the final NUL.
const LISTEN_LENGTH: usize = 22;
const SHELL: &CStr = c"/bin/sh";

struct Order<'a> {
    launch: &'a Launch,
    /// Where the child writes its number if an environment entry points there.
    listen: Option<&'a UnsafeCell<[u8; LISTEN_LENGTH]>>,
    /// In memory that parent and child share even where they share nothing else.
    shared: *mut Shared,
    /// Room for the arguments of a shell.
    arguments: *mut *const c_char,
}

#[repr(C)]
struct Shared {
    errno: i32,
}

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    /// Its process id.
    pub(crate) pid: i32,
    shared: *const Shared,
}

impl Launched {
    /// Why the command could not be executed, if that is known by now; the number is that of
    /// `execvp(3)`. Known at once without a terminal, and with one when the child has ended.
    pub(crate) fn failure(&self) -> Option<Errno> {
        // SAFETY: the page is never unmapped.
        let place = unsafe { &raw const (*self.shared).errno };
        // SAFETY: the child may write it, so it is read anew.
        let errno = unsafe { place.read_volatile() };
        (errno != 0).then_some(Errno(errno))
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
pub(crate) fn launch(launch: &Launch) -> Result<Launched, Errno> {
    let count = launch.process.count().saturating_sub(launch.command);
    // A shell gets one argument more, and the list its null pointer.
    let arguments = (count + 2) * size_of::<*const c_char>();
    // What is shared, the arguments, and the stack from the other end.
    let size = (size_of::<usize>() + arguments + STACK + 4095) & !4095;
    let memory = kernel::map(size, libc::MAP_SHARED);
    if memory.is_null() {
        return Err(Errno(libc::ENOMEM));
    }
    let listen = UnsafeCell::new([0; LISTEN_LENGTH]);
    let order = Order {
        launch,
        listen: wants_listen_pid(launch.process, &listen).then_some(&listen),
        shared: memory.cast(),
        // SAFETY: the mapping is longer than that.
        arguments: unsafe { memory.add(size_of::<usize>()) }.cast(),
    };
    let together = match launch.terminal {
        None => libc::CLONE_VM | libc::CLONE_VFORK,
        Some(_) => 0,
    };
    // SAFETY: the mapping is `size` bytes long; its end is where a stack begins.
    let top = unsafe { memory.add(size) };
    let flags = (together | libc::SIGCHLD) as usize;
    // SAFETY: the child runs on a stack of its own, of which the parent uses the other end
    // alone. Where it shares memory, CLONE_VFORK keeps `order` alive and untouched until the
    // child is gone; where not, it has a copy.
    let pid = check(unsafe { clone(flags, top, (&raw const order).cast(), child) })?;
    Ok(Launched {
        pid: pid as i32,
        shared: order.shared,
    })
}

/// Points an environment entry `LISTEN_PID=<our pid>` to `buffer`, for the child to write its
/// own number there: socket activation names the process that the sockets are meant for.
fn wants_listen_pid(process: Process, buffer: &UnsafeCell<[u8; LISTEN_LENGTH]>) -> bool {
    let Some((entry, value)) = process.variable(LISTEN_PID) else {
        return false;
    };
    if number(value) != Some(u64::from(kernel::own_pid().unsigned_abs())) {
        return false;
    }
    // SAFETY: the slot is in the array that the kernel made for this process.
    unsafe { entry.write(buffer.get().cast()) };
    true
}

unsafe extern "C" fn child(order: *const u8) -> ! {
    // SAFETY: the parent passed a valid `Order`; this is a copy of it, or it stands still.
    let order = unsafe { &*order.cast::<Order<'_>>() };
    let launch = order.launch;
    kernel::lead_group();
    if let Some(terminal) = launch.terminal {
        // The caller is in the background now; SIGTTOU is blocked, so this does not stop it.
        kernel::set_foreground_group(terminal, kernel::own_pid());
    }
    if let Some(buffer) = order.listen {
        // SAFETY: the parent stands still, or this is a copy.
        write_listen_pid(unsafe { &mut *buffer.get() });
    }
    if launch.ignore_child {
        kernel::set_ignored(libc::SIGCHLD, true);
    }
    kernel::set_mask(launch.mask);
    let Errno(errno) = execute(order);
    // SAFETY: the page is shared, writable and aligned.
    let place = unsafe { &raw mut (*order.shared).errno };
    // SAFETY: as above.
    unsafe { place.write_volatile(errno) };
    kernel::exit(crate::NOT_FOUND);
}

fn write_listen_pid(buffer: &mut [u8; LISTEN_LENGTH]) {
    let digits = Digits::of(kernel::own_pid().unsigned_abs());
    let text = LISTEN_PID.iter().chain(digits.as_bytes());
    for (to, from) in buffer.iter_mut().zip(text.chain(&[0])) {
        *to = *from;
    }
}

/// Executes the command as `execvp(3)` would; returns why that was not possible.
fn execute(order: &Order<'_>) -> Errno {
    let (process, command) = (order.launch.process, order.launch.command);
    let name = process.argument(command).unwrap_or_default();
    if name.split(|byte| *byte == b'/').nth(1).is_some() {
        // SAFETY: the kernel's own array, which is not at its end.
        return try_path(order, unsafe { process.tail(command).read() });
    }
    if name.is_empty() {
        return Errno(libc::ENOENT);
    }
    let path = process.variable(b"PATH=");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
    let mut room = MaybeUninit::<[u8; PATH_MAX]>::uninit();
    let mut denied = false;
    for folder in path.split(|byte| *byte == b':') {
        let Some(file) = join(&mut room, folder, name) else {
            continue;
        };
        match try_path(order, file).0 {
            libc::EACCES => denied = true,
            libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT => {}
            other => return Errno(other),
        }
    }
    Errno(if denied { libc::EACCES } else { libc::ENOENT })
}

/// Writes `folder/name` with its final NUL; an empty folder is the current one. `None` if that
/// is too long.
fn join(
    room: &mut MaybeUninit<[u8; PATH_MAX]>,
    folder: &[u8],
    name: &[u8],
) -> Option<*const c_char> {
    let slash: &[u8] = if folder.is_empty() { b"" } else { b"/" };
    if folder.len() + slash.len() + name.len() >= PATH_MAX {
        return None;
    }
    let start = room.as_mut_ptr().cast::<u8>();
    let text = folder.iter().chain(slash).chain(name).chain(&[0]);
    for (index, byte) in text.enumerate() {
        // SAFETY: all of them fit, as was just seen.
        let place = unsafe { start.add(index) };
        // SAFETY: as above.
        unsafe { place.write(*byte) };
    }
    Some(start.cast())
}

/// Executes a file; one without any format that the kernel knows is given to the shell.
fn try_path(order: &Order<'_>, file: *const c_char) -> Errno {
    let process = order.launch.process;
    let arguments = process.tail(order.launch.command);
    let failed = exec(file, arguments, process);
    if failed.0 != libc::ENOEXEC {
        return failed;
    }
    let mut place = order.arguments;
    // SAFETY: there is room for one argument more than there are, and for the null pointer.
    unsafe { place.write(SHELL.as_ptr()) };
    // SAFETY: as above.
    place = unsafe { place.add(1) };
    // SAFETY: as above.
    unsafe { place.write(file) };
    let mut from = arguments;
    loop {
        // SAFETY: not yet at the null pointer.
        from = unsafe { from.add(1) };
        // SAFETY: there is room, as above.
        place = unsafe { place.add(1) };
        // SAFETY: within the array of the kernel, the null pointer included.
        let argument = unsafe { from.read() };
        // SAFETY: there is room, as above.
        unsafe { place.write(argument) };
        if argument.is_null() {
            return exec(SHELL.as_ptr(), order.arguments, process);
        }
    }
}

fn exec(file: *const c_char, arguments: *const *const c_char, process: Process) -> Errno {
    let environment = process.environment();
    // SAFETY: all three are ended by NUL or a null pointer.
    let result = unsafe {
        call(
            libc::SYS_execve,
            [
                file as usize,
                arguments as usize,
                environment as usize,
                0,
                0,
                0,
            ],
        )
    };
    Errno(-(result as i32))
}
