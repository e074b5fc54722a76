//! The terminal of a process that has one.

use std::fs::File;
use std::io;

use super::Process;
use crate::sys;

/// Columns and rows of a terminal that nobody has looked at yet.
pub const DEFAULT_SIZE: (u16, u16) = (120, 32);

impl Process {
    /// Changes the size of the terminal, which redraws its program.
    ///
    /// # Errors
    /// If the process has no terminal (any more).
    pub fn resize(&self, (cols, rows): (u16, u16)) -> io::Result<()> {
        let terminal: &File = self.stdout.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        sys::resize(terminal, cols, rows)
    }
}
