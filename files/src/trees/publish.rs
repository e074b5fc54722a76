//! A working tree that is no task's, published by a person: what is checked out, and its push.

use std::os::fd::OwnedFd;

use cib_protocol::files::GitPlace;
use cib_protocol::trees::Through;

use super::PUSHING;
use super::git::Git;
use crate::fault::Refusal;

/// What is checked out, and where it comes from.
///
/// # Errors
/// If it is no working tree, or git does not answer in time.
pub fn place(folder: OwnedFd) -> Result<GitPlace, Refusal> {
    let git = Git::at(folder);
    let inside = ["rev-parse", "--is-inside-work-tree"];
    git.run(&inside, super::git::SOON)?.checked()?;
    let branch = git.line(&["symbolic-ref", "--quiet", "--short", "HEAD"])?;
    let named = match &branch {
        Some(branch) => git.setting(&format!("branch.{branch}.remote"))?,
        None => None,
    };
    let remote = named.as_deref().unwrap_or("origin");
    Ok(GitPlace {
        commit: git.line(&["rev-parse", "--quiet", "--verify", "HEAD^{commit}"])?,
        remote: git.setting(&format!("remote.{remote}.url"))?,
        folder: git.line(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?,
        branch,
    })
}

/// Pushes a commit to a branch, by way of control. What was not taken comes back in git's words.
///
/// # Errors
/// If git does not answer in time.
pub fn push(
    folder: OwnedFd,
    commit: &str,
    branch: &str,
    to: &str,
    through: &Through,
) -> Result<Option<String>, Refusal> {
    let git = Git::at(folder).through(Some(through));
    // Whether a branch may be rewritten is control's to say, in its own words.
    let what = format!("+{commit}:refs/heads/{branch}");
    let output = git.run(
        &["push", "--quiet", "--no-verify", "--", to, &what],
        PUSHING,
    )?;
    Ok((!output.is_good).then(|| output.complaint()))
}
