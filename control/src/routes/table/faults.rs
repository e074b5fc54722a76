//! The faults that routes share.

use crate::fault::Code;

/// Faults of everything about Claude's login.
pub(super) const LOGIN: &[Code] = &[
    Code::LoginRunning,
    Code::NoLogin,
    Code::ClaudeRefused,
    Code::KeeperFailed,
    Code::NotNow,
    Code::InitUnreachable,
    Code::KeeperTimeout,
];

/// Faults of commands that go to a shell's keeper.
pub(super) const SHELL: &[Code] = &[
    Code::NoSuchShell,
    Code::SessionEnded,
    Code::Busy,
    Code::KeeperTimeout,
];

/// Faults of commands that go to a session's keeper.
pub(super) const KEEPER: &[Code] = &[
    Code::NoSuchSession,
    Code::SessionEnded,
    Code::WrongDriver,
    Code::ClaudeRefused,
    Code::Busy,
    Code::JournalUnwritable,
    Code::KeeperTimeout,
];

pub(super) const ANSWERING: &[Code] = &[
    Code::NoSuchSession,
    Code::NoSuchQuestion,
    Code::SessionEnded,
    Code::ClaudeRefused,
    Code::Busy,
    Code::JournalUnwritable,
    Code::KeeperTimeout,
];

pub(super) const CREATING: &[Code] = &[
    Code::WorkdirOutside,
    Code::NoSuchSession,
    Code::SessionRunning,
    Code::NothingToResume,
    Code::TooManySessions,
    Code::KeeperFailed,
    Code::NotNow,
    Code::InitUnreachable,
];

/// Faults of a session's end, and of its purge.
pub(super) const ENDING: &[Code] = &[
    Code::NoSuchSession,
    Code::SessionRunning,
    Code::Busy,
    Code::NotNow,
    Code::KeeperTimeout,
    Code::PurgeLate,
    Code::InitUnreachable,
];

/// The same of a shell's.
pub(super) const ENDING_SHELL: &[Code] = &[
    Code::NoSuchShell,
    Code::SessionRunning,
    Code::Busy,
    Code::NotNow,
    Code::KeeperTimeout,
    Code::PurgeLate,
    Code::InitUnreachable,
];
