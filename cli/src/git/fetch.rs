//! Bringing over what was made in a box: objects, each checked, which become refs and nothing else.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Serialize;

use super::guards::{self, Change, Guarded};
use super::refs::{self, Branch};
use super::{GitError, Repository, good, helper, lfs, run, submodules};
use crate::boxes::Found;
use crate::engine::{Engine, EngineError};
use crate::surroundings::Surroundings;
use crate::text;

/// Bytes of a file up to which its changes are shown.
pub const SHOWN: u64 = 1 << 20;

/// What all refs of boxes begin with.
const REFS: &str = "refs/remotes/cib";

/// Links that git is asked for at once, each of 4 KiB at most.
const LINKS: usize = 2000;

/// What git is at when it looks at what lies between two commits.
const COMPARE: &str = "compare two commits";

/// Why nothing was brought over.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// git on this machine did not do its part.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The engine did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The box does not say what it has.
    #[error("the box does not list its branches: {0}")]
    List(String),
    /// The box has no such branch.
    #[error("the box has no branch `{0}`")]
    NoBranch(String),
    /// The box's uncommitted work cannot be made a commit.
    #[error("the box's uncommitted work cannot be read: {0}")]
    Wip(String),
    /// Large files of the box are more than was said.
    #[error("the box's large files have more than {0} bytes (--max-fetch)")]
    Large(u64),
    /// A large file is not what its pointer says.
    #[error("the box gives another content for the large file {0}")]
    Content(String),
    /// The helper of git cannot be put where git finds it.
    #[error("cannot make the remote helper")]
    Helper(#[from] std::io::Error),
}

impl From<FetchError> for crate::failure::Failure {
    fn from(error: FetchError) -> Self {
        Self::failed(error)
    }
}

/// A branch that was brought over.
#[derive(Clone, Debug, Serialize)]
pub struct Brought {
    /// Its name in the box.
    pub branch: String,
    /// The ref that it has here.
    pub reference: String,
    /// What that was before.
    pub old: Option<String>,
    /// What it is now.
    pub new: String,
}

/// What a fetch came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Fetched {
    /// The branches, in the box's order.
    pub branches: Vec<Brought>,
    /// Branches of the box that were not asked for.
    pub others: Vec<String>,
    /// Refs that are not used here, fit to be shown.
    pub refused: Vec<String>,
    /// Submodules whose commits came along.
    pub submodules: Vec<String>,
    /// Submodules whose commits the box does not give, fit to be shown.
    pub missing: Vec<String>,
    /// How many contents of large files came along.
    pub large: usize,
}

/// The ref that a branch of a box has here.
#[must_use]
pub fn reference(name: &str, branch: &str) -> String {
    format!("{REFS}/{name}/{branch}")
}

/// The branches that a box has.
///
/// # Errors
/// It does not say.
pub fn branches(engine: &Engine, found: &Found) -> Result<refs::Listing, FetchError> {
    let format = "--format=%(objectname) %(refname)";
    let mut command = found.git(
        engine,
        &["-C", "/workspace", "for-each-ref", format, "refs/heads"],
    );
    let ran = run("list the box's branches", &mut command, b"")?;
    if !ran.good() {
        return Err(FetchError::List(ran.complaint()));
    }
    Ok(refs::parse(&ran.stdout))
}

/// Brings over branches: the one that the box was started with, or all.
///
/// # Errors
/// A [`FetchError`]; refs here are then as they were.
pub fn fetch(
    around: &Surroundings,
    repository: &Repository,
    engine: &Engine,
    found: &Found,
    all: bool,
    most: u64,
) -> Result<Fetched, FetchError> {
    let listing = branches(engine, found)?;
    let own = |branch: &Branch| all || branch.name == found.branch;
    let (wanted, others): (Vec<_>, Vec<_>) = listing.branches.into_iter().partition(own);
    if wanted.is_empty() {
        return Err(FetchError::NoBranch(found.branch.clone()));
    }
    let mut brought = Vec::new();
    for branch in &wanted {
        let reference = reference(&found.name, &branch.name);
        brought.push(Brought {
            branch: branch.name.clone(),
            old: repository.commit(&reference)?,
            new: String::new(),
            reference,
        });
    }
    let refspecs: Vec<String> = brought
        .iter()
        .map(|one| format!("+refs/heads/{}:{}", one.branch, one.reference))
        .collect();
    let place = Place {
        around,
        engine,
        found,
        most,
    };
    place.bring(repository, "", &refspecs)?;
    let mut fetched = Fetched {
        others: others.into_iter().map(|branch| branch.name).collect(),
        refused: listing.refused,
        ..Fetched::default()
    };
    for one in &mut brought {
        // The box may have moved since it was listed: what counts is what is here.
        one.new = repository.commit(&one.reference)?.unwrap_or_default();
        place.bring_inner(repository, one, &mut fetched)?;
        if repository.commit(&found.base)?.is_some() {
            fetched.large += lfs::bring(repository, engine, found, &found.base, &one.new, most)?;
        }
    }
    fetched.branches = brought;
    Ok(fetched)
}

/// Where objects are brought from, and how many bytes of them at most.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) around: &'a Surroundings,
    pub(super) engine: &'a Engine,
    pub(super) found: &'a Found,
    pub(super) most: u64,
}

impl Place<'_> {
    /// Brings the commits of submodules that a branch has moved, into those that are checked out
    /// here. What the box does not give is told: the branch is of use without it.
    fn bring_inner(
        &self,
        repository: &Repository,
        branch: &Brought,
        fetched: &mut Fetched,
    ) -> Result<(), FetchError> {
        let base = &self.found.base;
        if !repository.top.join(".gitmodules").exists() || repository.commit(base)?.is_none() {
            return Ok(());
        }
        for change in changes(repository, base, &branch.new)? {
            let path = String::from_utf8_lossy(&change.path).into_owned();
            if change.new_mode != "160000" || !submodules::is_path(&path) {
                continue;
            }
            let Some(inner) = submodules::at(self.around, repository, &path) else {
                continue;
            };
            if inner.commit(&change.new_id)?.is_some() {
                continue;
            }
            let reference = reference(&self.found.name, &branch.branch);
            let refspec = format!("+{}:{reference}", change.new_id);
            let list = match self.bring(&inner, &path, &[refspec]) {
                Ok(()) => &mut fetched.submodules,
                Err(_) => &mut fetched.missing,
            };
            list.push(text::line(&path));
        }
        Ok(())
    }

    /// Brings objects into a repository: of the box's, or of a submodule's of it.
    pub(super) fn bring(
        &self,
        repository: &Repository,
        path: &str,
        refspecs: &[String],
    ) -> Result<(), FetchError> {
        let Self {
            around,
            engine,
            found,
            most,
        } = self;
        let mut address = format!("cib::{}", found.name);
        if !path.is_empty() {
            address.push('/');
            address.push_str(path);
        }
        bring(around, repository, engine, &address, refspecs, *most)
    }
}

fn bring(
    around: &Surroundings,
    repository: &Repository,
    engine: &Engine,
    address: &str,
    refspecs: &[String],
    most: u64,
) -> Result<(), FetchError> {
    const WHAT: &str = "bring over what the box has";
    let folder = tempfile::Builder::new().prefix("cib-helper-").tempdir()?;
    let this = std::env::current_exe()?;
    std::os::unix::fs::symlink(this, folder.path().join(crate::REMOTE_HELPER))?;
    let mut path = folder.path().as_os_str().to_owned();
    if let Some(rest) = around.variable("PATH") {
        path.push(":");
        path.push(rest);
    }
    let mut command = repository.git();
    command
        .env("PATH", path)
        .env("CIB_ENGINE", engine.word())
        .env(helper::MAX_FETCH, most.to_string())
        .env("GIT_TERMINAL_PROMPT", "0");
    checked(&mut command);
    command
        .args(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"])
        .args([
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--refmap=",
        ])
        .arg("--end-of-options")
        .arg(address)
        .args(refspecs);
    good(WHAT, run(WHAT, &mut command, b"")?)?;
    Ok(())
}

/// What makes a fetch take objects over our own helper, look at each, and start nothing else.
fn checked(command: &mut Command) {
    for setting in [
        "protocol.allow=never",
        "protocol.cib.allow=always",
        "fetch.fsckObjects=true",
        "fetch.unpackLimit=1",
        "fetch.prune=false",
        "fetch.writeCommitGraph=false",
        "fetch.bundleURI=",
        "transfer.bundleURI=false",
        "gc.auto=0",
        "maintenance.auto=false",
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
    ] {
        command.args(["-c", setting]);
    }
}

/// What differs between two commits, and what of it is to be looked at first.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The changed files.
    pub changes: Vec<Change>,
    /// Those whose content is too large to be shown, with their sizes.
    pub large: Vec<(Vec<u8>, u64)>,
    /// Those that act later.
    pub guarded: Vec<Guarded>,
}

/// The files that differ between two commits.
///
/// # Errors
/// git says no.
pub(super) fn changes(
    repository: &Repository,
    old: &str,
    new: &str,
) -> Result<Vec<Change>, GitError> {
    let words = [
        "diff-tree",
        "-r",
        "--raw",
        "-z",
        "--no-renames",
        "--end-of-options",
        old,
        new,
    ];
    let ran = good(COMPARE, repository.run(COMPARE, &words)?)?;
    Ok(guards::parse(&ran.stdout))
}

/// What links say, by their objects: there may be as many as a box likes.
fn targets(repository: &Repository, links: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, GitError> {
    let mut targets = BTreeMap::new();
    for ids in links.chunks(LINKS) {
        let mut command = repository.git();
        command.args(["cat-file", "--batch"]);
        let list = ids.join("\n") + "\n";
        let ran = good(COMPARE, run(COMPARE, &mut command, list.as_bytes())?)?;
        let found = lfs::contents(&ran.stdout);
        targets.extend(found.map(|(id, target)| (id.to_owned(), target.to_owned())));
    }
    Ok(targets)
}

/// Compares two commits without showing any content.
///
/// # Errors
/// git says no.
pub fn compare(repository: &Repository, old: &str, new: &str) -> Result<Difference, GitError> {
    let changes = changes(repository, old, new)?;
    let ids: Vec<&str> = changes
        .iter()
        .flat_map(|change| [change.old_id.as_str(), change.new_id.as_str()])
        .filter(|id| id.bytes().any(|byte| byte != b'0'))
        .collect();
    let mut list = ids.join("\n");
    list.push('\n');
    let mut command = repository.git();
    command.args(["cat-file", "--batch-check=%(objectname) %(objectsize)"]);
    let ran = good(COMPARE, run(COMPARE, &mut command, list.as_bytes())?)?;
    let text = ran.text();
    let sizes: BTreeMap<&str, u64> = text
        .lines()
        .filter_map(|line| {
            let (id, size) = line.split_once(' ')?;
            Some((id, size.parse().ok()?))
        })
        .collect();
    let size = |id: &String| sizes.get(id.as_str()).copied().unwrap_or(0);
    let mut large = Vec::new();
    let mut links = Vec::new();
    for change in &changes {
        let most = size(&change.old_id).max(size(&change.new_id));
        if most > SHOWN {
            large.push((change.path.clone(), size(&change.new_id)));
        } else if change.new_mode == "120000" && most <= 4096 {
            links.push(change.new_id.as_str());
        }
    }
    let guarded = guards::guarded(&changes, &targets(repository, &links)?);
    Ok(Difference {
        changes,
        large,
        guarded,
    })
}
