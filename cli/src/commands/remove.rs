//! `cib rm` and `cib clean`: no box goes with work that is nowhere else.

use serde_json::json;

use super::{Context, holder, images};
use crate::args::{Clean, Remove};
use crate::boxes::state::State;
use crate::boxes::{Boxes, Found, volumes};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::git::snapshot::Snapshot;
use crate::git::{Repository, fetch, submodules, work};
use crate::text;

pub(super) fn rm(context: &Context<'_>, arguments: &Remove) -> Result<u8, Failure> {
    let (engine, found) = context.choose(Some(&arguments.name))?;
    if !arguments.force {
        if found.runs() {
            return Err(Failure::failed(format!("the box {} runs", found.name))
                .remedy(format!("cib stop {} first, or --force", found.name)));
        }
        refuse_loss(context, &engine, &found)?;
    }
    remove(context, &engine, &found, arguments.keep_volumes)?;
    context
        .output
        .result(&json!({"removed": [found.name]}), String::new);
    Ok(0)
}

pub(super) fn clean(context: &Context<'_>, arguments: &Clean) -> Result<u8, Failure> {
    let engine = context.engine()?;
    let repository = context.repository().ok().map(|repository| repository.id());
    let all_repos = arguments.all_repos || context.around.as_before;
    let limit = arguments.older.map(|age| jiff::Timestamp::now() - age);
    // One whose age is not known is not old.
    let is_old = |found: &Found| {
        let made = found.created.parse::<jiff::Timestamp>();
        limit.is_none_or(|limit| made.is_ok_and(|made| made <= limit))
    };
    let ours = |found: &Found| {
        let here = all_repos || Some(&found.repository) == repository.as_ref();
        here && is_old(found) && (arguments.force || !found.runs())
    };
    let mut removed = Vec::new();
    let mut kept = Vec::new();
    let boxes: Vec<Found> = Boxes::of(&engine)?.0.into_iter().filter(ours).collect();
    if !boxes.is_empty() && context.can_ask && !(arguments.yes || arguments.force) {
        let names: Vec<&str> = boxes.iter().map(|found| found.name.as_str()).collect();
        let question = format!(
            "Remove {}, but what has work that is nowhere else?",
            names.join(", ")
        );
        if !context.confirm(&question, "--yes")? {
            return Ok(0);
        }
    }
    for found in boxes {
        if !arguments.force
            && let Err(failure) = refuse_loss(context, &engine, &found)
        {
            context.output.warn(&failure.error.to_string());
            kept.push(found.name);
            continue;
        }
        remove(context, &engine, &found, arguments.keep_volumes)?;
        removed.push(found.name);
    }
    let mut result = json!({"removed": removed, "kept": kept});
    if arguments.images {
        result["images"] = json!(images::clean(context, &engine, arguments.yes)?);
    }
    context.output.result(&result, String::new);
    if kept.is_empty() {
        return Ok(0);
    }
    Err(
        Failure::failed(format!("kept: {}", kept.join(", "))).remedy(
            "cib fetch --all-branches and cib apply bring their work over; --force gives it up",
        ),
    )
}

/// Fails if a box has something that is nowhere else, and says what.
fn refuse_loss(context: &Context<'_>, engine: &Engine, found: &Found) -> Result<(), Failure> {
    let what = match lost(context, engine, found) {
        Ok(what) => what,
        Err(failure) => vec![format!(
            "what it has cannot be looked at ({})",
            text::line(&failure.error.to_string())
        )],
    };
    if what.is_empty() {
        return Ok(());
    }
    let list: String = what.iter().map(|line| format!("\n    {line}")).collect();
    Err(Failure::failed(format!(
        "the box {} has work that is nowhere else:{list}",
        found.name
    ))
    .remedy(format!(
        "cib fetch {} --all-branches brings commits over; --force gives it up",
        found.name
    )))
}

/// What would be lost with a box.
fn lost(context: &Context<'_>, engine: &Engine, found: &Found) -> Result<Vec<String>, Failure> {
    let repository = context.repository_of(found)?;
    let listing = fetch::branches(engine, found)?;
    let mut lost = Vec::new();
    for branch in listing.branches {
        if !repository.has(&branch.id)? {
            let short = branch.id.get(..10).unwrap_or_default();
            lost.push(format!("branch {} at {short}", branch.name));
        }
    }
    lost.extend(
        listing
            .refused
            .into_iter()
            .map(|line| format!("ref {line}")),
    );
    let work = work::make(engine, found, "")?;
    let here = brought(&repository, found)?;
    if work.tree != work.head && work.tree != found.tree && work.tree != here {
        lost.push("changes that are not committed (cib diff --wip brings them over)".to_owned());
    }
    let (paths, unusable) = work::submodules(engine, found)?;
    for path in paths {
        let work = work::make(engine, found, &path)?;
        let inner = submodules::at(context.around, &repository, &path);
        let is_here = match &inner {
            Some(inner) => {
                let here = Snapshot::take(inner, true, true).map(|snapshot| snapshot.tree);
                work.tree == brought(inner, found)? || here.is_ok_and(|tree| tree == work.tree)
            }
            None => false,
        };
        if work.tree != work.head && !is_here {
            lost.push(format!("changes in the submodule {path}"));
        }
    }
    lost.extend(
        unusable
            .into_iter()
            .map(|path| format!("changes in the submodule {path}")),
    );
    Ok(lost)
}

/// The tree of uncommitted work that was brought over; empty if there is none.
fn brought(repository: &Repository, found: &Found) -> Result<String, Failure> {
    let reference = work::reference(&found.name);
    let words = ["for-each-ref", "--format=%(tree)", &reference];
    Ok(repository.ask("look for a commit", &words)?)
}

fn remove(
    context: &Context<'_>,
    engine: &Engine,
    found: &Found,
    keep_volumes: bool,
) -> Result<(), Failure> {
    context.output.step(&format!("Removing {}", found.name));
    engine.ask_for("remove the box", &["rm", "--force", &found.id])?;
    holder::remove(engine, found)?;
    if keep_volumes {
        return Ok(());
    }
    for (volume, _) in volumes(&found.name) {
        engine.ask_for("remove a volume", &["volume", "rm", "--force", &volume])?;
    }
    State::of(context.around, &found.name)?.forget();
    Ok(())
}
