//! What needs `unsafe`: a child's life between fork and exec, descriptors by their numbers,
//! and what has no safe interface.

#![expect(unsafe_code, reason = "none of it has a safe interface")]

use std::ffi::{CStr, CString};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use caps::CapSet;
use libc::{c_char, c_int, c_uint, c_ulong};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getppid,
    pipe2, setgroups, setresgid, setresuid, setsid, write,
};

use crate::server::User;

/// Descriptors beside one message: a program and its standard three.
const MAX_FDS: usize = 4;

/// Everything that a child needs, made before the fork.
pub(crate) struct Prepared<'a> {
    pub(crate) candidates: &'a [CString],
    pub(crate) arguments: &'a [CString],
    pub(crate) environment: &'a [CString],
    pub(crate) folder: &'a CStr,
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    pub(crate) is_terminal: bool,
    pub(crate) cpus: Option<CpuSet>,
    pub(crate) user: Option<&'a User>,
}

/// What a child that cannot go on writes: the number of its step and the kernel's answer.
pub(crate) const REPORT: usize = 8;

/// The steps of a child, by their numbers.
pub(crate) const STEPS: [&str; 7] = [
    "execute it",
    "begin a session",
    "take the descriptors",
    "bind it to its CPUs",
    "become the user",
    "give up all rights",
    "enter the folder",
];

/// Forks. Gives the child, and a pipe that ends without a word when it has been executed, or
/// brings the report of why not.
pub(crate) fn start(prepared: &Prepared<'_>) -> nix::Result<(Pid, OwnedFd)> {
    let (report, tell) = pipe2(OFlag::O_CLOEXEC)?;
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        let texts = texts.iter().map(|text| text.as_ptr());
        texts.chain([ptr::null()]).collect()
    };
    let arguments = pointers(prepared.arguments);
    let environment = pointers(prepared.environment);
    let launcher = getpid();
    // What comes for the child waits until it has the dispositions of its program.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: this process has one thread, and the child makes system calls alone until it is
    // replaced or exits.
    let forked = unsafe { fork() };
    if !matches!(forked, Ok(ForkResult::Child)) {
        mask.thread_set_mask()?;
    }
    match forked? {
        ForkResult::Parent { child } => Ok((child, report)),
        ForkResult::Child => {
            let (step, errno) = match become_user(prepared, launcher) {
                Err(failed) => failed,
                Ok(()) => (0, execute(prepared.candidates, &arguments, &environment)),
            };
            let mut text = [0; REPORT];
            text[..4].copy_from_slice(&u32::to_ne_bytes(step));
            text[4..].copy_from_slice(&i32::to_ne_bytes(errno as i32));
            let _ = write(&tell, &text);
            // SAFETY: it takes an integer, and runs nothing of this program's ending.
            unsafe { libc::_exit(127) }
        }
    }
}

fn become_user(prepared: &Prepared<'_>, launcher: Pid) -> Result<(), (u32, Errno)> {
    let at = |step: u32| move |errno: Errno| (step, errno);
    // Real-time signals included; those that no one may change say so.
    for signal in 1..=64 {
        // SAFETY: it takes integers, and no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    setsid().map_err(at(1))?;
    let [stdin, stdout, stderr] = prepared.stdio;
    dup2_stdin(stdin).map_err(at(2))?;
    dup2_stdout(stdout).map_err(at(2))?;
    dup2_stderr(stderr).map_err(at(2))?;
    if prepared.is_terminal {
        // SAFETY: descriptor 0 is the terminal, and the argument an integer.
        Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) }).map_err(at(2))?;
    }
    if let Some(cpus) = &prepared.cpus {
        sched_setaffinity(Pid::from_raw(0), cpus).map_err(at(3))?;
    }
    umask(Mode::from_bits_truncate(0o022));
    if let Some(user) = prepared.user {
        empty_bounding_set();
        setgroups(&user.groups).map_err(at(4))?;
        setresgid(user.gid, user.gid, user.gid).map_err(at(4))?;
        setresuid(user.uid, user.uid, user.uid).map_err(at(4))?;
        empty_sets().map_err(at(5))?;
    }
    prctl::set_no_new_privs().map_err(at(5))?;
    // Not before the change of ids, which forgets it.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at(5))?;
    // The launcher may have died before the line above; its signal is then never sent.
    if getppid() != launcher {
        return Err((5, Errno::ESRCH));
    }
    chdir(prepared.folder).map_err(at(6))?;
    SigSet::empty().thread_set_mask().map_err(at(5))
}

/// Lets no program that is executed from now on gain a capability. Without CAP_SETPCAP the set
/// stays, and no_new_privs alone has to see to that. By number: `caps` drops what it has a name
/// for, and a newer kernel may have more.
fn empty_bounding_set() {
    for capability in 0..=63_u32 {
        let number = c_ulong::from(capability);
        // SAFETY: it takes integers.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
    }
}

/// Empties the sets of capabilities that a change of user leaves.
fn empty_sets() -> nix::Result<()> {
    // Kernels before 4.3 have no ambient set.
    let _ = caps::clear(None, CapSet::Ambient);
    // What is not permitted is not effective either.
    caps::clear(None, CapSet::Permitted)
        .and_then(|()| caps::clear(None, CapSet::Inheritable))
        .map_err(|_| Errno::EPERM)
}

/// Executes the first candidate that is there, and returns only if none can be.
fn execute(
    candidates: &[CString],
    arguments: &[*const c_char],
    environment: &[*const c_char],
) -> Errno {
    let mut answer = Errno::ENOENT;
    for candidate in candidates {
        // SAFETY: all three are NUL-terminated, and outlive this call, because the parent's
        // memory was copied.
        unsafe { libc::execve(candidate.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        match Errno::last() {
            Errno::ENOENT | Errno::ENOTDIR => {}
            // Another one may be meant.
            Errno::EACCES => answer = Errno::EACCES,
            errno => return errno,
        }
    }
    answer
}

/// Keeps every descriptor but the standard three from programs that are executed.
pub(crate) fn close_on_exec() {
    /// `CLOSE_RANGE_CLOEXEC`, of Linux 5.11. Before, what came with the flag keeps it.
    const FLAG: c_uint = 4;
    // SAFETY: it takes integers, and closes nothing before an execution.
    unsafe { libc::syscall(libc::SYS_close_range, 3 as c_uint, c_uint::MAX, FLAG) };
}

/// Says how large a terminal is.
pub(crate) fn set_size(terminal: impl AsFd, (columns, rows): (u16, u16)) {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: the request takes a size, and it lives during the call.
    unsafe { libc::ioctl(fd, libc::TIOCSWINSZ as _, &raw const size) };
}

/// Takes one datagram with the descriptors beside it; `None` when the other end is gone.
pub(crate) fn receive(
    from: impl AsFd,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut room = nix::cmsg_space!([c_int; MAX_FDS]);
    let mut text = [IoSliceMut::new(buffer)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let fd = from.as_fd().as_raw_fd();
    let received = loop {
        match recvmsg::<()>(fd, &mut text, Some(&mut room), flags) {
            Ok(received) => break received,
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    };
    let mut fds = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            for number in numbers {
                // SAFETY: the kernel has just made this descriptor for whoever receives it.
                fds.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
    Ok((received.bytes > 0).then_some((received.bytes, fds)))
}

/// Runs `what` with files belonging to somebody else, whose they will then be.
pub(crate) fn owning<T>(user: Option<&User>, what: impl FnOnce() -> T) -> T {
    let Some(User { uid, gid, .. }) = user else {
        return what();
    };
    let before: (Uid, Gid) = (Uid::effective(), Gid::effective());
    nix::unistd::setfsgid(*gid);
    nix::unistd::setfsuid(*uid);
    let done = what();
    nix::unistd::setfsuid(before.0);
    nix::unistd::setfsgid(before.1);
    done
}
