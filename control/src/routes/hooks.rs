//! Hooks of the image, of the user, and of a session.

use cib_protocol::api::{HookFinding, HookLevel, HookMap, HookSeverity, Hooks, SetHooks, TryHook};
use cib_protocol::files::{Condition, FilesRequest};
use cib_protocol::hooks::events;
use cib_protocol::keeper::{KeeperReply, KeeperRequest};
use cib_protocol::session::Program;
use http::header::{ETAG, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::sync::Mutex;

use super::call::{Call, Reply};
use crate::app::App;
use crate::fault::{Code, Fault};
use crate::files::conditions;
use crate::hooks::{self, schema};
use crate::sessions::keeper;

pub(super) async fn all(call: Call) -> Result<Reply, Fault> {
    let app = &call.app;
    let version = version(app).await;
    let image = judged(app, hooks::image().await?, version.as_deref()).await;
    let user = judged(app, hooks::user(&app.files).await?, version.as_deref()).await;
    let levels = [("image", &image.hooks), ("user", &user.hooks)];
    Reply::json(&Hooks {
        effective: hooks::effective(&levels, version.as_deref()),
        events: events(version.as_deref())
            .into_iter()
            .map(str::to_owned)
            .collect(),
        image,
        user,
        version,
    })
}

pub(super) async fn image(call: Call) -> Result<Reply, Fault> {
    let version = version(&call.app).await;
    let level = hooks::image().await?;
    Reply::json(&judged(&call.app, level, version.as_deref()).await)
}

pub(super) async fn user(call: Call) -> Result<Reply, Fault> {
    let version = version(&call.app).await;
    let level = hooks::user(&call.app.files).await?;
    answer(&judged(&call.app, level, version.as_deref()).await)
}

pub(super) async fn set(call: Call) -> Result<Reply, Fault> {
    let SetHooks { hooks } = call.json()?;
    let app = &call.app;
    let condition = conditions::to_change(&call.headers)?;
    let version = version(app).await;
    let findings = hooks::judge(&app.files, &hooks, version.as_deref()).await;
    if call.query.get("check") == Some("1") {
        return Reply::json(&HookLevel {
            hooks,
            tag: None,
            findings,
        });
    }
    refuse_wrong(&findings)?;
    let entry = hooks::write(&app.files, &hooks, condition).await?;
    tracing::info!(caller = %call.caller()?.who, "the user's hooks were changed");
    answer(&HookLevel {
        hooks,
        tag: Some(entry.tag),
        findings,
    })
}

/// Held while a session's hooks are compared with what a client knows of them and replaced: nobody
/// but this process tells keepers anything.
static CHANGING: Mutex<()> = Mutex::const_new(());

pub(super) async fn of_session(call: Call) -> Result<Reply, Fault> {
    let (hooks, version) = sessions_own(&call).await?;
    let level = HookLevel {
        tag: Some(hooks::tag(&hooks)?),
        hooks,
        findings: Vec::new(),
    };
    answer(&judged(&call.app, level, version.as_deref()).await)
}

pub(super) async fn set_of_session(call: Call) -> Result<Reply, Fault> {
    let SetHooks { hooks } = call.json()?;
    let app = &call.app;
    let condition = conditions::to_change(&call.headers)?;
    let _changing = CHANGING.lock().await;
    let (known, version) = sessions_own(&call).await?;
    let findings = hooks::judge(&app.files, &hooks, version.as_deref()).await;
    if call.query.get("check") == Some("1") {
        return Reply::json(&HookLevel {
            hooks,
            tag: None,
            findings,
        });
    }
    refuse_wrong(&findings)?;
    let fits = match condition {
        Condition::Tag(tag) => tag == hooks::tag(&known)?,
        // There always are some, if only none.
        Condition::Absent => known.is_empty(),
        Condition::None | Condition::Present => true,
    };
    if !fits {
        let detail = "the session's hooks are not what you know of them";
        return Err(Fault::new(Code::FileChanged, detail));
    }
    let id = call.id(Program::Claude)?;
    let request = KeeperRequest::SetHooks {
        hooks: hooks::written(&hooks)?,
    };
    let who = &call.caller()?.who;
    keeper::tell(app.store.runtime(), id, who, &request).await?;
    tracing::info!(session = %id, caller = %who, "a session's hooks were changed");
    answer(&HookLevel {
        tag: Some(hooks::tag(&hooks)?),
        hooks,
        findings,
    })
}

/// What a session that lives was given itself, and the version of Claude Code that it runs.
async fn sessions_own(call: &Call) -> Result<(HookMap, Option<String>), Fault> {
    let (app, id) = (&call.app, call.id(Program::Claude)?);
    let version = app.store.get(Program::Claude, id).await?.claude_version;
    match keeper::ask(app.store.runtime(), id, &KeeperRequest::Hooks).await? {
        KeeperReply::Hooks(hooks) => Ok((hooks::by_event(hooks), version)),
        _ => Err(Fault::internal(
            "a keeper says no hooks when it is asked for them",
        )),
    }
}

pub(super) async fn schema(call: Call) -> Result<Reply, Fault> {
    Reply::json(&schema::document(version(&call.app).await.as_deref()))
}

pub(super) async fn attempt(call: Call) -> Result<Reply, Fault> {
    let TryHook {
        event,
        command,
        input,
    } = call.json()?;
    if command.trim().is_empty() || command.contains('\0') {
        return Err(Fault::new(Code::BadValue, "`command` is empty"));
    }
    let mut input = input.unwrap_or_else(|| hooks::sample(&event));
    input.insert("hook_event_name".to_owned(), Value::String(event));
    tracing::info!(caller = %call.caller()?.who, "a hook is tried");
    let request = FilesRequest::Try {
        command,
        input: Value::Object(input).to_string(),
    };
    Reply::json(&hooks::tried(call.app.files.ask(&request).await?)?)
}

/// Refuses hooks that cannot be used, by the first thing that is wrong.
fn refuse_wrong(findings: &[HookFinding]) -> Result<(), Fault> {
    let is_wrong = |one: &&HookFinding| one.severity == HookSeverity::Error;
    match findings.iter().find(is_wrong) {
        None => Ok(()),
        Some(worst) => {
            let detail = format!("{}: {}", worst.place, worst.detail);
            Err(Fault::new(Code::BadValue, detail))
        }
    }
}

async fn judged(app: &App, mut level: HookLevel, version: Option<&str>) -> HookLevel {
    let found = hooks::judge(&app.files, &level.hooks, version).await;
    level.findings.extend(found);
    level
}

/// A level with its tag as a header.
fn answer(level: &HookLevel) -> Result<Reply, Fault> {
    let mut headers = HeaderMap::new();
    if let Some(tag) = &level.tag
        && let Ok(value) = HeaderValue::try_from(format!("\"{tag}\""))
    {
        headers.insert(ETAG, value);
    }
    Ok(Reply::json(level)?.with(headers))
}

/// The version of Claude Code that the newest session has told of.
async fn version(app: &App) -> Option<String> {
    let sessions = app.store.list(Program::Claude).await.ok()?;
    sessions
        .into_iter()
        .find_map(|session| session.claude_version)
}
