//! `cib pr`: a pull request of a box's branch, by `gh`, by the forge's API, or by its push options.

use std::process::{Command, Stdio};
use std::time::Duration;

use cib_protocol::forge::ForgeKind;
use serde_json::json;

use super::forges::{Place, Wanted};
use super::{Context, push};
use crate::args::Pr;
use crate::boxes::Found;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::{process, text};

/// How long a forge may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Characters of a text that is made of messages.
const BODY: usize = 20_000;

pub(super) fn run(context: &Context<'_>, arguments: &Pr) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.push.which.name.as_deref())?;
    let url = open(context, &engine, found, arguments)?;
    context
        .output
        .result(&json!({"url": url}), || url.clone().unwrap_or_default());
    Ok(0)
}

/// Pushes a box's branch and opens a pull request, or finds the one that there is; its address if
/// the forge says it here.
pub(super) fn open(
    context: &Context<'_>,
    engine: &Engine,
    found: Found,
    arguments: &Pr,
) -> Result<Option<String>, Failure> {
    let repository = context.repository_of(&found)?;
    let remote = arguments
        .push
        .remote
        .clone()
        .or_else(|| found.remote.clone());
    let url = match &remote {
        Some(remote) => repository.configured(&format!("remote.{remote}.url"))?,
        None => None,
    };
    let place = match &url {
        Some(url) => Place::of(context.around, &repository, url)?,
        None => None,
    };
    let gh = context.around.program("gh");
    // gh knows more of GitHub than a token does: accounts, forks, what a person has configured.
    let place = place.filter(|place| gh.is_none() || place.kind() != ForgeKind::GitHub);
    let is_gitlab = place.is_none() && url.as_deref().is_some_and(|url| url.contains("gitlab"));
    if !is_gitlab && gh.is_none() && place.is_none() {
        return Err(Failure::failed("there is no way to this forge: gh is not installed, and no token for it is known")
            .remedy("install gh (cli.github.com), or set GITHUB_TOKEN, GITLAB_TOKEN or GITEA_TOKEN (GH_HOST, GITLAB_HOST, GITEA_HOST name a host of your own); or `cib push`, and its page"));
    }
    let mut options = Vec::new();
    if is_gitlab {
        options.push("merge_request.create".to_owned());
        options.extend(
            arguments
                .base
                .as_ref()
                .map(|base| format!("merge_request.target={base}")),
        );
        // A push option is one line.
        options.extend(
            arguments
                .title
                .as_ref()
                .map(|title| format!("merge_request.title={}", text::line(title))),
        );
        if arguments.draft {
            options.push("merge_request.draft".to_owned());
        }
    }
    let pushed = push::push(context, engine, found, &arguments.push, &options)?;
    if is_gitlab {
        return Ok(None);
    }
    if let Some(place) = place {
        let (title, body) = words(&pushed)?;
        let (url, adopted) = place.open(Wanted {
            title: arguments.title.as_ref().unwrap_or(&title),
            body: arguments.body.as_ref().unwrap_or(&body),
            branch: &pushed.found.branch,
            base: arguments.base.as_deref().or(pushed.default.as_deref()),
            draft: arguments.draft,
        })?;
        if adopted {
            context.output.note("the pull request has the new commits");
        }
        return Ok(Some(text::line(&url)));
    }
    let Some(gh) = gh else {
        return Ok(None);
    };
    let gh = || {
        let mut command = Command::new(&gh);
        command
            .current_dir(&pushed.repository.top)
            .env("GH_PROMPT_DISABLED", "1");
        command
    };
    let branch = &pushed.found.branch;
    let mut view = gh();
    view.args([
        "pr", "list", "--head", branch, "--state", "open", "--json", "url", "--jq", ".[0].url",
    ]);
    let ran = process::run(&mut view, b"", PATIENCE)?;
    if ran.good() && ran.text().starts_with("http") {
        context.output.note("the pull request has the new commits");
        return Ok(Some(text::line(&ran.text())));
    }
    let (title, body) = words(&pushed)?;
    let mut create = gh();
    create.args(["pr", "create", "--head", branch]);
    let base = arguments.base.clone().or_else(|| pushed.default.clone());
    if let Some(base) = &base {
        create.args(["--base", base]);
    }
    create.args([
        "--title",
        arguments.title.as_ref().unwrap_or(&title),
        "--body-file",
        "-",
    ]);
    if arguments.draft {
        create.arg("--draft");
    }
    create.stdin(Stdio::piped());
    let body = arguments.body.as_ref().unwrap_or(&body);
    let ran = process::run(&mut create, body.as_bytes(), PATIENCE)?;
    if !ran.good() {
        return Err(Failure::failed(format!(
            "gh has not opened a pull request: {}",
            ran.complaint()
        )));
    }
    let text = ran.text();
    Ok(text.lines().last().map(text::line))
}

/// A title and a text out of the commits' messages, without what a forge or a terminal would
/// hide.
fn words(pushed: &push::Pushed) -> Result<(String, String), Failure> {
    let range = format!("{}..{}", pushed.base, pushed.commit);
    let log = pushed.repository.ask(
        "read messages",
        &[
            "log",
            "--reverse",
            "--no-show-signature",
            "--format=%B%x00",
            "--end-of-options",
            &range,
        ],
    )?;
    let messages: Vec<&str> = log
        .split('\0')
        .map(str::trim)
        .filter(|m| !m.is_empty())
        .collect();
    let first = messages.first().copied().unwrap_or("Work of a box");
    let title: String = text::line(first.lines().next().unwrap_or(first))
        .chars()
        .take(200)
        .collect();
    let body = if let [one] = messages[..] {
        one.lines().skip(1).collect::<Vec<_>>().join("\n")
    } else {
        let subject = |m: &&str| format!("- {}", m.lines().next().unwrap_or_default());
        messages.iter().map(subject).collect::<Vec<_>>().join("\n")
    };
    let body = text::plain(&body).replace("<!--", "&lt;!--");
    Ok((title, body.trim().chars().take(BODY).collect()))
}
