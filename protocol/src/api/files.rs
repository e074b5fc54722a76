//! Bodies of the routes of files and of their history.

use serde::{Deserialize, Serialize};

use super::FileEncoding;
use crate::time::Timestamp;

/// `GET /api/fs/roots`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileRoots {
    /// The roots.
    pub roots: Vec<FileRoot>,
}

/// A folder below which files can be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileRoot {
    /// Its name in requests.
    pub name: String,
    /// Where it is in the box, escaped as names are.
    pub path: String,
    /// Whether anything in it can be changed here.
    pub writable: bool,
    /// Whether it is there.
    pub present: bool,
}

/// `GET /api/fs/list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileList {
    /// The entries of the page, in the order of the bytes of their names.
    pub entries: Vec<FileEntry>,
    /// What `after` takes for the next page; absent behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the folder has so many entries that some were not looked at; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileEntry {
    /// Its name. A byte that is no part of a character in UTF-8 is written `\xHH`, a backslash
    /// `\\`. It may have control characters in it.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Bytes of a regular file.
    pub size: u64,
    /// When its content was changed last.
    pub modified: Timestamp,
    /// Its mode's lowest twelve bits, as a number.
    pub mode: u32,
    /// Where a link leads, escaped as names are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What changes when the file is another, or is changed. In the header `ETag` it stands in
    /// quotation marks.
    pub tag: String,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

/// `GET /api/fs/read`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileContent {
    /// The file.
    pub entry: FileEntry,
    /// How `data` is written: `utf8` if the file is text.
    pub encoding: FileEncoding,
    /// The whole content.
    pub data: String,
}

/// Body of `POST /api/fs/write`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    /// Name of the root; `workspace` if absent.
    #[serde(default)]
    pub root: Option<String>,
    /// Path below it.
    pub path: String,
    /// The new content.
    #[serde(alias = "content")]
    pub data: String,
    /// How `data` is written.
    #[serde(default)]
    pub encoding: FileEncoding,
}

/// Body of `POST /api/fs/mkdir`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MakeFolder {
    /// Name of the root; `workspace` if absent.
    #[serde(default)]
    pub root: Option<String>,
    /// Path below it.
    pub path: String,
    /// Makes the folders on the way too, and takes one that is there.
    #[serde(default)]
    pub parents: bool,
}

/// Body of `POST /api/fs/delete`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RemoveFile {
    /// Name of the root; `workspace` if absent.
    #[serde(default)]
    pub root: Option<String>,
    /// Path below it.
    pub path: String,
    /// Removes a folder with all that is in it.
    #[serde(default)]
    pub recursive: bool,
}

/// Body of `POST /api/fs/rename`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RenameFile {
    /// Name of the root; `workspace` if absent.
    #[serde(default)]
    pub root: Option<String>,
    /// Path below it.
    pub path: String,
    /// New path below the same root.
    pub to: String,
    /// Whether what stands there goes; refused otherwise.
    #[serde(default)]
    pub replace: bool,
}

/// `GET /api/git/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GitStatus {
    /// The branch; absent if the commit is checked out itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// What the branch follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Commits that the upstream does not have.
    pub ahead: u64,
    /// Commits of the upstream that the branch does not have.
    pub behind: u64,
    /// Files that differ, and those that git does not know.
    pub files: Vec<GitFile>,
    /// Whether there are more; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GitFile {
    /// Its path in the tree, escaped as names are.
    pub path: String,
    /// Where it was before, if it was renamed or copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How the index differs from the commit.
    pub staged: GitState,
    /// How the working tree differs from the index.
    pub unstaged: GitState,
}

/// How a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GitState {
    /// It does not.
    Same,
    /// Another content.
    Modified,
    /// Another kind of file.
    Retyped,
    /// New.
    Added,
    /// Gone.
    Deleted,
    /// Under another name.
    Renamed,
    /// A copy.
    Copied,
    /// Both sides of a merge changed it.
    Unmerged,
    /// Git does not know it.
    Untracked,
}

/// `GET /api/git/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GitLog {
    /// The commits, the newest first.
    pub commits: Vec<GitCommit>,
    /// Whether there are more behind them; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GitCommit {
    /// Its whole name.
    pub id: String,
    /// The names of its parents.
    pub parents: Vec<String>,
    /// Who wrote it, as the commit says.
    pub author: String,
    /// The author's address, as the commit says.
    pub email: String,
    /// When it was written, as the commit says.
    pub at: Timestamp,
    /// The first line of its message, cut at 1000 characters.
    pub subject: String,
}

/// `GET /api/git/diff`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GitDiff {
    /// The files, in git's order.
    pub files: Vec<GitPatch>,
    /// Whether there are more; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// What changed of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GitPatch {
    /// Its path in the tree, escaped as names are.
    pub path: String,
    /// Where it was before, if it was renamed or copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Lines that came; absent of a file that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    /// Lines that went; absent of a file that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
    /// The unified diff, with git's own lines before it. What is no UTF-8 became U+FFFD.
    pub patch: String,
    /// Whether the patch was cut, at 1 MiB a file and 6 MiB in all; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}
