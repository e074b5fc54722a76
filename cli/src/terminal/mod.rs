//! This terminal: raw while something else draws on it, and as it was afterwards.

pub mod keys;

use std::io::{self, Write as _};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Ends every mode that a program in a terminal may have begun: the other screen, the mouse's
/// reports, focus reports, bracketed paste, colour scheme reports, kitty's keyboard, a hidden
/// cursor, colours.
const RESET: &str = "\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?2031l\x1b[<u\x1b[>4;0m\x1b[?25h\x1b[0m\r\n";

/// A terminal that is raw for as long as this lives.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes standard input raw.
    ///
    /// # Errors
    /// It is no terminal.
    pub fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // There may be no terminal any more.
        let _ = out.write_all(RESET.as_bytes());
        let _ = out.flush();
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

mod sys {
    //! The one call that no safe crate here has.
    #![expect(unsafe_code, reason = "an ioctl")]

    nix::ioctl_read_bad!(
        /// The window's size: `TIOCGWINSZ`, ioctl_tty(2).
        window_size,
        nix::libc::TIOCGWINSZ,
        nix::libc::winsize
    );

    /// Columns and rows of standard output's terminal.
    pub(super) fn size() -> Option<(u16, u16)> {
        let mut size = nix::libc::winsize {
            ws_row: 0,
            ws_col: 0,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the kernel writes one winsize to where the pointer leads.
        unsafe { window_size(nix::libc::STDOUT_FILENO, &raw mut size) }.ok()?;
        Some((size.ws_col, size.ws_row)).filter(|(columns, rows)| *columns > 0 && *rows > 0)
    }
}

/// Columns and rows of this terminal.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    sys::size()
}
