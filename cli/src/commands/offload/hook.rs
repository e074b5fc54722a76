//! `cib offload hook`: what Claude calls on this machine behind a plan and before a tool.

use std::io::{self, Read as _};
use std::process::Command;

use serde_json::Value;

use super::super::{Context, making, start};
use super::{claude_folder, exclude};
use crate::args::Start;
use crate::boxes::Boxes;
use crate::boxes::state::State;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::git::{GitError, Repository, refs};
use crate::offload::INSIDE;
use crate::offload::payload::{self, Moment, Payload};
use crate::offload::record::{Place, Record, Records};
use crate::offload::traces::Traces;
use crate::output::Output;
use crate::surroundings::Surroundings;

/// Bytes that Claude may say; it says a tool's whole input.
const MOST: u64 = 64 << 20;

pub(super) fn run(context: &Context<'_>, branch: &str) -> Result<u8, Failure> {
    if INSIDE
        .iter()
        .any(|name| context.around.variable(name).is_some())
    {
        return Ok(0);
    }
    let mut said = Vec::new();
    io::stdin().lock().take(MOST).read_to_end(&mut said)?;
    let Some(payload) = Payload::read(&said) else {
        return Ok(0);
    };
    let answer = match payload.moment {
        Moment::Before => guard(context, &payload.session),
        Moment::Approved => Some(approved(context, &payload, branch)),
    };
    if let Some(answer) = answer {
        context.output.line(&answer.to_string());
    }
    Ok(0)
}

/// What is said to a tool of a session that was handed over; nothing of any other.
fn guard(context: &Context<'_>, session: &str) -> Option<Value> {
    let records = Records::of(context.around).ok()?;
    let mut record = records.get(session)?;
    match record.place {
        Place::Done => return None,
        Place::Failed if record.told => return None,
        Place::Failed => {}
        Place::Moving | Place::Boxed => match records.lock(session) {
            // Whoever should bring its work back is gone.
            Ok(Some(_)) => {
                record.place = Place::Failed;
                record.why = Some(format!(
                    "nobody watches the box {0} any more (cib apply {0} brings back what it has committed)",
                    record.name
                ));
            }
            _ => return Some(payload::refused(&record.name)),
        },
    }
    record.told = true;
    // Told twice is better than not told.
    let _ = records.keep(&record);
    Some(payload::free(
        record.why.as_deref().unwrap_or("the box has failed"),
    ))
}

fn approved(context: &Context<'_>, payload: &Payload, branch: &str) -> Value {
    match hand_over(context, payload, branch) {
        Ok(record) => payload::handed_over(&record.name, &record.branch),
        Err(failure) => {
            let remedy = failure.remedy.as_deref().unwrap_or_default();
            payload::stays(&format!("{}. {remedy}", failure.words()))
        }
    }
}

/// Starts a box and whoever moves the session into it, which can only be done once Claude has
/// been answered: what the person said to the plan is in the transcript then.
fn hand_over(context: &Context<'_>, payload: &Payload, wanted: &str) -> Result<Record, Failure> {
    let mut around: Surroundings = context.around.clone();
    if payload.folder.is_absolute() {
        around.folder.clone_from(&payload.folder);
    }
    let output = Output {
        quiet: true,
        ..*context.output
    };
    let context = &Context {
        around: &around,
        output: &output,
        global: context.global.clone(),
        can_ask: false,
        here: std::cell::OnceCell::new(),
    };
    let records = Records::of(&around)?;
    let Some(lock) = records.lock(&payload.session)? else {
        let busy = || Failure::failed("this session is being handed over already");
        return records.get(&payload.session).ok_or_else(busy);
    };
    let unknown = || Failure::failed("Claude names no file of this session where it keeps them");
    let claude = claude_folder(context)?;
    let transcript = payload.own_transcript(&claude).ok_or_else(unknown)?;
    let repository = context.repository()?;
    let engine = context.engine()?;
    let branch = free(&engine, &repository, wanted)?;
    exclude(&Traces::of(&around)?, &repository)?;
    let arguments = Start {
        branch: Some(branch),
        detach: true,
        // Whoever carries a plan out unattended cannot push.
        no_keys: true,
        skip_reconnect_check: true,
        ..Start::default()
    };
    let started = start::make(context, &arguments, |_, _| Ok(Value::Null))?;
    let record = Record {
        session: payload.session.clone(),
        name: started.name,
        branch: started.branch,
        top: repository.top.clone(),
        repository: repository.id(),
        engine: engine.word(),
        place: Place::Moving,
        at: jiff::Timestamp::now().to_string(),
        inside: None,
        head: None,
        wip: None,
        why: None,
        told: false,
        transcript: Some(transcript),
        plan_file: payload.own_plan_file(&claude),
        call: payload.call.clone(),
        plan: payload.plan.clone(),
    };
    let carried = records.keep(&record).map_err(Failure::from).and_then(|()| {
        let log = records.log(&record.session)?;
        let mut carrier = Command::new(std::env::current_exe()?);
        carrier
            .args(["--quiet", "--no-input", "--engine", &record.engine])
            .args(["offload", "carry", &record.session])
            .current_dir(&record.top)
            // The lock is held as long as it lives.
            .stdin(lock)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(())
    });
    if let Err(failure) = carried {
        making::discard(&started.engine, &record.name);
        State::of(&around, &record.name)?.forget();
        records.forget(&record.session);
        return Err(failure);
    }
    Ok(record)
}

/// The first name of a branch that neither this repository nor a box of it has.
fn free(engine: &Engine, repository: &Repository, wanted: &str) -> Result<String, Failure> {
    if !refs::is_usable(wanted) {
        return Err(GitError::Name(wanted.to_owned()).into());
    }
    let id = repository.id();
    let boxes = Boxes::of(engine)?.0;
    let others = (2..1000).map(|count| format!("{wanted}-{count}"));
    for name in std::iter::once(wanted.to_owned()).chain(others) {
        let here = repository.commit(&format!("refs/heads/{name}"))?.is_some();
        let there = |found: &&crate::boxes::Found| found.repository == id && found.branch == name;
        if !here && !boxes.iter().any(|found| there(&found)) {
            return Ok(name);
        }
    }
    Err(Failure::failed(format!(
        "there are too many branches {wanted}"
    )))
}
