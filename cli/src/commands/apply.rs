//! `cib apply`: what a box has committed becomes a branch here, and by request more.

use std::ffi::OsString;

use serde_json::json;

use super::{Context, diff};
use crate::args::Apply;
use crate::boxes::Found;
use crate::failure::Failure;
use crate::git::fetch::{self, Difference};
use crate::git::{self, GitError, Repository, good, helper, refs, work};

/// What runs no hook, whoever has configured one.
const NO_HOOKS: [&str; 4] = [
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
];

pub(super) fn run(context: &Context<'_>, arguments: &Apply) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    let repository = context.repository_of(&found)?;
    let most = helper::MAX_FETCH_DEFAULT;
    fetch::fetch(context.around, &repository, &engine, &found, false, most)?;
    let head = fetch::reference(&found.name, &found.branch);
    let mut inner = Vec::new();
    let (old, new) = if arguments.patch {
        let brought = work::fetch(context.around, &repository, &engine, &found, most)?;
        for path in &brought.missing {
            context.output.warn(&format!(
                "the submodule {path} has uncommitted work that stays in the box"
            ));
        }
        inner = brought.inner;
        (format!("{}^", brought.reference), brought.reference)
    } else {
        (diff::base(&repository, &found, &head)?, head)
    };
    // What is agreed to is what is taken, whatever these names stand for by then.
    let inner: Vec<_> = inner
        .into_iter()
        .map(|one| {
            let (old, new) = (fixed(&one.repository, &old)?, fixed(&one.repository, &new)?);
            Ok::<_, Failure>((one, old, new))
        })
        .collect::<Result<_, _>>()?;
    let (old, new) = (fixed(&repository, &old)?, fixed(&repository, &new)?);
    let difference = fetch::compare(&repository, &old, &new)?;
    let touches = arguments.patch || arguments.merge || arguments.checkout;
    if touches && !repository.is_clean()? {
        return Err(Failure::failed("the working tree has changes of its own")
            .remedy("commit or stash them first"));
    }
    consent(context, &difference, touches, arguments.yes)?;
    for (one, old, new) in &inner {
        let difference = fetch::compare(&one.repository, old, new)?;
        consent(context, &difference, touches, arguments.yes)?;
    }
    let result = if arguments.patch {
        // The innermost first: of a submodule that cannot take it nothing else is changed.
        for (one, old, new) in inner.iter().rev() {
            patch(&one.repository, old, new)?;
            context
                .output
                .note(&format!("the submodule {} has its work, too", one.path));
        }
        patch(&repository, &old, &new)?;
        let inner: Vec<&str> = inner.iter().map(|(one, ..)| one.path.as_str()).collect();
        json!({"patched": difference.changes.len(), "submodules": inner})
    } else if arguments.merge {
        let message = format!("Merge {} of the box {}", found.branch, found.name);
        let words = ["merge", "--no-edit", "-m", &message, &new];
        git_without_hooks(&repository, "merge", &words)?;
        json!({"merged": repository.commit(&new)?})
    } else {
        let branch = arguments
            .branch
            .clone()
            .unwrap_or_else(|| found.branch.clone());
        let id = branch_of(&repository, &found, &branch, &new)?;
        if arguments.checkout {
            git_without_hooks(
                &repository,
                "check it out",
                &["checkout", "--quiet", &branch, "--"],
            )?;
        }
        context.output.note(&format!(
            "branch {branch} is at {}",
            id.get(..10).unwrap_or_default()
        ));
        json!({"branch": branch, "commit": id})
    };
    context.output.result(&result, String::new);
    Ok(0)
}

/// The commit that a name stands for now.
fn fixed(repository: &Repository, name: &str) -> Result<String, Failure> {
    let gone = || Failure::failed("nothing was brought over");
    repository.commit(name)?.ok_or_else(gone)
}

/// Names what acts by itself, and has a person agree before it comes near the working tree.
pub(super) fn consent(
    context: &Context<'_>,
    difference: &Difference,
    acts: bool,
    yes: bool,
) -> Result<(), Failure> {
    if difference.guarded.is_empty() {
        return Ok(());
    }
    context
        .output
        .warn(diff::guards(context, difference).trim_end());
    if !acts || yes {
        return Ok(());
    }
    if context.confirm("Go on?", "--yes")? {
        Ok(())
    } else {
        Err(Failure::failed("not agreed to"))
    }
}

/// Makes a branch, or moves one forward; never one that is checked out, and never sideways.
pub(super) fn branch_of(
    repository: &Repository,
    found: &Found,
    branch: &str,
    new: &str,
) -> Result<String, Failure> {
    if !refs::is_usable(branch) {
        return Err(GitError::Name(branch.to_owned()).into());
    }
    let gone = || Failure::failed(format!("{} brought nothing over", found.name));
    let id = repository.commit(new)?.ok_or_else(gone)?;
    let full = format!("refs/heads/{branch}");
    let old = repository.commit(&full)?;
    if old.as_ref() == Some(&id) {
        return Ok(id);
    }
    let trees = repository.ask("list working trees", &["worktree", "list", "--porcelain"])?;
    if trees
        .lines()
        .any(|line| line.strip_prefix("branch ") == Some(&full))
    {
        return Err(
            Failure::failed(format!("the branch {branch} is checked out"))
                .remedy("--merge brings the work into it, --branch names another"),
        );
    }
    if let Some(old) = &old {
        let ran = repository.run(
            "compare two commits",
            &["merge-base", "--is-ancestor", old, &id],
        )?;
        if !ran.good() {
            return Err(Failure::failed(format!(
                "the branch {branch} has commits that the box has not"
            ))
            .remedy("--branch names another, --merge brings both together"));
        }
    }
    let before = old.unwrap_or_else(|| "0".repeat(id.len()));
    repository.ask(
        "make a branch",
        &["update-ref", "-m", "cib apply", &full, &id, &before],
    )?;
    Ok(id)
}

fn git_without_hooks(repository: &Repository, what: &str, words: &[&str]) -> Result<(), Failure> {
    let mut arguments = NO_HOOKS.to_vec();
    arguments.extend(words);
    repository.ask(what, &arguments)?;
    Ok(())
}

/// Takes a difference into working tree and index, as a patch: nothing is checked out.
fn patch(repository: &Repository, old: &str, new: &str) -> Result<(), Failure> {
    const WHAT: &str = "take over what is not committed";
    let words = [
        "diff",
        "--binary",
        "--full-index",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        "--end-of-options",
        old,
        new,
    ];
    let made = good(WHAT, repository.run(WHAT, &words)?)?;
    if made.stdout.is_empty() {
        return Ok(());
    }
    let mut command = repository.git();
    let words: Vec<OsString> = ["apply", "--index", "--3way", "-"].map(Into::into).into();
    command.args(NO_HOOKS).args(words);
    good(WHAT, git::run(WHAT, &mut command, &made.stdout)?)?;
    Ok(())
}
