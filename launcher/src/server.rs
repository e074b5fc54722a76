//! The launcher itself: one loop over its keeper's words and its children's ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use cib_base::signals::Signals;
use cib_foreign::own;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{posix_openpt, ptsname_r, unlockpt};
use nix::sched::CpuSet;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::socket::MsgFlags;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, getpid};

use crate::sys;
use crate::wire::{Hello, MAX_DATAGRAM, Program, Reply, Request, send};

/// How long a child may take from its fork to its execution. A process of the same user might
/// stop it on the way.
const EXECUTION: Duration = Duration::from_secs(5);

/// How long nothing has to happen before the launcher counts as idle.
const IDLE: Duration = Duration::from_secs(1);

/// Whom the launcher's children are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: Uid,
    /// The group.
    pub gid: Gid,
    /// Further groups.
    pub groups: Vec<Gid>,
}

/// How a launcher is to work.
#[derive(Debug)]
pub struct Options {
    /// Its end of the pair.
    pub socket: OwnedFd,
    /// Who its children are; `None` leaves them its own user.
    pub user: Option<User>,
    /// How long they may take to end when their keeper is gone.
    pub patience: Duration,
}

/// A launcher at work.
struct Server {
    socket: OwnedFd,
    user: Option<User>,
    patience: Duration,
    signals: Signals,
    /// What was started at the keeper's word and has not been reaped.
    started: Vec<Pid>,
}

/// Why a program was not started.
struct Failed {
    errno: Errno,
    what: &'static str,
}

/// Starts things for a keeper until that is gone, and returns when nothing that it started is
/// left. `idle` is called when nothing has happened for a while.
///
/// # Errors
/// If the launcher cannot begin; then it has started nothing.
pub fn serve(options: Options, idle: impl Fn()) -> io::Result<()> {
    let mut server = Server::new(options)?;
    server.say(&Reply::Hello(Hello {
        pid: getpid().as_raw(),
        uid: match &server.user {
            Some(user) => user.uid.as_raw(),
            None => Uid::effective().as_raw(),
        },
    }));
    let mut is_awake = true;
    loop {
        let rest = if is_awake { Some(IDLE) } else { None };
        let Some((is_told, is_signalled)) = server.wait(rest) else {
            idle();
            is_awake = false;
            continue;
        };
        is_awake = true;
        if is_signalled && server.signalled() {
            break;
        }
        if is_told && !server.listen() {
            break;
        }
    }
    server.end();
    Ok(())
}

impl Server {
    fn new(options: Options) -> io::Result<Self> {
        // Nobody of the same user may look into it, or take its place.
        prctl::set_dumpable(false)?;
        match prctl::set_child_subreaper(true) {
            // No kernel answers EINVAL here; qemu does where it emulates another platform.
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        sys::close_on_exec();
        // A terminal's hang-up or interrupt is the keeper's affair.
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGHUP);
        blocked.add(Signal::SIGINT);
        blocked.thread_block()?;
        Ok(Self {
            socket: options.socket,
            user: options.user,
            patience: options.patience,
            signals: Signals::of(&[libc::SIGCHLD, libc::SIGTERM])?,
            started: Vec::new(),
        })
    }

    /// Waits; says whether the keeper has said something, and whether there are signals. `None`
    /// when nothing has happened for so long.
    fn wait(&self, rest: Option<Duration>) -> Option<(bool, bool)> {
        let timeout = rest.map_or(PollTimeout::NONE, |rest| {
            PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        // What interrupted it is seen the next time.
        if poll(&mut fds, timeout) == Ok(0) {
            return None;
        }
        let [told, signalled] = fds.map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
        Some((told, signalled))
    }

    /// Takes up what signals there are and reaps. Says whether it was told to end.
    fn signalled(&mut self) -> bool {
        let is_told = self.signals.come().any(|signal| signal == libc::SIGTERM);
        self.reap();
        is_told
    }

    /// Reaps whoever has ended; says whether nobody at all is left.
    fn reap(&mut self) -> bool {
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return true,
            };
            if let Some(at) = self.started.iter().position(|started| *started == pid) {
                self.started.swap_remove(at);
                self.say(&Reply::Exited {
                    pid: pid.as_raw(),
                    code,
                });
            }
        }
    }

    /// Does what the keeper wants; says whether there still is one.
    fn listen(&mut self) -> bool {
        let mut buffer = [0; MAX_DATAGRAM];
        let received = sys::receive(&self.socket, &mut buffer, MsgFlags::MSG_DONTWAIT);
        let (count, fds) = match received {
            Ok(Some(received)) => received,
            Ok(None) => return false,
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        };
        match Request::decode(&buffer[..count]) {
            Some(Request::Start) => self.start(fds),
            Some(Request::Signal { pid, signal, group }) => {
                let pid = Pid::from_raw(pid);
                // Of whom this is not true the number may be somebody else's by now.
                if let Ok(signal) = Signal::try_from(signal)
                    && self.started.contains(&pid)
                {
                    // It may have ended a moment ago.
                    let _ = if group {
                        killpg(pid, signal)
                    } else {
                        kill(pid, signal)
                    };
                }
            }
            Some(Request::KillAll) => {
                self.kill_everything();
                self.say(&Reply::Nobody);
            }
            None => {}
        }
        true
    }

    fn start(&mut self, fds: Vec<OwnedFd>) {
        match self.try_start(fds) {
            Ok((pid, terminal)) => {
                self.started.push(pid);
                let reply = Reply::Started { pid: pid.as_raw() }.encode();
                let beside: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
                // Without a keeper there is an end next.
                let _ = send(&self.socket, &reply, &beside);
            }
            Err(failed) => self.say(&Reply::Failed {
                errno: failed.errno as i32,
                what: failed.what.to_owned(),
            }),
        }
    }

    fn try_start(&self, fds: Vec<OwnedFd>) -> Result<(Pid, Option<OwnedFd>), Failed> {
        let read = |error: io::Error| Failed {
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EINVAL)),
            what: "read what to start",
        };
        let mut fds = fds.into_iter();
        let body = fds
            .next()
            .ok_or_else(|| read(io::ErrorKind::Other.into()))?;
        let program = Program::read(&File::from(body)).map_err(read)?;
        let at = |what| move |errno| Failed { errno, what };
        let (terminal, stdio) = match program.terminal {
            Some(size) => {
                let (master, slave) = sys::owning(self.user.as_ref(), || terminal(size))
                    .map_err(at("make a terminal"))?;
                (Some(master), vec![slave])
            }
            None => (None, fds.collect()),
        };
        let standard = match &stdio[..] {
            [one] => [one, one, one],
            [stdin, stdout, stderr] => [stdin, stdout, stderr],
            _ => return Err(read(io::ErrorKind::Other.into())),
        };
        let mut cpus = CpuSet::new();
        for cpu in &program.cpus {
            cpus.set(usize::from(*cpu))
                .map_err(at("bind it to its CPUs"))?;
        }
        let prepared = sys::Prepared {
            candidates: &program.candidates(),
            arguments: &program.arguments,
            environment: &program.environment,
            folder: &program.folder,
            stdio: standard.map(AsFd::as_fd),
            is_terminal: terminal.is_some(),
            cpus: Some(cpus).filter(|_| !program.cpus.is_empty()),
            user: self.user.as_ref(),
        };
        let (pid, report) = sys::start(&prepared).map_err(at("make a process"))?;
        match outcome(&report) {
            Ok(()) => Ok((pid, terminal)),
            Err(failed) => {
                let _ = kill(pid, Signal::SIGKILL);
                let _ = waitpid(pid, None);
                Err(failed)
            }
        }
    }

    /// Ends everything: what was started is told to, has its time, and is killed with whatever
    /// else came of it.
    fn end(&mut self) {
        for pid in &self.started {
            let _ = killpg(*pid, Signal::SIGTERM);
        }
        let deadline = Instant::now() + self.patience;
        loop {
            self.reap();
            let left = deadline.saturating_duration_since(Instant::now());
            if self.started.is_empty() || left.is_zero() {
                break;
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, timeout);
            self.signals.come().for_each(drop);
        }
        self.kill_everything();
    }

    /// Kills and reaps until nobody is left. What a child of this process leaves behind becomes
    /// one in turn, so each round brings up the next; and a child that was not waited for keeps
    /// its number, so no one else is ever hit.
    fn kill_everything(&mut self) {
        let mut pause = 0;
        let mut before = Vec::new();
        while !self.reap() {
            let children = children();
            for child in &children {
                let _ = kill(*child, Signal::SIGKILL);
            }
            // Whoever forks and is gone is only caught by somebody who is as quick. What has
            // been killed and does not go waits for the kernel.
            pause = if children == before {
                (pause + 1).min(20)
            } else {
                0
            };
            before = children;
            if pause > 0 {
                let _ = poll(&mut [], PollTimeout::from(pause as u8));
            }
        }
    }

    fn say(&self, reply: &Reply) {
        // Without a keeper there is an end next.
        let _ = send(&self.socket, &reply.encode(), &[]);
    }
}

/// A new terminal: the end that its program does not have, and the one that it has.
fn terminal(size: (u16, u16)) -> nix::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags)?;
    unlockpt(&master)?;
    let mut how = OpenOptions::new();
    how.read(true).write(true).custom_flags(flags.bits());
    let slave = own::open_as(&mut how, ptsname_r(&master)?)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    sys::set_size(&slave, size);
    Ok((master.into(), slave.into()))
}

/// Waits until a child was executed or says why not.
fn outcome(report: &OwnedFd) -> Result<(), Failed> {
    let mut fds = [PollFd::new(report.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(EXECUTION).unwrap_or(PollTimeout::MAX);
    let ready = loop {
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => {}
            ready => break ready,
        }
    };
    let mut text = Vec::new();
    if ready == Ok(0) {
        return Err(Failed {
            errno: Errno::ETIMEDOUT,
            what: "execute it",
        });
    }
    let report = report.try_clone().map(File::from);
    let _ = report.and_then(|pipe| pipe.take(sys::REPORT as u64).read_to_end(&mut text));
    let Ok([step, errno]) = <[[u8; 4]; 2]>::try_from(text.as_chunks().0) else {
        return Ok(());
    };
    let step = usize::try_from(u32::from_ne_bytes(step)).unwrap_or(0);
    Err(Failed {
        errno: Errno::from_raw(i32::from_ne_bytes(errno)),
        what: sys::STEPS.get(step).copied().unwrap_or_default(),
    })
}

/// The children of this process.
fn children() -> Vec<Pid> {
    let me = getpid();
    let listed = own::read_to_string(format!("/proc/self/task/{me}/children"));
    match listed {
        Ok(text) => text
            .split_ascii_whitespace()
            .filter_map(|pid| Some(Pid::from_raw(pid.parse().ok()?)))
            .collect(),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => children_of(me),
    }
}

/// The same, found by looking at every process (proc_pid_stat(5), field 4).
fn children_of(parent: Pid) -> Vec<Pid> {
    let is_child = |pid: &i32| {
        // The second field is the name in parentheses and may hold anything, also what is no text.
        let stat = own::read_lossy(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        fields.split(' ').nth(1).and_then(|ppid| ppid.parse().ok()) == Some(parent.as_raw())
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(is_child)
        .map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found_with_and_without_the_kernels_list() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        assert!(children_of(getpid()).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children_of(getpid()).contains(&pid));
    }
}
