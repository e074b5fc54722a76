//! The history that goes into a box, as one pack.
//!
//! git's own push has the other side look at each object of it once more, to make the index that this
//! side has already. That takes longer than everything else of a start, so what is not large goes with
//! its index. What is large goes as it is made: it would lie on this machine's disk twice.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::{ChildStdin, Stdio};

use tempfile::TempDir;

use super::snapshot::Snapshot;
use super::{GitError, Repository, good, run};

/// KiB of a repository's objects up to which it is packed before it goes.
const SMALL: u64 = 256 << 10;

const WHAT: &str = "pack the history";

/// What a box is given of a repository.
#[derive(Debug)]
pub struct Pack {
    /// The pack and its index; nothing if it is made while it goes.
    folder: Option<TempDir>,
    /// The commits that it is of.
    commits: String,
    /// The commits without whose parents it goes, as git's file of them has it.
    shallow: String,
    /// The digests of its objects: `sha1`, or `sha256`.
    pub format: String,
}

impl Pack {
    /// The history of commits, and nothing else.
    ///
    /// # Errors
    /// git says no, or there is no room.
    pub fn of(
        repository: &Repository,
        snapshot: &Snapshot,
        commits: &[&str],
    ) -> Result<Self, PackError> {
        let kind = [
            "rev-parse",
            "--is-shallow-repository",
            "--show-object-format",
        ];
        let kind = repository.ask("look at its depth", &kind)?;
        let (shallow, format) = kind.split_once('\n').unwrap_or((&kind, "sha1"));
        let mut pack = Self {
            folder: None,
            commits: commits.iter().map(|commit| format!("{commit}\n")).collect(),
            shallow: String::new(),
            format: format.to_owned(),
        };
        if shallow == "true" {
            pack.shallow = roots(repository, snapshot, commits)?;
        }
        if size(repository)? <= SMALL {
            let folder = tempfile::Builder::new().prefix("cib-").tempdir()?;
            let mut command = snapshot.git(repository);
            command.args(["-c", "core.fsync=none", "-c", "pack.packSizeLimit=0"]);
            command.args(PACK).arg(folder.path().join("pack"));
            good(WHAT, run(WHAT, &mut command, pack.commits.as_bytes())?)?;
            pack.folder = Some(folder);
        }
        Ok(pack)
    }

    /// How many bytes come before the pack.
    #[must_use]
    pub fn before(&self) -> usize {
        self.shallow.len()
    }

    /// Whether it comes with its index, in an archive.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.folder.is_some()
    }

    /// Sends it.
    ///
    /// # Errors
    /// git says no, or the other side does not take it.
    pub fn send(
        &self,
        repository: &Repository,
        snapshot: &Snapshot,
        mut sink: ChildStdin,
    ) -> Result<(), PackError> {
        sink.write_all(self.shallow.as_bytes())?;
        if let Some(folder) = &self.folder {
            return Ok(archive(folder, sink)?);
        }
        let mut command = snapshot.git(repository);
        command.args(PACK).arg("--stdout");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::from(OwnedFd::from(sink)))
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(self.commits.as_bytes())?;
        }
        let ended = child.wait_with_output()?;
        if ended.status.success() {
            return Ok(());
        }
        Err(PackError::Git(GitError::Refused {
            what: WHAT.to_owned(),
            said: crate::text::plain_bytes(&ended.stderr).trim().to_owned(),
        }))
    }
}

/// Why there is no pack, or it did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// git did not do its part.
    #[error(transparent)]
    Git(#[from] GitError),
    /// There is no room, or nobody takes it.
    #[error("the history cannot be packed and sent")]
    Io(#[from] io::Error),
}

const PACK: [&str; 4] = ["pack-objects", "--revs", "--quiet", "--delta-base-offset"];

/// KiB of a repository's objects.
fn size(repository: &Repository) -> Result<u64, GitError> {
    let said = repository.ask("count its objects", &["count-objects", "-v"])?;
    let of = |key: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse::<u64>().ok()
    };
    // What somebody else has for it is not counted.
    if of("size:").is_none() || said.contains("\nalternate: ") {
        return Ok(u64::MAX);
    }
    Ok(of("size:").unwrap_or(0) + of("size-pack:").unwrap_or(u64::MAX / 2))
}

/// Those of the commits without parents here that a history reaches.
fn roots(
    repository: &Repository,
    snapshot: &Snapshot,
    commits: &[&str],
) -> Result<String, PackError> {
    let words = [
        "rev-parse",
        "--path-format=absolute",
        "--git-path",
        "shallow",
    ];
    let place = repository.ask("look at its depth", &words)?;
    let all = cib_foreign::own::read(&place)?;
    let all = String::from_utf8_lossy(&all);
    let mut command = snapshot.git(repository);
    command.args(["rev-list", "--max-parents=0"]).args(commits);
    let reached = good(WHAT, run(WHAT, &mut command, b"")?)?.text();
    let reached: std::collections::BTreeSet<&str> = reached.lines().collect();
    let here = all.lines().filter(|line| reached.contains(line));
    Ok(here.map(|line| format!("{line}\n")).collect())
}

/// The files of a folder.
fn archive(folder: &TempDir, sink: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(1 << 18, sink));
    let mut names: Vec<_> = std::fs::read_dir(folder.path())?.collect::<Result<_, _>>()?;
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names {
        let mut file: File = cib_foreign::own::open(entry.path())?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o444);
        archive.append_data(&mut header, entry.file_name(), &mut file)?;
    }
    archive.into_inner()?.flush()
}
