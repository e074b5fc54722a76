//! The session of a task: started, resumed if it was cut off, and followed to the end of its turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cib_protocol::api::CreateSession;
use cib_protocol::keeper::{KeeperReply, KeeperRequest};
use cib_protocol::limits::Limits;
use cib_protocol::session::{Program, SessionId, SessionMeta, SessionSpec, State};
use cib_protocol::task::{TaskBranch, TaskFault, TaskMessage, TaskSession, TaskState, plain};
use cib_protocol::time::Timestamp;
use cib_tasks::patience;
use cib_tasks::prompt;
use cib_tasks::quiet::Quiet;
use cib_tasks::step::{self, Outcome};
use cib_tasks::times::Times;
use tokio::time::Instant;

use super::entry::Entry;
use super::pull::Keeping;
use super::said::Said;
use super::{drive, said, settle, store};
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::offers;
use crate::sessions::{create, keeper};

/// How often it is asked what a session that says nothing uses.
const ASK: Duration = Duration::from_secs(30);

/// Seconds that the keeper gives the session beyond that: it ends it if nobody else does.
pub(super) const GRACE: u64 = 120;

/// How often a session is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(400);

/// How long a session that another control has asked for may take to live.
const BIRTH: Duration = Duration::from_secs(5);

/// How often it is looked for new commits.
const COMMITS: Duration = Duration::from_secs(3);

/// After how many of those a forge that was away is tried again.
const AGAIN: u32 = 10;

/// How long a wait for a time is slept through before the clock is looked at again.
const CLOCK: Duration = Duration::from_secs(30);

/// The pause before a session is started again for which there was no room.
pub(super) const ROOM: Duration = Duration::from_secs(5);

/// How long there may be no room, or no answer to a question.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Has a session work on a task, until its turn is over or it cannot go on.
pub async fn work(
    app: &Arc<App>,
    entry: &Arc<Entry>,
    branch: &TaskBranch,
    session: &TaskSession,
) -> Outcome {
    let watching = async {
        let mut keeping = Keeping::default();
        let mut told = None;
        let mut looked = 0_u32;
        loop {
            tokio::time::sleep(COMMITS).await;
            looked = looked.wrapping_add(1);
            let again = looked.is_multiple_of(AGAIN);
            if let Err(fault) = settle::take_up(app, entry, again).await {
                fault.log("tasks");
            }
            tell_of_refusal(app, entry, session, &mut told).await;
            keeping.keep(app, entry).await;
        }
    };
    tokio::select! {
        outcome = session_of(app, entry, branch, session) => outcome,
        () = watching => Outcome::Works,
    }
}

/// Tells Claude of what was not published because of what is in it.
async fn tell_of_refusal(
    app: &App,
    entry: &Entry,
    session: &TaskSession,
    told: &mut Option<String>,
) {
    let Some(push) = entry.progress().push else {
        return;
    };
    let (Some(why), Some(TaskFault::SecretFound | TaskFault::PushRefused)) =
        (push.refused, push.kind)
    else {
        return;
    };
    if told.as_ref() != Some(&push.commit) && say(app, session.session, prompt::refused(&why)).await
    {
        *told = Some(push.commit);
    }
}

async fn session_of(
    app: &Arc<App>,
    entry: &Arc<Entry>,
    branch: &TaskBranch,
    session: &TaskSession,
) -> Outcome {
    if let Some(until) = entry.progress().until {
        away(app, entry, session, until).await;
    }
    match app.store.find(Program::Claude, session.session).await {
        Ok(meta) if meta.state.is_live() => follow(app, entry, session).await,
        Ok(meta) => ended(app, entry, session, &meta).await,
        Err(fault) if fault.code() == Code::NoSuchSession => {
            match first(app, entry, branch, session.session).await {
                Ok(spec) => started(app, entry, session, spec).await,
                Err(fault) => failed(&fault),
            }
        }
        Err(fault) => {
            fault.log("tasks");
            tokio::time::sleep(ROOM).await;
            Outcome::Works
        }
    }
}

/// Waits until then, and for a place. Nobody pays memory for a session that would do nothing
/// meanwhile: it is resumed. The others do not wait with it for longer than [`store::Tasks::hold`].
pub(super) async fn away(app: &Arc<App>, entry: &Entry, session: &TaskSession, until: Timestamp) {
    entry.returns.store(false, Ordering::SeqCst);
    if let Err(fault) = settle::end(app, session.session).await {
        fault.log("tasks");
    }
    loop {
        // By the clock of the day, which may be set anew meanwhile.
        let left = until.as_millis() - Timestamp::now().as_millis();
        let Ok(left @ 1..) = u64::try_from(left) else {
            break;
        };
        let pause = CLOCK.min(app.tasks.hold().max(LOOK));
        tokio::time::sleep(Duration::from_millis(left).min(pause)).await;
        tokio::spawn(drive::next_turn(Arc::clone(app)));
    }
    while !store::returns(app, entry).await {
        tokio::time::sleep(ROOM).await;
    }
}

/// Gives a task that met this its time, if it may pass.
pub(super) fn postponed(
    app: &App,
    entry: &Entry,
    kind: TaskFault,
    detail: &str,
    said: &Said,
) -> Outcome {
    let progress = entry.progress();
    let until = patience::until(
        kind,
        said.limit.as_ref(),
        entry.record.request.on_limit,
        progress.waits,
        &app.tasks.pauses,
        Timestamp::now(),
    );
    let why = match (kind, &said.limit) {
        (TaskFault::ApiDown, _) => "Claude's API, which cannot be reached",
        (_, Some(_)) => "the reset of a usage limit",
        _ => "Claude's API, which has no room",
    };
    entry.returns.store(false, Ordering::SeqCst);
    match until {
        Some(until) => Outcome::Postponed(format!("{why}: {}", plain(detail, 200)), until),
        None => Outcome::Fault(kind, detail.to_owned()),
    }
}

/// What the session is asked to be.
async fn first(
    app: &App,
    entry: &Entry,
    branch: &TaskBranch,
    id: SessionId,
) -> Result<SessionSpec, Fault> {
    let request = &entry.record.request;
    let limits = request.limits.clone().unwrap_or_default();
    let duration = Times::of(request).working;
    let asked = CreateSession {
        workdir: Some(branch.workdir.clone()),
        model: request.model.clone(),
        provider_id: request.provider_id.clone(),
        effort: request.effort.clone(),
        prompt: Some(prompt::first(branch, &entry.prompt().await?)),
        title: Some(title(entry)),
        limits: Some(Limits {
            memory: limits.memory,
            max_turns: limits.turns,
            max_cost_usd: limits.cost_usd,
            max_duration: Some(duration.saturating_add(GRACE)),
            ..Limits::default()
        }),
        ..CreateSession::default()
    };
    let roots: Vec<PathBuf> = app.roots.clone();
    let mut spec = create::spec(asked, &app.store, &app.providers, &roots).await?;
    spec.id = id;
    Ok(spec)
}

/// The task in a line.
fn title(entry: &Entry) -> String {
    let line = entry.record.request.prompt.trim().lines().next();
    let line: String = line
        .unwrap_or_default()
        .chars()
        .filter(|letter| !letter.is_control())
        .take(100)
        .collect();
    format!("{} {line}", entry.id())
}

/// Starts a session once, whatever becomes of who waits for it.
pub(super) async fn begun(app: &Arc<App>, entry: &Entry, spec: &SessionSpec) -> Result<(), Fault> {
    let place = Arc::clone(&entry.starting).lock_owned().await;
    let (app_, spec_) = (Arc::clone(app), spec.clone());
    let starting = tokio::spawn(async move {
        let _place = place;
        app_.start(spec_).await
    });
    match starting.await {
        // It was started by who died before it could say so.
        Ok(Err(fault)) if fault.code() == Code::SessionRunning => Ok(()),
        Ok(Err(fault)) if fault.code() == Code::KeeperFailed && is_there(app, spec.id).await => {
            Ok(())
        }
        Ok(started) => started,
        Err(error) => Err(Fault::internal(error)),
    }
}

/// Starts a session, and waits for room. Whatever becomes of who waits for it.
async fn started(
    app: &Arc<App>,
    entry: &Arc<Entry>,
    session: &TaskSession,
    spec: SessionSpec,
) -> Outcome {
    let begun = Instant::now();
    // That it waits for room is written over that.
    let was_away = entry.progress().until.is_some();
    loop {
        let Err(fault) = self::begun(app, entry, &spec).await else {
            break;
        };
        let reason = match fault.code() {
            Code::TooManySessions | Code::Busy => "there is no room for a session",
            Code::NotNow | Code::InitUnreachable => "the box is not ready",
            _ => return failed(&fault),
        };
        if begun.elapsed() > PATIENCE {
            return Outcome::Fault(TaskFault::CapacityReached, fault.detail().to_owned());
        }
        note(entry, Outcome::Waits(reason.to_owned())).await;
        tokio::time::sleep(ROOM).await;
    }
    note(entry, Outcome::Works).await;
    if was_away {
        // The others waited with it.
        tokio::spawn(drive::next_turn(Arc::clone(app)));
    }
    follow(app, entry, session).await
}

/// A session that has ended: the turn was over, it is resumed, or nothing can be done.
async fn ended(
    app: &Arc<App>,
    entry: &Arc<Entry>,
    session: &TaskSession,
    meta: &SessionMeta,
) -> Outcome {
    let was_away = entry.progress().until.is_some();
    if meta.turns > session.turns
        && let Ok(said) = said::last(app, meta.id).await
        && said.stop.is_some()
    {
        match said.fault() {
            None => return Outcome::Done(said.text),
            Some((kind, detail)) if !was_away => {
                let outcome = postponed(app, entry, kind, &detail, &said);
                if let Outcome::Postponed(..) = outcome {
                    return outcome;
                }
            }
            Some(_) => {}
        }
    }
    let reason = meta.reason.clone().unwrap_or_default();
    match meta.state {
        State::Interrupted => {}
        // It was ended here, to wait.
        _ if was_away => {}
        _ if reason.starts_with("limit ") => {
            return Outcome::Fault(said::of_limit(&reason), reason);
        }
        State::Failed => return Outcome::Fault(TaskFault::ExitCode, reason),
        _ => {
            let detail = "the session was ended before the task was done".to_owned();
            return Outcome::Fault(TaskFault::ExitCode, detail);
        }
    }
    let chosen = Outcome::Chosen(meta.id, meta.turns);
    let session = match entry.write(|now| step::after(now, chosen)).await {
        Ok((now, true)) if !now.state.is_ending() => match now.session {
            Some(session) => session,
            None => return Outcome::Works,
        },
        Ok(_) => return Outcome::Works,
        Err(fault) => return failed(&fault),
    };
    let asked = match meta.claude_session {
        Some(_) => CreateSession {
            resume: Some(meta.id),
            prompt: Some(prompt::RESUMED.to_owned()),
            ..CreateSession::default()
        },
        // It ended before Claude had begun, so there is nothing to go on with.
        None => {
            let branch = entry.progress().branch.unwrap_or_default();
            return match first(app, entry, &branch, meta.id).await {
                Ok(spec) => started(app, entry, &session, spec).await,
                Err(fault) => failed(&fault),
            };
        }
    };
    match create::spec(asked, &app.store, &app.providers, &app.roots).await {
        Ok(spec) => started(app, entry, &session, spec).await,
        Err(fault) => failed(&fault),
    }
}

/// Whether a session lives, or is about to: a keeper that was asked for twice ends because of the
/// first.
async fn is_there(app: &App, id: SessionId) -> bool {
    let end = Instant::now() + BIRTH;
    loop {
        match app.store.find(Program::Claude, id).await {
            Ok(meta) if meta.state.is_live() => return true,
            _ if Instant::now() >= end => return false,
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

pub(super) fn failed(fault: &Fault) -> Outcome {
    fault.log("tasks");
    let kind = match fault.code() {
        Code::KeeperFailed | Code::NothingToResume => TaskFault::ExitCode,
        _ => TaskFault::Unknown,
    };
    Outcome::Fault(kind, fault.detail().to_owned())
}

/// Writes down what happens meanwhile. What the disk does not take now is seen again.
async fn note(entry: &Entry, outcome: Outcome) {
    if let Err(fault) = entry.write(|now| step::after(now, outcome)).await {
        fault.log("tasks");
    }
}

/// Looks at a session that lives, until its turn is over, it ends, or its time is over.
async fn follow(app: &Arc<App>, entry: &Arc<Entry>, session: &TaskSession) -> Outcome {
    let times = Times::of(&entry.record.request);
    let duration = times.working;
    let most_quiet = Duration::from_secs(times.quiet);
    let id = session.session;
    let mut is_hurried = false;
    let mut idle_at = None;
    let mut waits_since = None;
    let begun = Instant::now();
    let (mut quiet, mut used, mut asked_at) = (Quiet::default(), None, None);
    loop {
        let meta = match app.store.find(Program::Claude, id).await {
            Ok(meta) => meta,
            Err(fault) if fault.code() == Code::Busy => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(fault) => return failed(&fault),
        };
        if !meta.state.is_live() {
            // How it ended is looked at anew.
            return Outcome::Works;
        }
        tell(app, entry, id).await;
        let progress = entry.progress();
        let worked = progress.worked(Timestamp::now());
        if worked >= duration * 1000 {
            let detail = format!("Claude worked for {duration} seconds and was not done");
            return Outcome::Fault(TaskFault::Timeout, detail);
        }
        if worked >= duration * 800 && !is_hurried && progress.state == TaskState::Working {
            is_hurried = true;
            let left = duration - worked / 1000;
            say(app, id, prompt::hurry(left)).await;
        }
        if meta.state == State::Working {
            if asked_at.is_none_or(|at: Instant| at.elapsed() > ASK.min(most_quiet / 2)) {
                asked_at = Some(Instant::now());
                used = cpu(app, id).await;
            }
            let at = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            if quiet.look(meta.last_seq, used, at) >= most_quiet.as_secs() * 1000 {
                interrupt(app, id).await;
                let seconds = most_quiet.as_secs();
                let detail = format!("nothing came of the session for {seconds} seconds");
                return Outcome::Fault(TaskFault::Stuck, detail);
            }
        } else {
            quiet.rest();
        }
        let is_over =
            meta.state == State::Idle && meta.turns > session.turns && progress.untold.is_empty();
        let reason = match meta.state {
            State::WaitingForInput => {
                let asked = meta.open_questions.first();
                let asked = asked.map_or("", |question| &*question.prompt);
                Some(format!("an answer to: {}", plain(asked, 200)))
            }
            // It stands still twice in a row: nothing began because of what was said meanwhile.
            _ if is_over && idle_at == Some(meta.last_seq) => match over(app, entry, id).await {
                Ok(outcome) => return outcome,
                Err(reason) => Some(reason),
            },
            _ => None,
        };
        idle_at = is_over.then_some(meta.last_seq);
        match reason {
            Some(reason) => {
                let since = *waits_since.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    return Outcome::Fault(TaskFault::Timeout, format!("waited for {reason}"));
                }
                note(entry, Outcome::Waits(reason)).await;
            }
            None if meta.state != State::Idle || !is_over => {
                waits_since = None;
                note(entry, Outcome::Works).await;
            }
            None => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// CPU time that a session has used, if its keeper says so.
async fn cpu(app: &App, id: SessionId) -> Option<u64> {
    match keeper::ask(app.store.runtime(), id, &KeeperRequest::Status).await {
        Ok(KeeperReply::Status(meta)) => meta.resources.cpu_ms,
        _ => None,
    }
}

/// Interrupts a turn that comes to nothing; what it has made is saved.
async fn interrupt(app: &App, id: SessionId) {
    let asked = keeper::ask(app.store.runtime(), id, &KeeperRequest::Interrupt).await;
    if let Err(fault) = asked {
        fault.log("tasks");
    }
}

/// What the end of a turn means for the task; or what it waits for now.
async fn over(app: &Arc<App>, entry: &Entry, id: SessionId) -> Result<Outcome, String> {
    let said = match said::last(app, id).await {
        Ok(said) => said,
        Err(fault) => return Ok(failed(&fault)),
    };
    // A box that only does tasks would else never know which models there are.
    if app.offers.last().is_none() {
        offers::of_session(app, id).await;
    }
    let reason = said.stop.as_ref().map(|stop| &*stop.reason);
    // Somebody wants something else, and will say what.
    if reason == Some("interrupted") {
        return Err("a message, because the turn was interrupted".to_owned());
    }
    Ok(match said.fault() {
        Some((kind, detail)) => postponed(app, entry, kind, &detail, &said),
        None => Outcome::Done(said.text),
    })
}

/// Tells the session what was said to the task before it could hear it.
async fn tell(app: &App, entry: &Entry, id: SessionId) {
    for message in entry.progress().untold {
        if !say(app, id, message.text.clone()).await {
            return;
        }
        let told = TaskMessage {
            told: true,
            ..message
        };
        note(entry, Outcome::Said(told)).await;
    }
}

async fn say(app: &App, id: SessionId, text: String) -> bool {
    let request = KeeperRequest::Input {
        text,
        id: None,
        command: false,
        images: Vec::new(),
    };
    match keeper::ask(app.store.runtime(), id, &request).await {
        Ok(_) => true,
        Err(fault) => {
            fault.log("tasks");
            false
        }
    }
}
