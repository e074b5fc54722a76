//! Pseudo-terminals.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Outgoing, Process, Tail, nonblocking};
use crate::sys::{self, Terminal};

/// Columns and rows of a terminal that nobody has looked at yet.
pub const DEFAULT_SIZE: (u16, u16) = (120, 32);

impl Process {
    /// Starts a program on a new terminal, its controlling one. The terminal gets SIGHUP's
    /// duty as well: closing it tells the program that nobody is there.
    ///
    /// # Errors
    /// If there is no terminal to be had, or the program cannot be executed.
    pub fn spawn_on_terminal(command: &mut Command, size: (u16, u16)) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc_noctty())
            .open(Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())))?;
        tcsetwinsize(&master, winsize(size))?;
        command
            .stdin(Stdio::from(slave.try_clone()?))
            .stdout(Stdio::from(slave.try_clone()?))
            .stderr(Stdio::from(slave));
        let child = sys::spawn(command, rustix::process::Signal::TERM, Terminal::Stdin)?;
        let master = nonblocking(master)?;
        Ok(Self {
            pid: rustix::process::Pid::from_child(&child),
            stdin: Outgoing::new(Some(master.try_clone()?)),
            stdout: Some(master),
            stderr: None,
            complaints: Tail::default(),
        })
    }

    /// Changes the size of the terminal, which redraws its program.
    ///
    /// # Errors
    /// If the process has no terminal (any more).
    pub fn resize(&self, size: (u16, u16)) -> io::Result<()> {
        let master: &File = self.stdout.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(tcsetwinsize(master, winsize(size))?)
    }
}

/// `O_NOCTTY`: opening the terminal here must not make it this process's.
fn libc_noctty() -> i32 {
    rustix::fs::OFlags::NOCTTY.bits().cast_signed()
}

fn winsize((cols, rows): (u16, u16)) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
