//! Why something is refused.

use cib_protocol::files::{FilesFault, FilesReply};
use nix::errno::Errno;

/// A refusal: a code for programs and a sentence for people.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: FilesFault,
    /// The sentence.
    pub detail: String,
}

impl Refusal {
    /// One with these words.
    #[must_use]
    pub fn new(code: FilesFault, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// The reply that says so.
    #[must_use]
    pub fn reply(self) -> FilesReply {
        FilesReply::Refused {
            code: self.code,
            detail: self.detail,
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        let (code, detail) = match errno {
            Errno::ENOENT => (FilesFault::Absent, "nothing stands there"),
            Errno::ENOTDIR => (FilesFault::NotFolder, "it is no folder"),
            Errno::ELOOP => (FilesFault::Link, "it is a link, and links are not followed"),
            Errno::EISDIR | Errno::ENXIO | Errno::ENODEV => {
                (FilesFault::NotFile, "it is no regular file")
            }
            Errno::EACCES | Errno::EPERM | Errno::EROFS | Errno::ETXTBSY => {
                (FilesFault::Forbidden, "the user of the box may not do that")
            }
            Errno::EEXIST => (FilesFault::Exists, "something stands there already"),
            Errno::ENOTEMPTY => (FilesFault::NotEmpty, "the folder has something in it"),
            Errno::EFBIG | Errno::EOVERFLOW => (FilesFault::TooLarge, "it is too large"),
            Errno::ENOSPC | Errno::EDQUOT => (FilesFault::Full, "the disk is full"),
            Errno::EXDEV => (FilesFault::OtherDevice, "it is on another disk"),
            Errno::EBUSY => (FilesFault::OtherDevice, "another disk is mounted there"),
            Errno::ENAMETOOLONG => (FilesFault::BadRequest, "the name is too long"),
            Errno::EINVAL => (FilesFault::BadRequest, "that cannot be done with it"),
            other => return Self::new(FilesFault::Failed, other.desc()),
        };
        Self::new(code, detail)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Errno::from_raw(number).into(),
            None => Self::new(FilesFault::Failed, error.to_string()),
        }
    }
}
