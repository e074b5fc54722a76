//! The session that looks for the repository of a task that names none: its only tools are the three
//! of [`super::choose`], and it has neither a shell nor a token.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use cib_protocol::api::CreateSession;
use cib_protocol::limits::Limits;
use cib_protocol::secret::Secret;
use cib_protocol::session::{PermissionMode, Program, SessionId, SessionSpec, State, Toolbox};
use cib_protocol::task::{TaskFault, TaskSession, TaskState};
use cib_tasks::prompt;
use cib_tasks::step::{self, Outcome};

use super::entry::Entry;
use super::work::{GRACE, LOOK, ROOM, away, begun, failed, postponed};
use super::{choose, drive, said, settle};
use crate::app::App;
use crate::auth::digest::Digest;
use crate::fault::{Code, Fault};
use crate::sessions::create;
use crate::work;

/// The file with what opens the tools.
const KEY: &str = "finder.key";

/// Where the tools of a task are.
#[must_use]
pub fn url(api: SocketAddr, entry: &Entry) -> String {
    let host = match api.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    format!("http://{host}:{}/mcp/find/{}", api.port(), entry.id())
}

/// Whether this opens the tools of a task. They are closed when its repository is known.
pub async fn opens(entry: &Entry, given: &str) -> bool {
    if entry.state() != TaskState::Finding {
        return false;
    }
    let path = entry.folder().join(KEY);
    let kept = work::run(move || cib_foreign::own::read_to_string(path)).await;
    kept.is_ok_and(|kept| Digest::of(&kept).matches(&Digest::of(given)))
}

/// What opens the tools, which is made when it is first needed: a session may outlive control.
async fn key(entry: &Entry) -> Result<String, Fault> {
    let path = entry.folder().join(KEY);
    work::run(move || match cib_foreign::own::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
            let key = cib_base::hex::encode(&bytes);
            cib_base::files::replace(&path, key.as_bytes())?;
            Ok(key)
        }
        read => read,
    })
    .await
}

/// Has a session look for the repository, until it is chosen, somebody has to be asked, or nothing
/// comes of it.
pub async fn seek(app: &Arc<App>, entry: &Arc<Entry>) -> Outcome {
    let progress = entry.progress();
    let Some(finder) = progress.finder else {
        return Outcome::Seeks(SessionId::new_v4(), 0);
    };
    if let Some(until) = progress.until {
        away(app, entry, &finder, until).await;
    }
    let outcome = tokio::select! {
        outcome = session(app, entry, &finder) => outcome,
        () = chosen(entry) => Outcome::Nothing,
        () = tokio::time::sleep(app.tasks.finding) => {
            let seconds = app.tasks.finding.as_secs();
            let detail = format!("the repository was not found in {seconds} seconds");
            Outcome::Fault(TaskFault::Timeout, detail)
        }
    };
    let goes_on = match &outcome {
        // It is looked at anew, and may be resumed.
        Outcome::Nothing => !is_chosen(entry),
        Outcome::Postponed(..) => true,
        _ => false,
    };
    if !goes_on {
        // It has done what it was for, and nobody waits for its end.
        let app = Arc::clone(app);
        tokio::spawn(async move {
            if let Err(fault) = settle::end(&app, finder.session).await {
                fault.log("tasks");
            }
        });
    }
    outcome
}

fn is_chosen(entry: &Entry) -> bool {
    let progress = entry.progress();
    progress.repository.is_some() || progress.state != TaskState::Finding
}

/// Waits until the repository is known, or somebody has to be asked.
async fn chosen(entry: &Entry) {
    let mut states = entry.watch();
    loop {
        states.borrow_and_update();
        if is_chosen(entry) {
            return;
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

async fn session(app: &Arc<App>, entry: &Arc<Entry>, finder: &TaskSession) -> Outcome {
    let meta = match app.store.find(Program::Claude, finder.session).await {
        Ok(meta) if meta.state.is_live() => return follow(app, entry, finder).await,
        Ok(meta) => Some(meta),
        Err(fault) if fault.code() == Code::NoSuchSession => None,
        Err(fault) => {
            fault.log("tasks");
            tokio::time::sleep(ROOM).await;
            return Outcome::Nothing;
        }
    };
    // What it was started with is written down already, but for one that is started again.
    if let Some(meta) = &meta
        && (meta.turns > finder.turns || !matches!(meta.state, State::Interrupted))
        && entry.progress().until.is_none()
    {
        return nothing(app, entry, finder.session).await;
    }
    let mut finder = finder.clone();
    if let Some(meta) = &meta {
        finder.turns = meta.turns;
        let again = Outcome::Seeks(meta.id, meta.turns);
        match entry.write(|now| step::after(now, again)).await {
            Ok((now, true)) if !now.state.is_ending() => {}
            Ok(_) => return Outcome::Nothing,
            Err(fault) => return failed(&fault),
        }
    }
    let resumed = meta.filter(|meta| meta.claude_session.is_some());
    match spec(app, entry, finder.session, resumed.is_some()).await {
        Ok(spec) => start(app, entry, &finder, spec).await,
        Err(fault) => failed(&fault),
    }
}

/// What the session is asked to be.
async fn spec(
    app: &App,
    entry: &Entry,
    id: SessionId,
    is_resumed: bool,
) -> Result<SessionSpec, Fault> {
    let request = &entry.record.request;
    let asked = match is_resumed {
        true => CreateSession {
            resume: Some(id),
            prompt: Some(prompt::SEEK_AGAIN.to_owned()),
            ..CreateSession::default()
        },
        false => CreateSession {
            model: request.model.clone(),
            provider_id: request.provider_id.clone(),
            prompt: Some(prompt::seek(&entry.prompt().await?)),
            title: Some(format!("{} looks for its repository", entry.id())),
            permission_mode: Some(PermissionMode::Default),
            limits: Some(Limits {
                max_cost_usd: request.limits.as_ref().and_then(|limits| limits.cost_usd),
                max_duration: Some(app.tasks.finding.as_secs() + GRACE),
                ..Limits::default()
            }),
            ..CreateSession::default()
        },
    };
    let api = app.tasks.api.get().ok_or_else(|| {
        let detail = "the box's API is not where a session could reach it";
        Fault::new(Code::NotNow, detail)
    })?;
    let toolbox = Box::new(Toolbox {
        url: url(*api, entry),
        key: Secret::new(key(entry).await?),
        tools: choose::TOOLS
            .iter()
            .map(|tool| tool.name.to_owned())
            .collect(),
    });
    let (store, providers) = (&app.store, &app.providers);
    let spec = create::spec_with(asked, Some(toolbox), store, providers, &app.roots).await?;
    Ok(SessionSpec { id, ..spec })
}

async fn start(
    app: &Arc<App>,
    entry: &Arc<Entry>,
    finder: &TaskSession,
    spec: SessionSpec,
) -> Outcome {
    loop {
        match begun(app, entry, &spec).await {
            Ok(()) => break,
            Err(fault) => match fault.code() {
                Code::TooManySessions | Code::Busy | Code::NotNow | Code::InitUnreachable => {
                    tokio::time::sleep(ROOM).await;
                }
                _ => return failed(&fault),
            },
        }
    }
    let looks = entry.write(|now| step::after(now, Outcome::Looks)).await;
    match looks {
        // The others waited with it.
        Ok((_, true)) => drop(tokio::spawn(drive::next_turn(Arc::clone(app)))),
        Ok(_) => {}
        Err(fault) => return failed(&fault),
    }
    follow(app, entry, finder).await
}

/// Looks at a session that lives until its turn is over.
async fn follow(app: &Arc<App>, entry: &Arc<Entry>, finder: &TaskSession) -> Outcome {
    let mut idle_at = None;
    loop {
        let meta = match app.store.find(Program::Claude, finder.session).await {
            Ok(meta) => meta,
            Err(fault) if fault.code() == Code::Busy => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(fault) => return failed(&fault),
        };
        if !meta.state.is_live() {
            // How it ended is looked at anew.
            return Outcome::Nothing;
        }
        let is_over = meta.state == State::Idle && meta.turns > finder.turns;
        if is_over && idle_at == Some(meta.last_seq) {
            return nothing(app, entry, finder.session).await;
        }
        idle_at = is_over.then_some(meta.last_seq);
        tokio::time::sleep(LOOK).await;
    }
}

/// What it means that it chose nothing: a person has to, if there is anything to choose from.
async fn nothing(app: &Arc<App>, entry: &Entry, id: SessionId) -> Outcome {
    let said = match said::last(app, id).await {
        Ok(said) => said,
        Err(fault) => return failed(&fault),
    };
    match said.fault() {
        Some((kind @ (TaskFault::CapacityReached | TaskFault::ApiDown), detail)) => {
            return postponed(app, entry, kind, &detail, &said);
        }
        Some((kind @ TaskFault::AuthExpired, detail)) => return Outcome::Fault(kind, detail),
        _ => {}
    }
    match choose::first(app).await {
        Ok(candidates) if !candidates.is_empty() => Outcome::Asked(candidates),
        Ok(_) => Outcome::Fault(TaskFault::NoRepo, said.text),
        Err(why) => Outcome::Fault(TaskFault::ForgeDown, why),
    }
}
