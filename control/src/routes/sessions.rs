//! Sessions: start, show, end.

use std::time::Duration;

use cib_protocol::api::{CreateSession, EndedSession, SessionList, SessionUsage};
use cib_protocol::keeper::{KeeperReply, KeeperRequest};
use cib_protocol::purge::Purged;
use cib_protocol::session::{Program, SessionId, SessionMeta};

use super::call::{Call, Reply};
use super::streams::tail;
use super::table::MAX_LIST;
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::journal::tail::Extent;
use crate::sessions::store::Place;
use crate::sessions::{create, keeper, purge};

const CLAUDE: Program = Program::Claude;

/// How long a keeper is waited for that is asked what its session is.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);

/// How long the answer to an end waits for it.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// How long a purge waits for the end of what lives: longer than a keeper takes from asking Claude
/// to end to killing it.
const PURGE_PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn list(call: Call) -> Result<Reply, Fault> {
    let (after, limit) = place(&call)?;
    let page = call.app.store.page(CLAUDE, after, limit).await?;
    Reply::json(&SessionList {
        sessions: page.sessions,
        next: page.next,
        incomplete: page.is_incomplete,
    })
}

/// Which part of a list is asked for.
pub(super) fn place(call: &Call) -> Result<(Option<Place>, usize), Fault> {
    let after = call.query.get("after").map(Place::parse).transpose()?;
    let limit = call.query.number("limit").unwrap_or(MAX_LIST);
    Ok((after, usize::try_from(limit).unwrap_or(usize::MAX)))
}

pub(super) async fn create(call: Call) -> Result<Reply, Fault> {
    let request: CreateSession = call.json()?;
    let app = &call.app;
    let spec = create::spec(request, &app.store, &app.roots).await?;
    let id = spec.id;
    app.start(spec).await?;
    tracing::info!(session = %id, caller = %call.caller()?.who, "a session was started");
    let meta = app.store.get(CLAUDE, id).await?;
    Reply::created(create::location(CLAUDE, id), &meta)
}

pub(super) async fn get(call: Call) -> Result<Reply, Fault> {
    Reply::json(&fresh(&call).await?)
}

pub(super) async fn usage(call: Call) -> Result<Reply, Fault> {
    let meta = fresh(&call).await?;
    Reply::json(&SessionUsage {
        id: meta.id,
        usage: meta.usage,
        last_turn: meta.last_turn,
        resources: meta.resources,
        turns: meta.turns,
        limits: meta.limits,
    })
}

/// What the session in the path is at this moment: its keeper knows better than the journal
/// what it uses. One that does not answer in time is told of as it stands on the disk.
async fn fresh(call: &Call) -> Result<SessionMeta, Fault> {
    let (app, id) = (&call.app, call.id(CLAUDE)?);
    let meta = app.store.get(CLAUDE, id).await?;
    if !meta.state.is_live() {
        return Ok(meta);
    }
    let asked = keeper::tell(app.store.runtime(), id, &KeeperRequest::Status);
    match tokio::time::timeout(STATUS_PATIENCE, asked).await {
        Ok(Ok(KeeperReply::Status(mut fresh))) => {
            fresh.last_seq = fresh.last_seq.max(meta.last_seq);
            // Who writes a journal does not look at what stands in it.
            fresh.damage = fresh.damage.take().or(meta.damage);
            Ok(*fresh)
        }
        // It may have ended meanwhile.
        _ => app.store.get(CLAUDE, id).await,
    }
}

pub(super) async fn end(call: Call) -> Result<Reply, Fault> {
    let (session, purged) = end_one(&call, CLAUDE).await?;
    Reply::json(&EndedSession { session, purged })
}

/// Ends what the path names, and says what it is then; purges it if that is asked for.
pub(super) async fn end_one(
    call: &Call,
    program: Program,
) -> Result<(SessionMeta, Option<Purged>), Fault> {
    let id = call.id(program)?;
    let kill = call.query.get("signal") == Some("kill");
    let is_purge = call.query.get("purge") == Some("true");
    let app = &call.app;
    let mut meta = if is_purge {
        app.store.find(program, id).await?
    } else {
        app.store.get(program, id).await?
    };
    let who = call.caller()?.who;
    if meta.state.is_live() {
        tracing::info!(session = %id, ?program, kill, caller = %who, "is to end");
        stop(app, id, kill).await?;
        let patience = if is_purge {
            PURGE_PATIENCE
        } else {
            END_PATIENCE
        };
        wait_for_end(app, id, patience).await;
        meta = app.store.find(program, id).await?;
    }
    if !is_purge {
        return Ok((meta, None));
    }
    if meta.state.is_live() {
        let detail = format!(
            "it did not end within {} s; ask again, with `signal=kill` if that is to be sure",
            PURGE_PATIENCE.as_secs()
        );
        return Err(Fault::new(Code::PurgeLate, detail));
    }
    tracing::info!(session = %id, ?program, caller = %who, "is to be purged");
    let purged = purge::purge(app, program, id).await?;
    Ok((meta, Some(purged)))
}

/// Asks the keeper, and init if the keeper does not answer.
async fn stop(app: &App, id: SessionId, kill: bool) -> Result<(), Fault> {
    let told = keeper::tell(app.store.runtime(), id, &KeeperRequest::Stop { kill }).await;
    let outcome = match told {
        Err(fault) if fault.code() == Code::KeeperTimeout => app.init.signal(id, kill).await,
        told => told.map(|_| ()),
    };
    match outcome {
        // It has ended meanwhile, which is what was asked for.
        Err(fault) if fault.code() == Code::SessionEnded => Ok(()),
        outcome => outcome,
    }
}

async fn wait_for_end(app: &App, id: SessionId, patience: Duration) {
    let Ok(Ok(tail)) = tail(app, id).await else {
        return;
    };
    let mut extent = tail.subscribe();
    let ended = extent.wait_for(|extent: &Extent| extent.end.is_some());
    // What it is after the time is up is what is shown.
    let _ = tokio::time::timeout(patience, ended).await;
}
