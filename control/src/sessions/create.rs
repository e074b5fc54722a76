//! From a request to the spec that a keeper is started with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cib_protocol::api::{CreateSession, CreateShell};
use cib_protocol::limits::Limits;
use cib_protocol::secret::Secret;
use cib_protocol::session::{
    AuthMode, PermissionMode, Program, Resume, SessionId, SessionMeta, SessionSpec, Toolbox, Tools,
    Uuid,
};

use serde_json::{Map, Value};

use super::store::Store;
use super::workdir;
use crate::fault::{Code, Fault};
use crate::providers::{Kept, Providers};

/// Efforts that the CLI knows.
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// Characters that a title may have.
const MAX_TITLE: usize = 200;

/// Which conversation a new keeper is to continue.
enum Origin {
    /// None.
    New,
    /// A session's own, under its own id.
    Same(Box<SessionMeta>),
    /// A copy of a session's.
    Copy(Box<SessionMeta>),
    /// A copy of a conversation that only Claude knows.
    Foreign(Uuid),
}

/// Makes the spec of a session out of a request. Without a directory it works in the first of
/// the roots.
///
/// # Errors
/// Names the field that cannot be used, or why the session cannot be resumed.
pub async fn spec(
    request: CreateSession,
    store: &Store,
    providers: &Providers,
    roots: &[PathBuf],
) -> Result<SessionSpec, Fault> {
    spec_with(request, None, store, providers, roots).await
}

/// The same of a session that may have only these tools. Whoever has none for a conversation that
/// was led with such tools alone cannot continue it: it would have all of Claude's.
///
/// # Errors
/// As [`spec`].
pub async fn spec_with(
    request: CreateSession,
    toolbox: Option<Box<Toolbox>>,
    store: &Store,
    providers: &Providers,
    roots: &[PathBuf],
) -> Result<SessionSpec, Fault> {
    let origin = origin(&request, store).await?;
    if toolbox.is_none()
        && let Some(id) = boxed(&origin, store).await?
    {
        let detail =
            format!("session {id} looked for a task's repository, and only that resumes it");
        return Err(Fault::new(Code::NothingToResume, detail));
    }
    let earlier = match &origin {
        Origin::Same(meta) | Origin::Copy(meta) => Some(&**meta),
        Origin::New | Origin::Foreign(_) => None,
    };
    let asked = request
        .workdir
        .as_deref()
        .or_else(|| earlier.and_then(|meta| meta.workdir.to_str()))
        .or_else(|| roots.first().and_then(|root| root.to_str()))
        .unwrap_or_default();
    let workdir = workdir::check(asked, roots)?;
    let permission_mode = permission_mode(&request)?;
    let auth_mode = auth_mode(&request, earlier)?;
    let provider = match auth_mode {
        AuthMode::Provider => Some(provider(&request, earlier, providers).await?),
        AuthMode::Auto | AuthMode::Subscription | AuthMode::ApiKey => None,
    };
    if let Some(effort) = &request.effort {
        check_effort(effort)?;
    }
    if let Some(model) = &request.model {
        check_model(model)?;
    }
    if let Some(title) = &request.title {
        check_title(title)?;
    }
    if let Some(limits) = &request.limits {
        check_limits(limits)?;
    }
    if let Some(hooks) = &request.hooks {
        check_hooks(hooks)?;
    }
    if let Some(tools) = &request.tools {
        check_tools(tools)?;
    }
    let mut env = environment(request.env, request.api_key, request.oauth_token)?;
    for (name, value) in provider.iter().flat_map(Kept::variables) {
        if env.insert(name.clone(), value).is_some() {
            return bad(format!("`provider_id` and `env` both set `{name}`"));
        }
    }
    let (id, resume) = match &origin {
        Origin::New => (Uuid::new_v4(), None),
        Origin::Same(meta) => (meta.id, Some(conversation(meta, false)?)),
        Origin::Copy(meta) => (Uuid::new_v4(), Some(conversation(meta, true)?)),
        Origin::Foreign(claude_session) => (
            Uuid::new_v4(),
            Some(Resume {
                claude_session: *claude_session,
                fork: true,
            }),
        ),
    };
    Ok(SessionSpec {
        id,
        program: Program::Claude,
        workdir,
        driver: request
            .driver
            .or_else(|| earlier.map(|meta| meta.driver))
            .unwrap_or_default(),
        model: request
            .model
            .or_else(|| earlier.and_then(|meta| meta.model.clone()))
            .or_else(|| provider.as_ref()?.shown.model.clone()),
        effort: request
            .effort
            .or_else(|| earlier.and_then(|meta| meta.effort.clone())),
        permission_mode: permission_mode
            .or_else(|| earlier.map(|meta| meta.permission_mode))
            .unwrap_or_default(),
        auth_mode,
        provider_id: provider.map(|provider| provider.shown.id),
        prompt: request.prompt.filter(|prompt| !prompt.is_empty()),
        resume,
        env,
        limits: request
            .limits
            .or_else(|| earlier.map(|meta| meta.limits.clone()))
            .unwrap_or_default(),
        hooks: request.hooks,
        tools: request.tools,
        toolbox,
        title: request
            .title
            .or_else(|| earlier.and_then(|meta| meta.title.clone())),
        size: None,
    })
}

/// Makes the spec of a shell out of a request.
///
/// # Errors
/// Names the field that cannot be used.
pub fn shell(request: CreateShell, roots: &[PathBuf]) -> Result<SessionSpec, Fault> {
    let first = || roots.first().and_then(|root| root.to_str());
    let asked = request.workdir.as_deref().or_else(first);
    let workdir = workdir::check(asked.unwrap_or_default(), roots)?;
    let size = match (request.cols, request.rows) {
        (None, None) => None,
        (Some(cols), Some(rows)) if cols > 0 && rows > 0 => Some((cols, rows)),
        _ => return bad("`cols` and `rows` come together and are above zero"),
    };
    if let Some(title) = &request.title {
        check_title(title)?;
    }
    let limits = request.limits.unwrap_or_default();
    check_limits(&limits)?;
    Ok(SessionSpec {
        id: Uuid::new_v4(),
        program: Program::Shell,
        workdir,
        driver: cib_protocol::session::Driver::Tty,
        model: None,
        effort: None,
        permission_mode: PermissionMode::default(),
        auth_mode: AuthMode::default(),
        provider_id: None,
        prompt: None,
        resume: None,
        env: environment(request.env, None, None)?,
        hooks: None,
        tools: None,
        toolbox: None,
        limits,
        title: request.title,
        size,
    })
}

async fn origin(request: &CreateSession, store: &Store) -> Result<Origin, Fault> {
    match (request.resume, request.resume_from) {
        (None, None) => Ok(Origin::New),
        (Some(_), Some(_)) => {
            bad("`resume` continues a session and `resume_from` a copy of it; send one of them")
        }
        (Some(id), None) => {
            let meta = store.get(Program::Claude, id).await?;
            if meta.state.is_live() {
                return Err(Fault::new(
                    Code::SessionRunning,
                    format!("session {id} is running; it needs no resuming"),
                ));
            }
            Ok(Origin::Same(Box::new(meta)))
        }
        (None, Some(id)) => match store.get(Program::Claude, id).await {
            Ok(meta) => Ok(Origin::Copy(Box::new(meta))),
            Err(fault) if fault.code() == Code::NoSuchSession => Ok(Origin::Foreign(id)),
            Err(fault) => Err(fault),
        },
    }
}

/// The session whose conversation is to be continued, if it had the tools of one server alone.
async fn boxed(origin: &Origin, store: &Store) -> Result<Option<SessionId>, Fault> {
    Ok(match origin {
        Origin::New => None,
        Origin::Same(meta) | Origin::Copy(meta) => meta.toolbox.then_some(meta.id),
        Origin::Foreign(claude_session) => {
            let is_it =
                |meta: &&SessionMeta| meta.toolbox && meta.claude_session == Some(*claude_session);
            let known = store.list(Program::Claude).await?;
            known.iter().find(is_it).map(|meta| meta.id)
        }
    })
}

fn conversation(meta: &SessionMeta, fork: bool) -> Result<Resume, Fault> {
    let claude_session = meta.claude_session.ok_or_else(|| {
        Fault::new(
            Code::NothingToResume,
            format!(
                "session {} ended before Claude had begun a conversation",
                meta.id
            ),
        )
    })?;
    Ok(Resume {
        claude_session,
        fork,
    })
}

fn permission_mode(request: &CreateSession) -> Result<Option<PermissionMode>, Fault> {
    match (request.permission_mode, request.bypass_permissions) {
        (Some(_), Some(_)) => {
            bad("`permission_mode` and `bypass_permissions` say the same; send one of them")
        }
        (Some(mode), None) => Ok(Some(mode)),
        (None, Some(true)) => Ok(Some(PermissionMode::BypassPermissions)),
        (None, Some(false)) => Ok(Some(PermissionMode::Default)),
        // Where everything is allowed, a list of what is allowed says nothing.
        (None, None) => {
            let allow = request.tools.as_ref().map(|tools| !tools.allow.is_empty());
            Ok((allow == Some(true)).then_some(PermissionMode::Default))
        }
    }
}

fn auth_mode(request: &CreateSession, earlier: Option<&SessionMeta>) -> Result<AuthMode, Fault> {
    let given = [
        (request.api_key.is_some(), AuthMode::ApiKey),
        (request.oauth_token.is_some(), AuthMode::Subscription),
        (request.provider_id.is_some(), AuthMode::Provider),
    ];
    let mut given = given
        .into_iter()
        .filter_map(|(is_given, mode)| is_given.then_some(mode));
    let (given, more) = (given.next(), given.next());
    if more.is_some() {
        return bad("`api_key`, `oauth_token` and `provider_id` exclude each other");
    }
    match (request.auth_mode, given) {
        (Some(asked), Some(given)) if asked != given => bad(
            "`auth_mode` has to be `api_key` with an `api_key`, `subscription` with an \
             `oauth_token`, and `provider` with a `provider_id`",
        ),
        (asked, given) => Ok(asked
            .or(given)
            .or_else(|| earlier.map(|meta| meta.auth_mode))
            .unwrap_or_default()),
    }
}

/// The provider that pays: the one that is named, or on resuming the one of before.
async fn provider(
    request: &CreateSession,
    earlier: Option<&SessionMeta>,
    providers: &Providers,
) -> Result<Kept, Fault> {
    let named = request.provider_id.as_deref();
    let id = named.or_else(|| earlier?.provider_id.as_deref());
    match id {
        Some(id) => providers.find(id).await,
        None => bad("`auth_mode` is `provider`, and `provider_id` does not say which"),
    }
}

/// The session's variables, and what Claude takes its credentials from.
fn environment(
    mut env: BTreeMap<String, Secret>,
    api_key: Option<Secret>,
    oauth_token: Option<Secret>,
) -> Result<BTreeMap<String, Secret>, Fault> {
    for (name, value) in &env {
        let mut letters = name.chars();
        let starts = letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !starts || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return bad(format!(
                "`env` has {name:?}, which is no name of a variable"
            ));
        }
        if is_the_boxs(name) {
            return bad(format!("`env` has `{name}`, which is the box's own to set"));
        }
        if value.expose().contains('\0') {
            return bad(format!("`env` has a NUL byte in `{name}`"));
        }
    }
    let credentials = [
        ("ANTHROPIC_API_KEY", "api_key", api_key),
        ("CLAUDE_CODE_OAUTH_TOKEN", "oauth_token", oauth_token),
    ];
    for (name, field, value) in credentials {
        let Some(value) = value else { continue };
        if value.expose().is_empty() || value.expose().contains(['\0', '\n', '\r']) {
            return bad(format!("`{field}` is empty or has a line end in it"));
        }
        if env.insert(name.to_owned(), value).is_some() {
            return bad(format!("`{field}` and `env` both set `{name}`"));
        }
    }
    Ok(env)
}

/// Whether a variable says where programs come from or whose they are: init's word on that
/// holds for every process of a session, the box's own helpers among them.
fn is_the_boxs(name: &str) -> bool {
    const PREFIXES: [&str; 2] = ["CIB_", "LD_"];
    const NAMES: [&str; 7] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "GLIBC_TUNABLES",
        "GCONV_PATH",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// Checks a model's name. It becomes an argument of the CLI, so it must not look like a flag.
///
/// # Errors
/// [`Code::BadValue`] if it is not a name.
pub fn check_model(model: &str) -> Result<(), Fault> {
    let is_name = !model.is_empty()
        && model.len() <= 200
        && !model.starts_with('-')
        && model.chars().all(|c| c.is_ascii_graphic());
    if is_name {
        Ok(())
    } else {
        bad("`model` is an alias or an id, without spaces and not beginning with `-`")
    }
}

/// Checks an effort.
///
/// # Errors
/// [`Code::BadValue`] if there is none of that name.
pub fn check_effort(effort: &str) -> Result<(), Fault> {
    if EFFORTS.contains(&effort) {
        Ok(())
    } else {
        bad(format!("`effort` is one of {}", EFFORTS.join(", ")))
    }
}

/// Checks a title.
///
/// # Errors
/// [`Code::BadValue`] if it is too long or has control characters in it.
pub fn check_title(title: &str) -> Result<(), Fault> {
    if title.chars().count() > MAX_TITLE || title.chars().any(char::is_control) {
        return bad(format!(
            "`title` has at most {MAX_TITLE} characters and no control characters"
        ));
    }
    Ok(())
}

/// Checks the shape of hooks alone: which events there are depends on Claude's version, and
/// the keeper leaves out what it does not know and says so.
fn check_hooks(hooks: &Map<String, Value>) -> Result<(), Fault> {
    for (event, matchers) in hooks {
        let is_list = matchers
            .as_array()
            .is_some_and(|list| list.iter().all(Value::is_object));
        if !is_list {
            return bad(format!("`hooks.{event}` is not a list of objects"));
        }
    }
    Ok(())
}

/// Rules that a session has, at most, and characters of one.
const MAX_RULES: (usize, usize) = (500, 1000);

/// Checks rules for tools.
///
/// # Errors
/// Names the list that cannot be used.
fn check_tools(tools: &Tools) -> Result<(), Fault> {
    for (name, rules) in [("allow", &tools.allow), ("deny", &tools.deny)] {
        let is_rule = |rule: &String| {
            !rule.trim().is_empty()
                && rule.len() <= MAX_RULES.1
                && !rule.chars().any(char::is_control)
        };
        if rules.len() > MAX_RULES.0 || !rules.iter().all(is_rule) {
            return bad(format!(
                "`tools.{name}` is a list of at most {} rules, as `Read` or `Bash(npm:*)`",
                MAX_RULES.0
            ));
        }
    }
    Ok(())
}

fn check_limits(limits: &Limits) -> Result<(), Fault> {
    let whole = [
        ("memory", limits.memory),
        ("pids", limits.pids),
        ("max_turns", limits.max_turns),
        ("max_duration", limits.max_duration),
    ];
    let fractions = [("cpus", limits.cpus), ("max_cost_usd", limits.max_cost_usd)];
    let zero = whole.iter().find(|(_, limit)| *limit == Some(0));
    let senseless = fractions
        .iter()
        .find(|(_, limit)| limit.is_some_and(|limit| !limit.is_finite() || limit <= 0.0));
    match zero
        .map(|(name, _)| name)
        .or(senseless.map(|(name, _)| name))
    {
        Some(name) => bad(format!("`limits.{name}` has to be above zero")),
        None => Ok(()),
    }
}

fn bad<T>(detail: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::new(Code::BadValue, detail))
}

/// The path of a session, or of a shell, in the API.
#[must_use]
pub fn location(program: Program, id: SessionId) -> String {
    match program {
        Program::Claude => format!("/api/sessions/{id}"),
        Program::Shell => format!("/api/shells/{id}"),
    }
}
