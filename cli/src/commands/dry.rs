//! `cib start --dry-run`: what would go into a box, before anything is made.

use serde_json::json;

use super::Context;
use super::inside::Load;
use super::plan::{self, Plan};
use crate::args::Start;
use crate::failure::Failure;
use crate::output::table;

pub(super) fn run(context: &Context<'_>, arguments: &Start) -> Result<u8, Failure> {
    let configuration = context.configuration(plan::flags(arguments))?;
    let repository = context.repository()?;
    // An engine is not needed to say what would go in; whose machine it is on matters.
    let engine = context.engine_of(&configuration);
    let remote = engine.as_ref().is_ok_and(|engine| engine.remote);
    let load = Load::take(
        context.around,
        context.output,
        &repository,
        configuration.is("includeUntracked"),
        arguments.include_large,
    )?;
    let plan = Plan::make(
        context,
        arguments,
        &configuration,
        &repository,
        &load,
        remote,
    )?;
    let engine = match &engine {
        Ok(engine) => format!("{} {}", engine.kind.program(), engine.version),
        Err(failure) => failure
            .words()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    let image = configuration
        .text("dockerfile")
        .or(configuration.text("dockerImage"));
    let image = image.unwrap_or_default();
    let branch = plan.branch.as_deref().unwrap_or("claude/TIME");
    let files: Vec<&str> = plan.secrets.iter().map(|(_, file, _)| *file).collect();
    let names: Vec<&str> = plan
        .variables
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let parts: Vec<&str> = load
        .parts
        .iter()
        .map(|part| part.submodule.path.as_str())
        .collect();
    let proxy = match (&plan.held, files.contains(&"proxy_url")) {
        (Some(_), _) => "in a container of its own",
        (None, true) => "in the box",
        (None, false) => "none",
    };
    let mounts = &plan.mounts.notes;
    let untracked = load.snapshot.untracked;
    let value = json!({
        "engine": engine, "image": image, "branch": branch, "commit": plan.commit,
        "uncommitted": plan.work, "untracked": untracked, "submodules": parts,
        "large": load.large.len(), "secrets": files, "variables": names, "mounts": mounts,
        "habits": plan.habits.told(), "proxy": proxy, "limits": plan.limits, "setup": plan.setup,
    });
    context.output.result(&value, || {
        let work = if plan.work {
            format!("with uncommitted work, {untracked} files that git does not know")
        } else {
            "without uncommitted work".to_owned()
        };
        let row = |what: &str, said: String| vec![what.to_owned(), said];
        let list = |all: &[&str]| {
            if all.is_empty() {
                "none".to_owned()
            } else {
                all.join(", ")
            }
        };
        let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
        let short = plan.commit.get(..10).unwrap_or_default();
        table(&[
            row("Engine", engine.clone()),
            row("Image", image.to_owned()),
            row("Branch", format!("{branch} at {short}, {work}")),
            row("Submodules", list(&parts)),
            row("Large files", load.large.len().to_string()),
            row("Secrets", format!("{} (files, root's alone)", list(&files))),
            row("Variables", list(&names)),
            row("Mounts", list(&mounts)),
            row(
                "~/.claude",
                plan.habits.told().unwrap_or_else(|| "nothing".to_owned()),
            ),
            row("Proxy", proxy.to_owned()),
            row("Setup", format!("{} commands", plan.setup)),
        ])
    });
    Ok(0)
}
