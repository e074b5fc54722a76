//! What a child of the box does between `fork` and `execve`.
//!
//! Everything that takes memory is prepared before the fork. The child only makes system
//! calls; the first that fails is told to the parent through a pipe that a successful
//! `execve` closes.

use std::ffi::{CString, c_char, c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

use caps::{CapSet, CapsHashSet};
use nix::sys::signal::{SigSet, SigmaskHow};

use super::signal;
use crate::capabilities::Kept;

/// A child in the words of the kernel.
#[derive(Debug)]
pub struct Prepared {
    /// Absolute path to execute.
    pub program: CString,
    /// Arguments, the zeroth included.
    pub argv: Vec<CString>,
    /// `NAME=value` entries.
    pub envp: Vec<CString>,
    /// Directory to start in.
    pub workdir: CString,
    /// Descriptors to have: which of ours, under which number.
    pub fds: Vec<(RawFd, RawFd)>,
    /// `cgroup.procs` files to enter.
    pub entrances: Vec<RawFd>,
    /// User, group and supplementary groups to become.
    pub ids: Option<(u32, u32, Vec<u32>)>,
    /// Resource number and bound.
    pub rlimits: Vec<(u32, u64)>,
    /// Capabilities that stay; `None` leaves them all.
    pub kept: Option<Kept>,
    /// Whether set-user-id programs lose their effect.
    pub no_new_privs: bool,
    /// Whether it leads a session, or a group.
    pub session: bool,
    /// Whether it leads a group.
    pub group: bool,
    /// Whether orphans below it become its children.
    pub adopts: bool,
    /// Mode bits that new files do not get.
    pub umask: u32,
    /// `oom_score_adj` to go back to, if init changed its own.
    pub oom_score: Option<Vec<u8>>,
}

/// What the child attempted when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Leading a session or a group.
    Lead,
    /// Entering the control group.
    Cgroup,
    /// Setting a resource limit.
    Limit,
    /// Arranging descriptors.
    Descriptors,
    /// Taking capabilities away.
    Capabilities,
    /// Becoming the user.
    User,
    /// Entering the directory.
    Directory,
    /// Executing the program.
    Execute,
}

const STAGES: [Stage; 8] = [
    Stage::Lead,
    Stage::Cgroup,
    Stage::Limit,
    Stage::Descriptors,
    Stage::Capabilities,
    Stage::User,
    Stage::Directory,
    Stage::Execute,
];

/// Bytes that a failing child writes: the stage and the error number.
pub const REPORT: usize = 8;

/// Reads what a failing child wrote.
#[must_use]
pub fn decode(report: [u8; REPORT]) -> (Stage, io::Error) {
    let [a, b, c, d, e, f, g, h] = report;
    let stage = usize::try_from(u32::from_ne_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    (
        STAGES.get(stage).copied().unwrap_or(Stage::Execute),
        io::Error::from_raw_os_error(i32::from_ne_bytes([e, f, g, h])),
    )
}

/// Starts the child and returns its process id. `report` is the writing end of a pipe that is
/// closed on exec.
///
/// # Errors
/// There is no process or no memory left.
pub fn fork(prepared: &Prepared, report: &OwnedFd) -> io::Result<i32> {
    let argv = pointers(&prepared.argv);
    let envp = pointers(&prepared.envp);
    // Where sources are moved out of the way of targets.
    let mut moved = prepared.fds.clone();
    let report = report.as_raw_fd();
    // What comes for the child waits until it has the dispositions of its program.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the child has this thread alone, and works on memory that was prepared.
    let pid = unsafe { libc::fork() };
    if pid != 0 {
        let error = io::Error::last_os_error();
        mask.thread_set_mask()?;
        return if pid > 0 { Ok(pid) } else { Err(error) };
    }
    let mut child = Child {
        prepared,
        moved: &mut moved,
        report,
    };
    let Failed { stage, errno } = child.become_it(&argv, &envp);
    child.tell(stage, errno);
    let code = if errno == libc::ENOENT { 127 } else { 126 };
    // SAFETY: no preconditions.
    unsafe { libc::_exit(code) }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain([ptr::null()])
        .collect()
}

struct Child<'a> {
    prepared: &'a Prepared,
    moved: &'a mut [(RawFd, RawFd)],
    report: RawFd,
}

struct Failed {
    stage: Stage,
    errno: c_int,
}

type StageResult = Result<(), Failed>;

impl Child<'_> {
    fn become_it(&mut self, argv: &[*const c_char], envp: &[*const c_char]) -> Failed {
        let done = self
            .lead()
            .and_then(|()| self.enter_cgroup())
            .and_then(|()| self.limit())
            .and_then(|()| self.arrange())
            .and_then(|()| self.bound())
            .and_then(|()| self.become_user())
            .and_then(|()| self.give_up())
            .and_then(|()| self.enter_directory());
        if let Err(failed) = done {
            return failed;
        }
        reset_signals();
        // SAFETY: all three are NUL-terminated, and the arrays end with null pointers.
        unsafe { libc::execve(self.prepared.program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        Failed {
            stage: Stage::Execute,
            errno: errno(),
        }
    }

    fn lead(&self) -> StageResult {
        if self.prepared.adopts {
            // SAFETY: takes integers.
            let adopts = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
            check(Stage::Lead, adopts)?;
        }
        if self.prepared.session {
            // SAFETY: no preconditions.
            check(Stage::Lead, unsafe { libc::setsid() })
        } else if self.prepared.group {
            // SAFETY: takes two integers.
            check(Stage::Lead, unsafe { libc::setpgid(0, 0) })
        } else {
            Ok(())
        }
    }

    fn enter_cgroup(&self) -> StageResult {
        for fd in &self.prepared.entrances {
            // SAFETY: the buffer is one byte long.
            let written = unsafe { libc::write(*fd, c"0".as_ptr().cast(), 1) };
            check(Stage::Cgroup, if written == 1 { 0 } else { -1 })?;
        }
        Ok(())
    }

    fn limit(&self) -> StageResult {
        // SAFETY: takes an integer.
        unsafe { libc::umask(self.prepared.umask as libc::mode_t) };
        for (resource, bound) in &self.prepared.rlimits {
            let limit = libc::rlimit64 {
                rlim_cur: *bound,
                rlim_max: *bound,
            };
            // SAFETY: the new limit is valid for the call, the old one is not asked for.
            let done = unsafe { libc::prlimit64(0, *resource, &raw const limit, ptr::null_mut()) };
            check(Stage::Limit, done)?;
        }
        if let Some(score) = &self.prepared.oom_score {
            self.restore_oom_score(score);
        }
        Ok(())
    }

    /// A child that init's own protection keeps would let the kernel kill the wrong one. It
    /// may always be given up, so a failure means that there is no `/proc` and nothing to do.
    fn restore_oom_score(&self, score: &[u8]) {
        let path = c"/proc/self/oom_score_adj".as_ptr();
        // SAFETY: the path is NUL-terminated.
        let fd = unsafe { libc::open(path, libc::O_WRONLY | libc::O_CLOEXEC) };
        if fd >= 0 {
            // SAFETY: the buffer is as long as said.
            unsafe { libc::write(fd, score.as_ptr().cast(), score.len()) };
            // SAFETY: the descriptor was opened here.
            unsafe { libc::close(fd) };
        }
    }

    /// Puts each descriptor under its number. Sources are first moved above every target, so
    /// that none is overwritten before it is used; everything else is closed on exec.
    fn arrange(&mut self) -> StageResult {
        let top = 1 + self
            .prepared
            .fds
            .iter()
            .map(|(_, target)| *target)
            .fold(2, RawFd::max);
        if self.report < top {
            // SAFETY: takes integers.
            let moved = unsafe { libc::fcntl(self.report, libc::F_DUPFD_CLOEXEC, top) };
            check(Stage::Descriptors, moved)?;
            self.report = moved;
        }
        for (source, _) in self.moved.iter_mut() {
            // SAFETY: takes integers.
            *source = unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, top) };
            check(Stage::Descriptors, *source)?;
        }
        for (source, target) in self.moved.iter() {
            // SAFETY: takes integers; the duplicate is not closed on exec.
            check(Stage::Descriptors, unsafe { libc::dup2(*source, *target) })?;
        }
        for fd in 0..top {
            if self.moved.iter().all(|(_, target)| *target != fd) {
                // SAFETY: what the child is not to have; nothing here refers to it.
                unsafe { libc::close(fd) };
            }
        }
        // Whatever a library opened without the flag. Where the kernel lacks the call, our
        // own descriptors all have it.
        // SAFETY: takes integers.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                top.cast_unsigned(),
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        Ok(())
    }

    /// Trims the bounding set, which takes a capability that the next step gives up. By number:
    /// `caps` drops what it has a name for, and a newer kernel may have more.
    fn bound(&self) -> StageResult {
        let Some(kept) = &self.prepared.kept else {
            return Ok(());
        };
        for capability in 0..64_u32 {
            let number = c_ulong::from(capability);
            // SAFETY: takes integers.
            let has = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) };
            if has < 0 {
                break;
            }
            if has == 0 || kept.bounding & (1 << capability) != 0 {
                continue;
            }
            // SAFETY: takes integers.
            let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
            // Without CAP_SETPCAP the set cannot be trimmed. With no_new_privs nothing can be
            // gained from it either: execve then gives no more than the permitted set.
            if dropped < 0 && !(self.prepared.no_new_privs && errno() == libc::EPERM) {
                return check(Stage::Capabilities, dropped);
            }
        }
        Ok(())
    }

    fn become_user(&self) -> StageResult {
        let Some((uid, gid, groups)) = &self.prepared.ids else {
            return Ok(());
        };
        // SAFETY: the list is as long as said.
        check(Stage::User, unsafe {
            libc::setgroups(groups.len(), groups.as_ptr())
        })?;
        // SAFETY: takes integers.
        check(Stage::User, unsafe { libc::setresgid(*gid, *gid, *gid) })?;
        // SAFETY: takes integers.
        check(Stage::User, unsafe { libc::setresuid(*uid, *uid, *uid) })
    }

    fn give_up(&self) -> StageResult {
        // Kernels before 4.3 have no ambient set.
        let _ = caps::clear(None, CapSet::Ambient);
        if let Some(kept) = &self.prepared.kept {
            set_capabilities(&kept.permitted)?;
        }
        if self.prepared.no_new_privs {
            // SAFETY: takes integers.
            check(Stage::Capabilities, unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            })?;
        }
        Ok(())
    }

    fn enter_directory(&self) -> StageResult {
        // SAFETY: the path is NUL-terminated.
        check(Stage::Directory, unsafe {
            libc::chdir(self.prepared.workdir.as_ptr())
        })
    }

    fn tell(&self, stage: Stage, errno: c_int) {
        let number = STAGES.iter().position(|s| *s == stage).unwrap_or(0);
        let mut report = [0; REPORT];
        report[..4].copy_from_slice(&(number as u32).to_ne_bytes());
        report[4..].copy_from_slice(&errno.to_ne_bytes());
        // SAFETY: the buffer is as long as said.
        unsafe { libc::write(self.report, report.as_ptr().cast(), report.len()) };
    }
}

/// A service begins as on a fresh machine: nothing blocked, nothing ignored, whatever init
/// itself was given.
fn reset_signals() {
    for number in 1..=crate::signals::MAX {
        signal::set_default(number);
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Sets permitted and effective, and clears inheritable. The kernel has one refusal for it.
fn set_capabilities(permitted: &CapsHashSet) -> StageResult {
    // Never is more effective than permitted.
    caps::set(None, CapSet::Effective, permitted)
        .and_then(|()| caps::set(None, CapSet::Permitted, permitted))
        .and_then(|()| caps::clear(None, CapSet::Inheritable))
        .map_err(|_| Failed {
            stage: Stage::Capabilities,
            errno: libc::EPERM,
        })
}

fn check(stage: Stage, result: c_int) -> StageResult {
    if result < 0 {
        return Err(Failed {
            stage,
            errno: errno(),
        });
    }
    Ok(())
}

fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
