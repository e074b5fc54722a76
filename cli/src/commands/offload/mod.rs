//! `cib offload`: plans that are approved in Claude on this machine go on in boxes.

mod carry;
mod hook;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use crate::args::{Attach, Offload, OffloadInstall, OffloadVerb, Which};
use crate::boxes::Boxes;
use crate::credentials;
use crate::failure::{Exit, Failure};
use crate::git::{GitError, Repository, refs};
use crate::offload::record::{Place, Record, Records};
use crate::offload::traces::{Kind, Traces};
use crate::offload::{BRANCH, settings};
use crate::output::table;

/// The file of a working tree that says what came back last.
const DONE: &str = "offload_done";

pub(super) fn run(context: &Context<'_>, arguments: &Offload) -> Result<u8, Failure> {
    match &arguments.verb {
        OffloadVerb::Install(arguments) => install(context, arguments),
        OffloadVerb::Uninstall { user } => uninstall(context, *user),
        OffloadVerb::Status => status(context),
        OffloadVerb::Attach(which) => attach(context, which),
        OffloadVerb::Hook { branch } => hook::run(context, branch.as_deref().unwrap_or(BRANCH)),
        OffloadVerb::Carry { session } => carry::run(context, session),
    }
}

/// The settings that the hooks stand in: the person's own, or the working tree's that git does
/// not share.
fn settings_file(
    context: &Context<'_>,
    user: bool,
) -> Result<(PathBuf, Option<Repository>), Failure> {
    if user {
        let folder = claude_folder(context)?;
        let file = folder.join("settings.json");
        // A person's own settings may be a link to where they keep them.
        return Ok((file.canonicalize().unwrap_or(file), None));
    }
    let repository = context.repository()?;
    let folder = repository.top.join(".claude");
    if folder.is_symlink() {
        return Err(Failure::failed(format!("{} is a link", folder.display()))
            .remedy("cib offload install --user"));
    }
    Ok((folder.join("settings.local.json"), Some(repository)))
}

fn claude_folder(context: &Context<'_>) -> Result<PathBuf, Failure> {
    let none = || Failure::failed("there is no HOME, and so no settings of Claude's");
    credentials::folder(context.around).ok_or_else(none)
}

fn install(context: &Context<'_>, arguments: &OffloadInstall) -> Result<u8, Failure> {
    let branch = arguments.branch.as_deref();
    if let Some(branch) = branch.filter(|branch| !refs::is_usable(branch)) {
        return Err(GitError::Name(branch.to_owned()).into());
    }
    let (file, repository) = settings_file(context, arguments.user)?;
    let program = std::env::current_exe()?.canonicalize()?;
    let command = settings::command(&program, branch)
        .map_err(|error| Failure::new(Exit::Configuration, error))?;
    let traces = Traces::of(context.around)?;
    let top = repository
        .as_ref()
        .map(|repository| repository.top.as_path());
    traces.change(Kind::Settings, &file, top, |text| {
        settings::with(text, &command)
    })?;
    if let Some(repository) = &repository {
        exclude(&traces, repository)?;
    }
    let value = json!({"file": file, "command": command, "branch": branch.unwrap_or(BRANCH)});
    context.output.result(&value, || {
        format!(
            "Plans that are approved go on in a box, and come back on {}.\n{} has the hooks; cib offload uninstall takes them out.",
            branch.unwrap_or(BRANCH),
            file.display()
        )
    });
    Ok(0)
}

/// Has git leave alone what an offload leaves in a working tree.
fn exclude(traces: &Traces, repository: &Repository) -> Result<(), Failure> {
    let file = repository.common.join("info/exclude");
    let change = |text: Option<&str>| Ok(settings::excluded(text));
    traces.change(Kind::Exclusions, &file, Some(&repository.top), change)?;
    Ok(())
}

fn uninstall(context: &Context<'_>, user: bool) -> Result<u8, Failure> {
    let (file, repository) = settings_file(context, user)?;
    let traces = Traces::of(context.around)?;
    let records = Records::of(context.around)?;
    let found = traces.undo(Kind::Settings, &file)?;
    // Working trees whose own settings have no hooks, now.
    let mut tops: Vec<PathBuf> = Vec::new();
    let all = traces.all();
    let installed = |top: &Path| {
        let of = |kind| {
            all.iter()
                .any(|one| one.kind == kind && one.top.as_deref() == Some(top))
        };
        of(Kind::Settings)
    };
    match &repository {
        Some(repository) => {
            traces.undo(Kind::Exclusions, &repository.common.join("info/exclude"))?;
            tops.push(repository.top.clone());
        }
        None => {
            for trace in all.iter().filter(|trace| trace.kind == Kind::Exclusions) {
                let Some(top) = trace.top.as_ref().filter(|top| !installed(top)) else {
                    continue;
                };
                traces.undo(Kind::Exclusions, &trace.path)?;
                tops.push(top.clone());
            }
        }
    }
    for record in records.all() {
        if !tops.contains(&record.top) {
            continue;
        }
        // Whoever watches it brings back what it commits, and that is not taken away.
        if records.lock(&record.session)?.is_none() {
            context.output.warn(&format!(
                "{} is still at work on {}; its commits come back when it is done",
                record.name, record.branch
            ));
            continue;
        }
        records.forget(&record.session);
    }
    for top in &tops {
        // There may be none, and somebody else may have put something there.
        let _ = std::fs::remove_file(top.join(".claude").join(DONE));
        let _ = std::fs::remove_dir(top.join(".claude"));
    }
    context
        .output
        .result(&json!({"file": file, "removed": found}), || {
            if found {
                format!("{} is what it was.", file.display())
            } else {
                format!("{} has no hooks of cib.", file.display())
            }
        });
    Ok(0)
}

fn status(context: &Context<'_>) -> Result<u8, Failure> {
    let repository = context.repository()?;
    let mut hooks = Vec::new();
    for user in [false, true] {
        let Ok((file, _)) = settings_file(context, user) else {
            continue;
        };
        let text = cib_foreign::read_to_string(&file, 4 << 20).unwrap_or_default();
        if settings::has(&text) {
            hooks.push(file);
        }
    }
    let records = records_of(context, &repository)?;
    let shown: Vec<_> = records
        .iter()
        .map(|one| {
            json!({
                "session": one.session, "box": one.name, "branch": one.branch, "place": one.place,
                "at": one.at, "inside": one.inside, "head": one.head, "wip": one.wip, "why": one.why,
            })
        })
        .collect();
    context
        .output
        .result(&json!({"hooks": hooks, "sessions": shown}), || {
            let mut lines: String = hooks
                .iter()
                .map(|file| format!("Hooks in {}\n", file.display()))
                .collect();
            if hooks.is_empty() {
                lines.push_str("No hooks: cib offload install\n");
            }
            let rows: Vec<Vec<String>> = records.iter().map(row).collect();
            lines + &table(&rows)
        });
    Ok(0)
}

fn row(record: &Record) -> Vec<String> {
    let place = match record.place {
        Place::Moving => "moves",
        Place::Boxed => "works",
        Place::Done => "done",
        Place::Failed => "failed",
    };
    let head = record.head.as_deref().and_then(|head| head.get(..10));
    vec![
        record.name.clone(),
        place.to_owned(),
        record.branch.clone(),
        head.unwrap_or_default().to_owned(),
        record.why.clone().unwrap_or_default(),
    ]
}

fn records_of(context: &Context<'_>, repository: &Repository) -> Result<Vec<Record>, Failure> {
    let id = repository.id();
    let mut records = Records::of(context.around)?.all();
    records.retain(|record| record.repository == id);
    Ok(records)
}

/// This terminal for the session of a box that a plan was handed over to.
fn attach(context: &Context<'_>, which: &Which) -> Result<u8, Failure> {
    let repository = context.repository()?;
    let records = records_of(context, &repository)?;
    let meant = records.into_iter().find(|record| {
        let named = which.name.as_deref();
        record.inside.is_some() && named.is_none_or(|name| record.name.starts_with(name))
    });
    let record = meant.ok_or_else(|| {
        Failure::failed("no plan of this repository was handed over to a box")
            .remedy("cib offload status")
    })?;
    let engine = context.engine()?;
    let boxes = Boxes::of(&engine)?;
    let found = boxes.named(&record.name)?;
    let api = context.api(&engine, found)?;
    let inside = record.inside.unwrap_or_default();
    let session = api.get(&format!("/api/sessions/{inside}"))?;
    let arguments = Attach {
        driver: Some("tty".to_owned()),
        ..Attach::default()
    };
    super::attach::to(context, &engine, found, &session, &arguments)
}
