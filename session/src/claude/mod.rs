//! The process of the CLI: how it is started, spoken to and ended.

pub mod command;
pub mod ending;
mod last_lines;
mod outgoing;
pub mod pty;
pub mod version;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

pub use last_lines::LastLines;
pub use outgoing::Outgoing;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its code, or 128+n if signal n ended it.
    pub code: i32,
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
    pub pid: i32,
    /// What it is told.
    pub stdin: Outgoing,
    /// What it says; `None` after its end.
    pub stdout: Option<File>,
    /// What it complains about; `None` after its end.
    pub stderr: Option<File>,
    /// The last of its complaints.
    pub complaints: LastLines,
}

impl Process {
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

/// A descriptor that is never waited for.
///
/// # Errors
/// The kernel's answer.
pub(crate) fn nonblocking(fd: OwnedFd) -> io::Result<File> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(File::from(fd))
}
