//! `cib diff`: what a box has done, as text that no terminal obeys.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::Context;
use crate::args::Diff;
use crate::boxes::Found;
use crate::failure::Failure;
use crate::git::fetch::{self, Difference};
use crate::git::{Repository, good, helper, work};
use crate::{paint, text};

/// Characters of a line that are shown.
const LINE: usize = 4000;

pub(super) fn run(context: &Context<'_>, arguments: &Diff) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    let repository = context.repository_of(&found)?;
    let most = helper::MAX_FETCH_DEFAULT;
    fetch::fetch(context.around, &repository, &engine, &found, false, most)?;
    let brought = if arguments.wip {
        Some(work::fetch(
            context.around,
            &repository,
            &engine,
            &found,
            most,
        )?)
    } else {
        None
    };
    let new = match &brought {
        Some(brought) => brought.reference.clone(),
        None => fetch::reference(&found.name, &found.branch),
    };
    let brought = brought.unwrap_or_default();
    let (base, new) = match &arguments.commit {
        None => (base(&repository, &found, &new)?, new),
        Some(word) => one(&repository, &new, word)?,
    };
    let difference = fetch::compare(&repository, &base, &new)?;
    for path in &brought.missing {
        context.output.warn(&format!(
            "the submodule {path} has uncommitted work that stays in the box"
        ));
    }
    if context.output.json {
        let files: Vec<_> = difference
            .changes
            .iter()
            .map(|change| serde_json::json!({"path": text::line(&String::from_utf8_lossy(&change.path)), "status": change.status}))
            .collect();
        let inner: Vec<&str> = brought
            .inner
            .iter()
            .map(|inner| inner.path.as_str())
            .collect();
        let value = serde_json::json!({
            "base": base, "head": repository.commit(&new)?, "files": files,
            "guarded": difference.guarded, "submodules": inner, "missing": brought.missing,
        });
        context.output.result(&value, String::new);
        return Ok(0);
    }
    let stat = arguments.stat;
    let mut shown = patch(context, &repository, &base, &new, &difference, stat)?;
    for inner in &brought.inner {
        let (repository, old) = (&inner.repository, format!("{new}^"));
        let difference = fetch::compare(repository, &old, &new)?;
        let heading = format!("In the submodule {}:", inner.path);
        shown.push_str(&format!("{}\n", context.output.colored("1", &heading)));
        shown.push_str(&patch(context, repository, &old, &new, &difference, stat)?);
    }
    page(context, &shown, arguments.no_pager);
    Ok(0)
}

/// A commit of a box's, and the one before it.
fn one(repository: &Repository, head: &str, word: &str) -> Result<(String, String), Failure> {
    let no = || {
        Failure::failed(format!(
            "the box's branch has no commit {}",
            text::line(word)
        ))
    };
    let is_id = word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = repository.commit(word)?.filter(|_| is_id).ok_or_else(no)?;
    let words = ["merge-base", "--is-ancestor", &id, head];
    if !repository.run("look for a commit", &words)?.good() {
        return Err(no());
    }
    let before = repository
        .commit(&format!("{id}^"))?
        .ok_or_else(|| Failure::failed(format!("{} is the first commit", text::line(word))))?;
    Ok((before, id))
}

/// The commit that a box's work is compared with: where it began, or where it left what is here.
pub(super) fn base(repository: &Repository, found: &Found, new: &str) -> Result<String, Failure> {
    let ran = repository.run("find a common commit", &["merge-base", &found.base, new])?;
    let common = ran.text();
    if ran.good() && crate::git::refs::is_id(&common) {
        return Ok(common);
    }
    Ok(found.base.clone())
}

/// A patch between two commits, sanitized and, where that is wanted, coloured.
pub(super) fn patch(
    context: &Context<'_>,
    repository: &Repository,
    base: &str,
    new: &str,
    difference: &Difference,
    stat: bool,
) -> Result<String, Failure> {
    const WHAT: &str = "show a difference";
    let mut arguments: Vec<std::ffi::OsString> = [
        "-c",
        "core.quotePath=true",
        "-c",
        "diff.suppressBlankEmpty=false",
        "diff",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        "--submodule=short",
    ]
    .map(Into::into)
    .into();
    if stat {
        arguments.push("--stat=120".into());
    }
    arguments.extend(["--end-of-options", base, new, "--", ":/"].map(Into::into));
    for (path, _) in &difference.large {
        use std::os::unix::ffi::OsStringExt as _;
        let mut spec = b":(exclude,literal,top)".to_vec();
        spec.extend(path);
        arguments.push(std::ffi::OsString::from_vec(spec));
    }
    let ran = good(WHAT, repository.run(WHAT, &arguments)?)?;
    let mut out = String::new();
    for line in text::plain_bytes(&ran.stdout).lines() {
        out.extend(line.chars().take(LINE));
        out.push('\n');
    }
    if context.output.color && !stat {
        out = paint::patch(&out);
    }
    for (path, size) in &difference.large {
        let path = text::line(&String::from_utf8_lossy(path));
        out.push_str(&format!("{path}: {size} bytes, not shown\n"));
    }
    out.push_str(&guards(context, difference));
    Ok(out)
}

/// What is to be looked at first, as lines.
pub(super) fn guards(context: &Context<'_>, difference: &Difference) -> String {
    if difference.guarded.is_empty() {
        return String::new();
    }
    let mut out = context
        .output
        .colored("33", "These act by themselves once they are here:");
    out.push('\n');
    for one in &difference.guarded {
        out.push_str(&format!("    {}  ({})\n", one.path, one.why));
    }
    out
}

/// Shows a text by the person's pager, where there is a terminal.
pub(super) fn page(context: &Context<'_>, text: &str, no_pager: bool) {
    let around = context.around;
    let named = around
        .variable("CIB_PAGER")
        .or_else(|| around.variable("PAGER"));
    let pager = named.unwrap_or("less");
    if no_pager || !around.shows || context.output.json || pager == "cat" {
        context.output.line(text.trim_end_matches('\n'));
        return;
    }
    let child = Command::new("sh")
        .args(["-c", pager])
        .env("LESS", around.variable("LESS").unwrap_or("FRX"))
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        context.output.line(text.trim_end_matches('\n'));
        return;
    };
    if let Some(mut input) = child.stdin.take() {
        // A pager may be left before the end.
        let _ = input.write_all(text.as_bytes());
    }
    let _ = child.wait();
}
