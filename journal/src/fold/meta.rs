//! What a session is, and how a frame changes that.

use std::path::PathBuf;

use cib_protocol::frame::{AskQuestion, Data, Meta, Opening, Status, Stop, TodoUpdate};
use cib_protocol::limits::{Resources, Usage};
use cib_protocol::session::{
    AuthMode, Driver, MAX_OPEN_QUESTIONS, MAX_OPTION, MAX_TOLD, OpenQuestion, PermissionMode,
    Program, Progress, SessionId, SessionMeta, SessionSpec, State,
};
use cib_protocol::time::Timestamp;

/// What a session is at its first breath, or at its next one after it had ended: what it has
/// used, its turns and its birthday stay.
#[must_use]
pub fn begin(spec: &SessionSpec, earlier: Option<SessionMeta>, now: Timestamp) -> SessionMeta {
    let earlier = earlier.filter(|earlier| earlier.id == spec.id);
    let old = earlier.as_ref();
    SessionMeta {
        id: spec.id,
        program: spec.program,
        workdir: spec.workdir.clone(),
        driver: spec.driver,
        model: spec.model.clone().or_else(|| old?.model.clone()),
        effort: spec.effort.clone(),
        permission_mode: spec.permission_mode,
        auth_mode: spec.auth_mode,
        provider_id: spec.provider_id.clone(),
        toolbox: spec.toolbox.is_some(),
        title: spec.title.clone().or_else(|| old?.title.clone()),
        state: State::Starting,
        reason: None,
        created_at: old.map_or(now, |old| old.created_at),
        started_at: old.and_then(|old| old.started_at),
        stopped_at: None,
        ended_in: None,
        exit_code: None,
        last_seq: old.map_or(0, |old| old.last_seq),
        claude_session: None,
        claude_version: old.and_then(|old| old.claude_version.clone()),
        claude_pid: None,
        usage: old.map(|old| old.usage).unwrap_or_default(),
        last_turn: old.and_then(|old| old.last_turn),
        resources: old.map(|old| old.resources).unwrap_or_default(),
        turns: old.map_or(0, |old| old.turns),
        limits: spec.limits.clone(),
        active_at: Some(now),
        todo: old.and_then(|old| old.todo.clone()),
        open_questions: Vec::new(),
        hooks: old.map_or(0, |old| old.hooks),
        damage: old.and_then(|old| old.damage.clone()),
    }
}

/// What a keeper says once of a session that begins, so that the journal tells it.
#[must_use]
pub fn opening(meta: &SessionMeta) -> Opening {
    Opening {
        program: meta.program,
        created_at: meta.created_at,
        auth_mode: meta.auth_mode,
        provider_id: meta.provider_id.clone(),
        toolbox: meta.toolbox,
        effort: meta.effort.clone(),
        limits: meta.limits.clone(),
        resources: (meta.resources != Resources::default()).then_some(meta.resources),
        exit_code: None,
        ended_in: None,
    }
}

/// Takes up what a frame says.
pub fn apply(meta: &mut SessionMeta, seq: u64, ts: Timestamp, data: &Data) {
    meta.last_seq = seq;
    match data {
        Data::Status(status) => apply_status(meta, ts, status),
        Data::Stop(stop) => apply_stop(meta, stop),
        Data::Usage(usage) => {
            meta.usage.add(usage);
            meta.last_turn = Some(*usage);
        }
        Data::Meta(news) => apply_meta(meta, news),
        Data::TodoUpdate(list) => meta.todo = Some(progress(list)),
        Data::AskQuestion(asked) => apply_question(meta, ts, asked),
        Data::AskAnswer(answer) => meta.open_questions.retain(|open| open.id != answer.id),
        Data::Hook(_) => meta.hooks += 1,
        _ => return,
    }
    if !matches!(data, Data::Hook(_)) {
        meta.active_at = Some(ts);
    }
}

/// The first characters of a text.
fn told(text: &str) -> String {
    text.chars().take(MAX_TOLD).collect()
}

fn progress(list: &TodoUpdate) -> Progress {
    let count = |status: &str| {
        list.items
            .iter()
            .filter(|item| item.status == status)
            .count()
    };
    let doing = list.items.iter().find(|item| item.status == "in_progress");
    let doing = doing.map(|item| told(item.active_form.as_deref().unwrap_or(&item.subject)));
    Progress {
        doing,
        done: count("completed") as u64,
        total: list.items.len() as u64,
    }
}

fn apply_question(meta: &mut SessionMeta, ts: Timestamp, asked: &AskQuestion) {
    if meta.open_questions.len() < MAX_OPEN_QUESTIONS {
        meta.open_questions.push(OpenQuestion {
            id: asked.id.clone(),
            prompt: told(&asked.prompt),
            tool: asked.tool.as_deref().map(told),
            options: options(asked),
            asked_at: ts,
        });
    }
}

/// The options of a question that is answered by one of them alone. What a permission is about is
/// more than is told here, so it has none.
fn options(asked: &AskQuestion) -> Vec<String> {
    let [only] = &*asked.questions else {
        return Vec::new();
    };
    let is_whole = only.question == asked.prompt && only.question.chars().count() <= MAX_TOLD;
    let labels: Vec<_> = only.options.iter().map(|option| &option.label).collect();
    let are_short = labels
        .iter()
        .all(|label| label.chars().count() <= MAX_OPTION);
    let is_simple = is_whole && are_short && (1..=2).contains(&labels.len());
    if !is_simple || only.multi_select || asked.tool.is_some() {
        return Vec::new();
    }
    labels.into_iter().cloned().collect()
}

fn apply_status(meta: &mut SessionMeta, ts: Timestamp, status: &Status) {
    let before = std::mem::replace(&mut meta.state, status.state);
    if status.state != State::WaitingForInput {
        // Journals of old do not say when a question was answered.
        meta.open_questions.clear();
    }
    if status.state.is_live() {
        if !before.is_live() {
            // A keeper has begun where another had ended.
            meta.reason = None;
            meta.stopped_at = None;
            meta.ended_in = None;
            meta.exit_code = None;
        }
        if status.state != State::Starting && meta.started_at.is_none() {
            meta.started_at = Some(ts);
        }
    } else {
        meta.stopped_at.get_or_insert(ts);
        if before.is_live() {
            meta.ended_in.get_or_insert(before);
        }
        meta.claude_pid = None;
    }
}

fn apply_stop(meta: &mut SessionMeta, stop: &Stop) {
    if let Some(resources) = stop.resources {
        meta.resources = resources;
    }
    if stop.last {
        meta.reason = Some(stop.reason.clone());
        meta.exit_code = stop.exit_code;
        meta.ended_in = stop.ended_in.or(meta.ended_in);
    } else if stop.is_users_turn() {
        meta.turns += 1;
    }
}

fn apply_meta(meta: &mut SessionMeta, news: &Meta) {
    if let Some(opening) = &news.opening {
        meta.program = opening.program;
        meta.created_at = opening.created_at;
        meta.auth_mode = opening.auth_mode;
        meta.provider_id.clone_from(&opening.provider_id);
        meta.toolbox = opening.toolbox;
        meta.effort.clone_from(&opening.effort);
        meta.limits = opening.limits.clone();
        meta.resources = opening.resources.unwrap_or(meta.resources);
        meta.exit_code = opening.exit_code.or(meta.exit_code);
        meta.ended_in = opening.ended_in.or(meta.ended_in);
    }
    if let Some(title) = &news.title {
        meta.title = Some(title.clone());
    }
    if let Some(model) = &news.model {
        meta.model = Some(model.clone());
    }
    if let Some(effort) = &news.effort {
        meta.effort = Some(effort.clone());
    }
    if let Some(driver) = news.driver {
        meta.driver = driver;
    }
    if let Some(workdir) = &news.workdir {
        meta.workdir = workdir.into();
    }
    if let Some(version) = &news.claude_version {
        meta.claude_version = Some(version.clone());
    }
    let parsed = news.claude_session.as_deref().map(str::parse);
    if let Some(Ok(id)) = parsed {
        meta.claude_session = Some(id);
    }
    let mode = news.permission_mode.as_deref();
    if let Some(mode) = mode.and_then(PermissionMode::named) {
        meta.permission_mode = mode;
    }
}

/// A session of which nothing is known but its id and when it was first heard of.
#[must_use]
pub fn unknown(id: SessionId, at: Timestamp) -> SessionMeta {
    SessionMeta {
        id,
        program: Program::Claude,
        workdir: PathBuf::new(),
        driver: Driver::default(),
        model: None,
        effort: None,
        permission_mode: PermissionMode::default(),
        auth_mode: AuthMode::default(),
        provider_id: None,
        toolbox: false,
        title: None,
        state: State::Starting,
        reason: None,
        created_at: at,
        started_at: None,
        stopped_at: None,
        ended_in: None,
        exit_code: None,
        last_seq: 0,
        claude_session: None,
        claude_version: None,
        claude_pid: None,
        usage: Usage::default(),
        last_turn: None,
        resources: Resources::default(),
        turns: 0,
        limits: cib_protocol::limits::Limits::default(),
        active_at: None,
        todo: None,
        open_questions: Vec::new(),
        hooks: 0,
        damage: None,
    }
}
