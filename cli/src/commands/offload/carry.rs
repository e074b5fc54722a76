//! `cib offload carry`: moves a session into its box, and brings back what it commits there.
//!
//! It outlives the hook that started it and the Claude that called the hook; its standard input
//! is the lock that says so.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Context, apply, making};
use super::DONE;
use crate::api::Api;
use crate::api::stream::lives;
use crate::boxes::state::State;
use crate::boxes::{Boxes, Found};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::git::{Repository, fetch, helper, work};
use crate::offload::payload::{PLAN, TRANSCRIPT, has_result};
use crate::offload::record::{Place, Record, Records};
use crate::offload::traces;
use crate::{process, text};

/// How long Claude has to write down what the person said to the plan.
const RESULT: Duration = Duration::from_secs(5);

/// How often the box is asked.
const LOOK: Duration = Duration::from_secs(1);

/// How long a plan may take.
const PLAN_TIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a file may take into a box.
const COPY: Duration = Duration::from_secs(120);

/// Takes one file, as `coder`.
const TAKE: &str = r#"set -e; umask 077; mkdir -p "$HOME/.claude/$1"; cat > "$HOME/.claude/$1/$2""#;

pub(super) fn run(context: &Context<'_>, session: &str) -> Result<u8, Failure> {
    // Whoever started it ends, and ends its group. It is refused to the leader of a group alone.
    let _ = nix::unistd::setsid();
    let records = Records::of(context.around)?;
    let unknown = || Failure::usage("there is no such session");
    let mut record = records.get(session).ok_or_else(unknown)?;
    match carry(context, &records, &mut record) {
        Ok(()) => Ok(0),
        Err(failure) => {
            record.why = Some(format!("{}: {}", record.name, text::line(&failure.words())));
            record.place = Place::Failed;
            records.keep(&record)?;
            Err(failure)
        }
    }
}

fn carry(context: &Context<'_>, records: &Records, record: &mut Record) -> Result<(), Failure> {
    let engine = context.engine()?;
    let found = Boxes::of(&engine)?.named(&record.name)?.clone();
    let moved = context.api(&engine, &found).and_then(|api| {
        let inside = put(&engine, &found, &api, record)?;
        Ok((api, inside))
    });
    let (api, inside) = match moved {
        Ok(moved) => moved,
        Err(failure) => {
            // Nothing has begun there.
            making::discard(&engine, &record.name);
            State::of(context.around, &record.name)?.forget();
            return Err(failure);
        }
    };
    record.place = Place::Boxed;
    record.inside = Some(inside.clone());
    record.transcript = None;
    record.plan_file = None;
    records.keep(record)?;
    record.why = follow(&engine, &api, &record.name, &inside)?;
    bring_back(context, &engine, record)?;
    record.place = Place::Done;
    records.keep(record)?;
    Ok(())
}

/// Moves the session; its id in the box.
fn put(engine: &Engine, found: &Found, api: &Api, record: &Record) -> Result<String, Failure> {
    let source = record.transcript.as_deref().unwrap_or(Path::new(""));
    let (transcript, whole) = transcript(source, &record.call)?;
    let name = format!("{}.jsonl", record.session);
    copy(engine, found, "projects/-workspace", &name, &transcript)?;
    if let Some(path) = &record.plan_file
        && let (Ok(plan), Some(name)) = (
            cib_foreign::read(path, PLAN),
            path.file_name().and_then(|name| name.to_str()),
        )
    {
        copy(engine, found, "plans", name, &plan)?;
    }
    let body = json!({
        "resume_from": record.session, "workdir": "/workspace", "driver": "stream",
        "prompt": prompt(record, whole),
    });
    let made = api.post("/api/sessions", &body)?;
    let id = made["id"].as_str().unwrap_or_default();
    if !crate::offload::payload::is_uuid(id) {
        return Err(Failure::failed("the box names a session by no id"));
    }
    Ok(id.to_owned())
}

/// What the session is told first. A transcript that does not say that the plan was approved needs
/// the plan itself.
fn prompt(record: &Record, whole: bool) -> String {
    let mut prompt = format!(
        "The plan was approved; carry it out. You are in a container with a copy of the repository in /workspace, on the branch {}. Commit what you make: commits are what comes back. Do not push.",
        record.branch
    );
    if !whole && !record.plan.is_empty() {
        prompt.push_str("\n\nThe plan:\n\n");
        prompt.push_str(&record.plan);
    }
    prompt
}

/// The session's file, and whether it says what the person said to the plan.
fn transcript(path: &Path, call: &str) -> Result<(Vec<u8>, bool), Failure> {
    let mut seen = None;
    let mut ready = None;
    let whole = process::wait_for(RESULT, || {
        let length = path.symlink_metadata().ok()?.len();
        if seen.replace(length) == Some(length) {
            // What belongs to the result is there as well when nothing more comes.
            return ready.take();
        }
        let bytes = cib_foreign::read(path, TRANSCRIPT).ok()?;
        ready = has_result(&bytes, call).then_some(bytes);
        None
    });
    match whole {
        Some(bytes) => Ok((bytes, true)),
        None => {
            let bytes = cib_foreign::read(path, TRANSCRIPT).map_err(Failure::failed)?;
            Ok((bytes, false))
        }
    }
}

fn copy(
    engine: &Engine,
    found: &Found,
    folder: &str,
    name: &str,
    bytes: &[u8],
) -> Result<(), Failure> {
    let mut command = found.shell(engine, TAKE, &[folder, name]);
    let ran = process::run(&mut command, bytes, COPY)?;
    if ran.good() {
        return Ok(());
    }
    let what = format!("the box does not take the session: {}", ran.complaint());
    Err(Failure::failed(what))
}

/// Waits until the plan is carried out; what should be known of how it ended otherwise.
fn follow(engine: &Engine, api: &Api, name: &str, inside: &str) -> Result<Option<String>, Failure> {
    let path = format!("/api/sessions/{inside}");
    let mut failures = 0_u32;
    let ended = process::wait_each(LOOK, PLAN_TIME, || match api.get(&path) {
        Ok(about) => {
            failures = 0;
            ending(&about)
        }
        Err(_) => {
            failures += 1;
            // The engine is slower to ask than the box, and a box may be busy.
            let runs = !failures.is_multiple_of(10)
                || Boxes::of(engine).is_ok_and(|boxes| boxes.named(name).is_ok_and(Found::runs));
            (!runs).then(|| Some("the box was stopped before the plan was carried out".to_owned()))
        }
    });
    ended.ok_or_else(|| Failure::failed("the plan was not carried out within a week"))
}

/// How a session has ended its work, if it has.
fn ending(about: &Value) -> Option<Option<String>> {
    if !lives(about) {
        let reason = about["reason"].as_str().unwrap_or("it does not say why");
        return Some(Some(format!(
            "the session in the box has ended: {}",
            text::line(reason)
        )));
    }
    let done = about["state"] == "idle" && about["turns"].as_u64() > Some(0);
    done.then_some(None)
}

/// Makes a branch here of what the box has committed, and says so in the working tree.
fn bring_back(context: &Context<'_>, engine: &Engine, record: &mut Record) -> Result<(), Failure> {
    let most = helper::MAX_FETCH_DEFAULT;
    let around = context.around;
    let found = Boxes::of(engine)?.named(&record.name)?.clone();
    let repository = Repository::find(around, &record.top)?;
    fetch::fetch(around, &repository, engine, &found, false, most)?;
    let reference = fetch::reference(&found.name, &found.branch);
    let head = apply::branch_of(&repository, &found, &record.branch, &reference)?;
    let work = work::make(engine, &found, "")?;
    let inner = !work::submodules(engine, &found)?.0.is_empty();
    if (work.tree != work.head && work.tree != found.tree) || inner {
        record.wip = Some(work::fetch(around, &repository, engine, &found, most)?.reference);
    }
    record.head = Some(head);
    let done = json!({
        "session": record.session, "box": record.name, "branch": record.branch,
        "head": record.head, "wip": record.wip, "why": record.why,
        "at": jiff::Timestamp::now().to_string(),
    });
    let folder = record.top.join(".claude");
    if folder.is_symlink() {
        return Err(Failure::failed(format!("{} is a link", folder.display())));
    }
    std::fs::create_dir_all(&folder)?;
    traces::put(&folder.join(DONE), &format!("{done}\n"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_carried_out_when_its_turn_has_ended() {
        let about =
            |state: &str, turns: u64| json!({"state": state, "turns": turns, "reason": "x\u{1b}"});
        assert_eq!(ending(&about("idle", 0)), None);
        assert_eq!(ending(&about("working", 1)), None);
        assert_eq!(ending(&about("waiting_for_input", 1)), None);
        assert_eq!(ending(&about("idle", 1)), Some(None));
        let why = ending(&about("failed", 0)).flatten().unwrap_or_default();
        assert!(why.ends_with("x\\u{1b}"), "{why}");
    }

    #[test]
    fn a_transcript_that_lacks_the_approval_is_taken_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        std::fs::write(&path, "{}\n").unwrap();
        assert_eq!(
            transcript(&path, "toolu_1").unwrap(),
            (b"{}\n".to_vec(), false)
        );
        let result =
            json!({"message": {"content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}});
        std::fs::write(&path, format!("{result}\n")).unwrap();
        assert!(transcript(&path, "toolu_1").unwrap().1);
        assert!(transcript(&folder.path().join("none"), "toolu_1").is_err());
    }
}
