//! Sessions: start, show, end.

use std::sync::Arc;
use std::time::Duration;

use cib_protocol::api::{CreateSession, EndedSession, SessionList, SessionUsage};
use cib_protocol::keeper::{KeeperReply, KeeperRequest};
use cib_protocol::purge::Purged;
use cib_protocol::session::{Program, SessionMeta};

use super::call::{Call, Reply};
use crate::auth::scope::Scope;
use crate::fault::{Code, Fault};
use crate::once::Key;
use crate::sessions::store::Place;
use crate::sessions::{create, ending, keeper, purge};

const CLAUDE: Program = Program::Claude;

/// Sessions in a list at most.
pub(super) const MAX_LIST: u64 = 1000;

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
    let mut request: CreateSession = call.json()?;
    let Some(client_id) = request.client_id.take() else {
        return start(&call, request).await;
    };
    let key = Key::new(&call.caller()?.who, "create", &client_id)?;
    let once = Arc::clone(&call.app.once);
    once.run(key, async move { start(&call, request).await })
        .await
}

async fn start(call: &Call, request: CreateSession) -> Result<Reply, Fault> {
    let app = &call.app;
    // A provider's key is the box's, and who has a session has it.
    if request.provider_id.is_some() && !call.caller()?.scopes.allows(Scope::ProvidersRead) {
        return Err(Fault::scope_missing(Scope::ProvidersRead));
    }
    let spec = create::spec(request, &app.store, &app.providers, &app.roots).await?;
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
    let asked = keeper::ask(app.store.runtime(), id, &KeeperRequest::Status);
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
        ending::stop(app, id, kill, Some(&who)).await?;
        let patience = if is_purge {
            PURGE_PATIENCE
        } else {
            END_PATIENCE
        };
        ending::wait(app, id, patience).await;
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
