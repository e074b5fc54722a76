//! What control asks of `cib-files`: one request a connection.
//!
//! `cib-files` has coder's rights and no others, so what it answers is the agent's word: control
//! checks its shape and its size and believes nothing of it.
//!
//! Both sides send frames: four bytes, the length, the highest first, and that many bytes. The
//! first frame of each side is its head, as JSON: a [`FilesRequest`], a [`FilesReply`]. After the
//! head of a [`FilesRequest::Write`] come the file's bytes in frames of at most [`MAX_PIECE`],
//! and an empty frame, without which nothing is kept. After [`FilesReply::Content`] the same comes
//! back.
//!
//! A path is text relative to its root, its names joined by `/`. Linux allows any byte in a name:
//! one that is no part of a character in UTF-8 is written `\xHH`, and a backslash `\\`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::api::{FileEntry, FileList, FileRoots, GitDiff, GitLog, GitStatus, TriedHook};
use crate::trees::{Through, TreeReply, TreeRequest};

/// Bytes of a request's head, at most.
pub const MAX_REQUEST: usize = 64 * 1024;

/// Bytes of a reply's head, at most, unless it is a diff.
pub const MAX_REPLY: usize = 2 * 1024 * 1024;

/// Bytes of a diff as a reply's head, at most.
pub const MAX_DIFF: usize = 8 * 1024 * 1024;

/// Bytes of a file in one frame, at most.
pub const MAX_PIECE: usize = 64 * 1024;

/// Entries of a folder in one answer, at most.
pub const MAX_ENTRIES: u32 = 1000;

/// Names in a path, at most.
pub const MAX_DEPTH: usize = 128;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum FilesRequest {
    /// Which roots there are.
    Roots {},
    /// The entries of a folder.
    List {
        /// The folder.
        place: Place,
        /// The last name of the page before.
        after: Option<String>,
        /// Entries of the page.
        limit: u32,
    },
    /// What stands at a place.
    Look {
        /// The place.
        place: Place,
    },
    /// The content of a regular file.
    Read {
        /// The file.
        place: Place,
        /// Which part of it; all of it if absent.
        span: Option<Span>,
        /// The file's tag, if a part of another content would be of no use.
        tag: Option<String>,
    },
    /// Makes a regular file, or puts other content in the place of one. Its bytes follow.
    Write {
        /// The file.
        place: Place,
        /// What has to hold.
        condition: Condition,
        /// Bytes that it may have.
        most: u64,
    },
    /// Makes a folder.
    MakeFolder {
        /// The folder.
        place: Place,
        /// Whether folders on the way are made too, and one that is there is fine.
        parents: bool,
    },
    /// Removes what stands at a place.
    Remove {
        /// The place.
        place: Place,
        /// Whether a folder goes with all that is in it.
        recursive: bool,
        /// What has to hold.
        condition: Condition,
    },
    /// Gives something another name.
    Rename {
        /// What.
        from: Place,
        /// Its new place.
        to: Place,
        /// Whether what stands there goes.
        replace: bool,
    },
    /// How a working tree differs from what is committed.
    GitStatus {
        /// A folder of the tree, absolute.
        workdir: String,
    },
    /// Commits, the newest first.
    GitLog {
        /// A folder of the tree, absolute.
        workdir: String,
        /// What to begin with, `HEAD` if absent.
        from: Option<String>,
        /// Commits to pass over.
        skip: u32,
        /// Commits of the answer.
        limit: u32,
    },
    /// What changed.
    GitDiff {
        /// A folder of the tree, absolute.
        workdir: String,
        /// Between which two.
        change: Change,
        /// Of this path alone, relative to the tree.
        path: Option<String>,
    },
    /// What is checked out, and where it comes from.
    GitPlace {
        /// A folder of the tree, absolute.
        workdir: String,
    },
    /// Pushes a commit to a branch, by way of control.
    GitPush {
        /// A folder of the tree, absolute.
        workdir: String,
        /// The commit.
        commit: String,
        /// The branch.
        branch: String,
        /// The repository, as `git-remote-cib` takes it.
        to: String,
        /// The way there.
        through: Box<Through>,
    },
    /// Which of coder's processes hold sockets.
    Holders {
        /// The sockets, by the numbers of their inodes.
        inodes: Vec<u64>,
    },
    /// Which programs can be run.
    Programs {
        /// Paths, or names that a shell would look for.
        names: Vec<String>,
    },
    /// Runs a hook's command, to see how it goes.
    Try {
        /// The command, for a shell.
        command: String,
        /// Its input.
        input: String,
    },
    /// Something of a task's work tree.
    Tree {
        /// What.
        ask: TreeRequest,
    },
}

/// A place below a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The root's name.
    pub root: String,
    /// The path below it; empty is the root itself.
    pub path: String,
}

/// Part of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// From the first of these on, at most so many.
    From(u64, Option<u64>),
    /// The last so many.
    Last(u64),
}

/// What has to hold of a file that is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// It is not there.
    Absent,
    /// It is there, whatever it has.
    Present,
    /// It has this tag.
    Tag(String),
}

/// Which change a diff shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// From the last commit to the working tree, untracked files aside.
    Uncommitted,
    /// From the last commit to the index.
    Staged,
    /// From what this names to the working tree.
    Since(String),
    /// That of this commit, against its first parent.
    Commit(String),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesReply {
    /// The roots.
    Roots(FileRoots),
    /// A page of a folder.
    List(FileList),
    /// What stands at a place now.
    Entry(FileEntry),
    /// It is gone.
    Removed,
    /// The bytes of a file, which follow.
    Content {
        /// The file.
        entry: FileEntry,
        /// Where they begin.
        offset: u64,
        /// How many there are.
        length: u64,
    },
    /// A working tree.
    GitStatus(GitStatus),
    /// Commits.
    GitLog(GitLog),
    /// A change.
    GitDiff(GitDiff),
    /// What is checked out.
    GitPlace(GitPlace),
    /// The push has ended: with the words of a refusal, if it was not taken.
    GitPushed {
        /// Why it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// For each socket, what the process calls itself that holds it.
    Holders(Vec<Option<String>>),
    /// For each name, whether it can be run.
    Programs(Vec<bool>),
    /// How it went.
    Tried(TriedHook),
    /// To [`FilesRequest::Tree`].
    Tree(TreeReply),
    /// Refused, and nothing was changed.
    Refused {
        /// Stable code.
        code: FilesFault,
        /// A sentence for people.
        detail: String,
    },
}

/// What is checked out in a working tree, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitPlace {
    /// The branch, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The address of the branch's remote, or of `origin`, as the tree's configuration has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Git's own folder, absolute, which trees of one repository have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// Why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesFault {
    /// A value cannot be used.
    BadRequest,
    /// Nothing stands there.
    Absent,
    /// A link stands there or on the way; links are not followed.
    Link,
    /// It is no folder.
    NotFolder,
    /// It is no regular file.
    NotFile,
    /// Coder may not, or the root is not to be changed.
    Forbidden,
    /// Something stands there already.
    Exists,
    /// It is not what the caller knows.
    Changed,
    /// The folder has something in it.
    NotEmpty,
    /// It has more bytes than are taken.
    TooLarge,
    /// The part that is asked for lies behind its end.
    BeyondEnd,
    /// The disk is full, or coder's share of it.
    Full,
    /// The two places are on different disks, or a disk of its own is below.
    OtherDevice,
    /// It took too long; of a folder that was to go, a part may be gone.
    Late,
    /// There is no repository there, or git does not understand it.
    NoRepository,
    /// Something else.
    Failed,
}

/// A name or a path as text, from which [`unescape`] gets the same bytes.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter == '\\' {
                text.push('\\');
            }
            text.push(letter);
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The bytes of an escaped name or path; `None` if no [`escape`] writes that.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(behind) = behind.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = behind;
            continue;
        }
        let digits = behind.strip_prefix('x')?.get(..2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &behind[3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_is_text_is_its_own_spelling() {
        assert_eq!(escape("100% über.txt".as_bytes()), "100% über.txt");
        assert_eq!(escape(b"a\\b\xff\x80c"), r"a\\b\xff\x80c");
        assert_eq!(unescape(r"a\\b\xFFc").unwrap(), b"a\\b\xffc");
        for bad in [r"\", r"\n", r"\x", r"\xg0", r"\x1", r"a\x+1", "\\x\u{e9}"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back_as_it_was(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)), Some(bytes));
        }
    }
}
