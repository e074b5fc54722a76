//! The history of a working tree, as `git` tells it.
//!
//! The repository is the agent's: its configuration may name programs that git runs. They run as
//! coder, which the agent may at any time; what they get besides is bounded in time, memory and
//! output. Those that serve no purpose here are turned off all the same.

mod parse;
mod run;

use std::os::fd::OwnedFd;

use cib_protocol::api::{GitDiff, GitLog, GitStatus};
use cib_protocol::files::{Change, FilesFault};

use self::run::{Git, Output};
use crate::fault::Refusal;

/// Commits of one answer, at most.
const MAX_COMMITS: u32 = 500;

/// Bytes of git's answer that are read of a status and of a log.
const SHORT: usize = 2 * 1024 * 1024;

/// Bytes of git's answer that are read of a diff.
const LONG: usize = 6 * 1024 * 1024;

/// Name of the tree of nothing, against which the first commit is shown.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// How a working tree differs from what is committed.
///
/// # Errors
/// If it is none, or git does not answer in time.
pub fn status(workdir: &OwnedFd) -> Result<GitStatus, Refusal> {
    let git = Git::at(workdir);
    let words = [
        "status",
        "--porcelain=v2",
        "-z",
        "--branch",
        "--untracked-files=normal",
        "--ignore-submodules=dirty",
        "--find-renames",
    ];
    let output = git.run(&words, SHORT)?.checked()?;
    Ok(parse::status(&output.stdout, output.cut))
}

/// Commits, the newest first.
///
/// # Errors
/// As [`status`], and if `from` is no commit.
pub fn log(
    workdir: &OwnedFd,
    from: Option<&str>,
    skip: u32,
    limit: u32,
) -> Result<GitLog, Refusal> {
    let git = Git::at(workdir);
    let limit = limit.clamp(1, MAX_COMMITS);
    let from = from.map(revision).transpose()?;
    if from.is_none() && !git.has_commits()? {
        return Ok(GitLog {
            commits: Vec::new(),
            more: false,
        });
    }
    let count = format!("--max-count={}", limit + 1);
    let skip = format!("--skip={skip}");
    let words = [
        "log",
        "-z",
        "--no-show-signature",
        "--no-mailmap",
        "--no-decorate",
        "--encoding=UTF-8",
        "--format=%H%x00%P%x00%an%x00%ae%x00%at%x00%s",
        &count,
        &skip,
        "--end-of-options",
        from.unwrap_or("HEAD"),
        "--",
    ];
    let output = git.run(&words, SHORT)?.checked()?;
    let (mut commits, are_all) = parse::log(&output.stdout);
    let more = commits.len() > limit as usize || !are_all || output.cut;
    commits.truncate(limit as usize);
    Ok(GitLog { commits, more })
}

/// What changed.
///
/// # Errors
/// As [`status`], and if a commit is named that is none.
pub fn diff(workdir: &OwnedFd, change: &Change, path: Option<&str>) -> Result<GitDiff, Refusal> {
    let git = Git::at(workdir);
    let path = path.map(crate::place::parts).transpose()?;
    let mut words: Vec<&str> = vec!["diff"];
    let parent;
    match change {
        Change::Uncommitted if git.has_commits()? => words.extend(["--end-of-options", "HEAD"]),
        Change::Uncommitted => words.extend(["--end-of-options", EMPTY_TREE]),
        Change::Staged => words.push("--cached"),
        Change::Since(base) => words.extend(["--end-of-options", revision(base)?]),
        Change::Commit(commit) => {
            let commit = revision(commit)?;
            parent = format!("{commit}^1");
            let has_parent = git.knows(&parent)?;
            let before = if has_parent { &*parent } else { EMPTY_TREE };
            words.extend(["--end-of-options", before, commit]);
        }
    }
    let at = 1 + usize::from(words.get(1) == Some(&"--cached"));
    let with = |format: &[&'static str]| {
        let mut all = words.clone();
        let common = [
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            "--find-renames",
            "--ignore-submodules=dirty",
            "--submodule=short",
            "--src-prefix=a/",
            "--dst-prefix=b/",
        ];
        all.splice(at..at, common.iter().chain(format).copied());
        all.push("--");
        all
    };
    let run = |format: &[&'static str], most| -> Result<Output, Refusal> {
        git.run_on(&with(format), path.as_deref(), most)?.checked()
    };
    let numbers = run(&["--numstat", "-z"], SHORT)?;
    let patches = run(&["--patch", "--unified=3"], LONG)?;
    Ok(parse::diff(&numbers, &patches))
}

/// A name of a commit that cannot be taken for anything else.
fn revision(name: &str) -> Result<&str, Refusal> {
    let is_plain = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('-')
        && !name.contains("..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._/-~^@{}".contains(&byte));
    if is_plain {
        return Ok(name);
    }
    let why = "a commit is named by its id, a branch or a tag";
    Err(Refusal::new(FilesFault::BadRequest, why))
}

#[cfg(test)]
mod tests;
