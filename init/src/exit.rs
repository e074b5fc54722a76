//! The exit codes of init, and how a child ended.

use std::fmt;

/// Everything went as asked.
pub const OK: u8 = 0;
/// The command line could not be understood (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// Something inside failed, or a service that the box needs was given up (`EX_SOFTWARE`).
pub const INTERNAL: u8 = 70;
/// The command exists but cannot be executed, as shells have it.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command does not exist, as shells have it.
pub const NOT_FOUND: u8 = 127;

/// The environment or a configuration file is wrong (`EX_CONFIG`).
pub const CONFIG: u8 = 78;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(u8),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether the child returned 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code a shell would show: the child's own, or 128 plus the signal.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {}", crate::signals::name(*signal)),
        }
    }
}
