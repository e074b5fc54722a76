//! Makes the descriptors of a child before it is forked.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use cib_foreign::stat;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;
use nix::unistd::{Gid, Uid, fchown, pipe2};
use tokio::net::unix::pipe;

use super::LogSink;
use crate::spawn::{Command, Ids, Sink, Stdin};
use crate::sys::ready;

/// The child's ends of its pipes, and whatever else becomes a descriptor of it.
#[derive(Default)]
pub(super) struct Plumbing {
    fds: Vec<(Held, RawFd)>,
    log: Option<(String, Rc<OwnedFd>)>,
}

enum Held {
    Own(OwnedFd),
    Shared(Rc<OwnedFd>),
    /// One of init's standard descriptors.
    Standard(RawFd),
}

/// Our ends.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) stdout: Option<pipe::Receiver>,
    pub(super) stderr: Option<pipe::Receiver>,
}

impl Plumbing {
    pub(super) fn lay(&mut self, command: &Command, logs: &dyn LogSink) -> io::Result<Ends> {
        let mut ends = Ends::default();
        let stdin = match &command.stdin {
            Stdin::Null => Held::Own(null()?),
            Stdin::Inherit => Held::Standard(0),
            Stdin::Fd(fd) => Held::Own(fd.try_clone()?),
            Stdin::Pipe => {
                let (read, write) = pipe()?;
                ready::never_waits(&write)?;
                ends.stdin = Some(pipe::Sender::from_owned_fd(write)?);
                Held::Own(read)
            }
        };
        self.fds.push((stdin, 0));
        ends.stdout = self.output(&command.stdout, 1, logs)?;
        ends.stderr = self.output(&command.stderr, 2, logs)?;
        for (target, fd) in &command.fds {
            self.fds.push((Held::Shared(Rc::clone(fd)), *target));
        }
        if let Some(ids) = &command.ids {
            self.give(ids);
        }
        Ok(ends)
    }

    /// Gives pipes to the child's user: many a program opens `/dev/stdout` or `/dev/fd/3` anew
    /// instead of using the descriptor, and the kernel then asks whose the pipe is.
    fn give(&self, ids: &Ids) {
        let owner = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
        for (held, _) in &self.fds {
            let fd = match held {
                Held::Own(fd) => fd.as_fd(),
                Held::Shared(fd) => fd.as_fd(),
                Held::Standard(_) => continue,
            };
            let kind = |mode| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
            if stat::of(fd).is_ok_and(|stat| kind(stat.st_mode) == SFlag::S_IFIFO) {
                // Without the right to, the child still has the descriptor itself.
                let _ = fchown(fd, Some(owner.0), Some(owner.1));
            }
        }
    }

    fn output(
        &mut self,
        sink: &Sink,
        target: RawFd,
        logs: &dyn LogSink,
    ) -> io::Result<Option<pipe::Receiver>> {
        let mut end = None;
        let held = match sink {
            Sink::Null => Held::Own(null()?),
            Sink::Inherit => Held::Standard(target),
            Sink::Fd(fd) => Held::Own(fd.try_clone()?),
            Sink::Pipe => {
                let (read, write) = pipe()?;
                end = Some(receiver(read)?);
                Held::Own(write)
            }
            Sink::Log(name) => {
                let shared = match &self.log {
                    Some((known, fd)) if known == name => Rc::clone(fd),
                    _ => Rc::new(logs.open(name)?),
                };
                self.log = Some((name.clone(), Rc::clone(&shared)));
                Held::Shared(shared)
            }
        };
        self.fds.push((held, target));
        Ok(end)
    }

    pub(super) fn fds(&self) -> Vec<(RawFd, RawFd)> {
        self.fds
            .iter()
            .map(|(held, target)| {
                let source = match held {
                    Held::Own(fd) => fd.as_raw_fd(),
                    Held::Shared(fd) => fd.as_raw_fd(),
                    Held::Standard(fd) => *fd,
                };
                (source, *target)
            })
            .collect()
    }
}

fn null() -> io::Result<OwnedFd> {
    let null = cib_foreign::own::open_as(File::options().read(true).write(true), "/dev/null")?;
    Ok(null.into())
}

pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC)?)
}

/// Our end of a pipe that a child writes to. Only this end becomes non-blocking.
pub(super) fn receiver(read: OwnedFd) -> io::Result<pipe::Receiver> {
    ready::never_waits(&read)?;
    pipe::Receiver::from_owned_fd(read)
}
