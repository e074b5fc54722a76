//! The process of the CLI: how it is started, spoken to and ended.

pub mod command;
pub mod ending;
mod outgoing;
pub mod pty;
mod tail;
pub mod version;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::sys::{self, Terminal};
pub use outgoing::Outgoing;
pub use tail::Tail;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its code, or 128+n if signal n ended it.
    pub code: i32,
}

impl Exit {
    /// Reads a wait status; `None` if the process has not ended.
    #[must_use]
    pub fn from_status(status: rustix::process::WaitStatus) -> Option<Self> {
        let code = status
            .exit_status()
            .or_else(|| status.terminating_signal().map(|signal| 128 + signal))?;
        Some(Self { code })
    }
}

/// What reading from a pipe brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing ever again.
    End,
}

/// A running CLI with its three pipes.
#[derive(Debug)]
pub struct Process {
    /// Its process id, and its group's.
    pub pid: Pid,
    /// What it is told.
    pub stdin: Outgoing,
    /// What it says; `None` after its end.
    pub stdout: Option<File>,
    /// What it complains about; `None` after its end.
    pub stderr: Option<File>,
    /// The last of its complaints.
    pub complaints: Tail,
}

impl Process {
    /// Starts it. It gets SIGTERM when this process ends in any way.
    ///
    /// # Errors
    /// If the program cannot be executed or its pipes cannot be made.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = sys::spawn(command, Signal::TERM, Terminal::No)?;
        let pid = Pid::from_child(&child);
        let stdin = child.stdin.take().map(|pipe| nonblocking(pipe.into()));
        let stdout = child.stdout.take().map(|pipe| nonblocking(pipe.into()));
        let stderr = child.stderr.take().map(|pipe| nonblocking(pipe.into()));
        Ok(Self {
            pid,
            stdin: Outgoing::new(stdin.transpose()?),
            stdout: stdout.transpose()?,
            stderr: stderr.transpose()?,
            complaints: Tail::default(),
        })
    }

    /// Signals the process alone, which then ends its own children in order.
    pub fn signal(&self, signal: Signal) {
        // It may have ended a moment ago.
        let _ = kill_process(self.pid, signal);
    }

    /// Signals it with everything that it started and that stayed in its group.
    pub fn signal_group(&self, signal: Signal) {
        let _ = kill_process_group(self.pid, signal);
    }

    /// Reads what it complains about.
    pub fn read_complaints(&mut self, buffer: &mut [u8]) {
        let Some(pipe) = &mut self.stderr else {
            return;
        };
        match read(pipe, buffer) {
            ReadOutcome::Bytes(count) => self.complaints.take(&buffer[..count]),
            ReadOutcome::Nothing => {}
            ReadOutcome::End => self.stderr = None,
        }
    }
}

/// Reads once. An error is an end, because a pipe has none that could pass.
pub fn read(pipe: &mut File, buffer: &mut [u8]) -> ReadOutcome {
    loop {
        return match pipe.read(buffer) {
            Ok(0) => ReadOutcome::End,
            Ok(count) => ReadOutcome::Bytes(count),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock => ReadOutcome::Nothing,
                _ => ReadOutcome::End,
            },
        };
    }
}

fn nonblocking(fd: OwnedFd) -> io::Result<File> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Ok(File::from(fd))
}
