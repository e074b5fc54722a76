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

/// Faults of an answer that is given by a link; that there is nothing to answer is a page.
pub(super) const BY_LINK: &[Code] = &[
    Code::TooManyAttempts,
    Code::ClaudeRefused,
    Code::Busy,
    Code::JournalUnwritable,
    Code::KeeperTimeout,
];

pub(super) const CREATING: &[Code] = &[
    Code::WorkdirOutside,
    Code::NoSuchSession,
    Code::NoSuchProvider,
    Code::SessionRunning,
    Code::NothingToResume,
    Code::TooManySessions,
    Code::KeeperFailed,
    Code::NotNow,
    Code::InitUnreachable,
];

/// Faults of a message to a session that is found, resumed or begun for it.
pub(super) const TALKING: &[Code] = &[
    Code::WorkdirOutside,
    Code::NoSuchSession,
    Code::NoSuchQuestion,
    Code::SessionRunning,
    Code::SessionEnded,
    Code::WrongDriver,
    Code::NothingToResume,
    Code::TooManySessions,
    Code::ClaudeRefused,
    Code::KeeperFailed,
    Code::NotNow,
    Code::InitUnreachable,
    Code::Busy,
    Code::JournalUnreadable,
    Code::JournalUnwritable,
    Code::KeeperTimeout,
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

/// Faults of looking at files.
pub(super) const LOOKING_AT_FILES: &[Code] = &[
    Code::NoSuchFile,
    Code::FileForbidden,
    Code::IsLink,
    Code::NotAFolder,
    Code::OtherDisk,
    Code::FilesUnavailable,
];

/// Faults of reading one.
pub(super) const READING_FILES: &[Code] = &[
    Code::NoSuchFile,
    Code::FileForbidden,
    Code::IsLink,
    Code::NotAFile,
    Code::NotAFolder,
    Code::OtherDisk,
    Code::TooLarge,
    Code::RangeUnsatisfiable,
    Code::FilesUnavailable,
];

/// Faults of changing them.
pub(super) const CHANGING_FILES: &[Code] = &[
    Code::NoSuchFile,
    Code::FileForbidden,
    Code::IsLink,
    Code::NotAFile,
    Code::NotAFolder,
    Code::FileExists,
    Code::FolderNotEmpty,
    Code::OtherDisk,
    Code::FileChanged,
    Code::FilesUnavailable,
    Code::FilesLate,
    Code::DiskFull,
];

/// Faults of everything that asks git.
pub(super) const GIT: &[Code] = &[
    Code::NoSuchFile,
    Code::NoRepository,
    Code::FileForbidden,
    Code::IsLink,
    Code::NotAFolder,
    Code::FilesUnavailable,
    Code::FilesLate,
];

/// Faults of publishing a working tree.
pub(super) const PUBLISHING: &[Code] = &[
    Code::NoSuchFile,
    Code::NoSuchForge,
    Code::NoRepository,
    Code::FileForbidden,
    Code::IsLink,
    Code::NotAFolder,
    Code::PushRefused,
    Code::ForgeFailed,
    Code::FilesUnavailable,
    Code::FilesLate,
];

/// Faults of everything about hooks.
pub(super) const HOOKS: &[Code] = &[
    Code::FileForbidden,
    Code::IsLink,
    Code::NotAFile,
    Code::NotAFolder,
    Code::TooLarge,
    Code::FilesUnavailable,
];

/// Faults of asking a keeper for the hooks of its session.
pub(super) const SESSIONS_HOOKS: &[Code] =
    &[Code::NoSuchSession, Code::SessionEnded, Code::KeeperTimeout];

/// Faults of changing those.
pub(super) const SETTING_SESSIONS_HOOKS: &[Code] = &[
    Code::NoSuchSession,
    Code::SessionEnded,
    Code::FileChanged,
    Code::JournalUnwritable,
    Code::KeeperTimeout,
];

/// Faults of changing them.
pub(super) const SETTING_HOOKS: &[Code] = &[
    Code::NoSuchFile,
    Code::FileForbidden,
    Code::IsLink,
    Code::NotAFile,
    Code::NotAFolder,
    Code::FileChanged,
    Code::FilesUnavailable,
    Code::DiskFull,
];
