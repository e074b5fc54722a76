//! `cib push`: a box's branch to a remote, from this machine and with this machine's credentials.

use std::process::Stdio;

use serde_json::json;

use super::{Context, apply, diff};
use crate::args::Push;
use crate::boxes::Found;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::git::{GitError, Repository, fetch, helper, refs};

/// A branch that was pushed.
#[derive(Debug)]
pub(super) struct Pushed {
    /// The box.
    pub found: Found,
    /// The repository here.
    pub repository: Repository,
    /// The remote.
    pub remote: String,
    /// The commit that it began with.
    pub base: String,
    /// The commit that was pushed.
    pub commit: String,
    /// The remote's default branch.
    pub default: Option<String>,
}

pub(super) fn run(context: &Context<'_>, arguments: &Push) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    let pushed = push(context, &engine, found, arguments, &[])?;
    let value =
        json!({"remote": pushed.remote, "branch": pushed.found.branch, "commit": pushed.commit});
    context.output.result(&value, || {
        format!(
            "{} is at {} on {}",
            pushed.found.branch,
            &pushed.commit[..10],
            pushed.remote
        )
    });
    Ok(0)
}

/// Brings a box's branch over and pushes it; `options` are push options for the remote.
pub(super) fn push(
    context: &Context<'_>,
    engine: &Engine,
    found: Found,
    arguments: &Push,
    options: &[String],
) -> Result<Pushed, Failure> {
    let repository = context.repository_of(&found)?;
    fetch::fetch(
        context.around,
        &repository,
        engine,
        &found,
        false,
        helper::MAX_FETCH_DEFAULT,
    )?;
    let reference = fetch::reference(&found.name, &found.branch);
    let nothing = || Failure::failed(format!("{} brought nothing over", found.name));
    let commit = repository.commit(&reference)?.ok_or_else(nothing)?;
    if !refs::is_usable(&found.branch) {
        return Err(GitError::Name(found.branch.clone()).into());
    }
    let base = diff::base(&repository, &found, &commit)?;
    if commit == base {
        return Err(Failure::failed(format!(
            "{} has committed nothing",
            found.name
        )));
    }
    let difference = fetch::compare(&repository, &base, &commit)?;
    apply::consent(context, &difference, true, arguments.yes)?;
    let remote = match arguments.remote.clone().or_else(|| found.remote.clone()) {
        Some(remote) => remote,
        None => repository.remote()?.ok_or_else(|| {
            Failure::usage("the repository has no remote").remedy("name one with --remote")
        })?,
    };
    let default = default_branch(&repository, &remote)?;
    if default.as_deref() == Some(&found.branch) && !arguments.allow_default {
        return Err(Failure::failed(format!(
            "{} is the default branch of {remote}",
            found.branch
        ))
        .remedy("--allow-default, if that is meant"));
    }
    let pushed = format!("refs/cib/{}/pushed", found.name);
    let last = repository.commit(&pushed)?;
    let mut command = repository.git();
    command.args(["push", "--no-follow-tags", "--recurse-submodules=no"]);
    if let Some(last) = &last {
        let ran = repository.run(
            "compare two commits",
            &["merge-base", "--is-ancestor", last, &commit],
        )?;
        if !ran.good() {
            // What was pushed is no longer in the branch: it goes only if nobody has added to it.
            command.arg(format!(
                "--force-with-lease=refs/heads/{}:{last}",
                found.branch
            ));
        }
    }
    for option in options {
        command.args(["-o", option]);
    }
    if context.output.quiet || context.output.json {
        command.arg("--quiet");
    }
    command
        .args(["--end-of-options", &remote])
        .arg(format!("{commit}:refs/heads/{}", found.branch))
        .stdout(Stdio::null());
    if !context.can_ask {
        command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    }
    context
        .output
        .step(&format!("Pushing {} to {remote}", found.branch));
    let ended = command.status()?;
    if !ended.success() {
        return Err(Failure::failed("git has not pushed; what it said is above"));
    }
    repository.ask(
        "remember what was pushed",
        &["update-ref", &pushed, &commit],
    )?;
    Ok(Pushed {
        found,
        repository,
        remote,
        base,
        commit,
        default,
    })
}

/// The branch that a remote's `HEAD` names; none if it says nothing.
fn default_branch(repository: &Repository, remote: &str) -> Result<Option<String>, Failure> {
    let words = ["ls-remote", "--symref", "--end-of-options", remote, "HEAD"];
    let ran = repository.run("ask the remote", &words)?;
    if !ran.good() {
        return Err(Failure::failed(format!(
            "{remote} does not answer: {}",
            ran.complaint()
        )));
    }
    let text = ran.text();
    let name = text.lines().find_map(|line| {
        let name = line.strip_prefix("ref: refs/heads/")?;
        Some(name.split('\t').next()?.to_owned())
    });
    Ok(name)
}
