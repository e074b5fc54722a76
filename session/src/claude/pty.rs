//! The terminal of a process that has one.

use std::fs::File;
use std::io;

use rustix::termios::{Winsize, tcsetwinsize};

use super::Process;

/// Columns and rows of a terminal that nobody has looked at yet.
pub const DEFAULT_SIZE: (u16, u16) = (120, 32);

impl Process {
    /// Changes the size of the terminal, which redraws its program.
    ///
    /// # Errors
    /// If the process has no terminal (any more).
    pub fn resize(&self, (cols, rows): (u16, u16)) -> io::Result<()> {
        let terminal: &File = self.stdout.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(terminal, size)?)
    }
}
