//! Hooks of the image and of the user: read, judged, and the user's written.
//!
//! The user's are a file of coder's, so they are read and written by `cib-files`. The image's are
//! root's. What a session was given itself its keeper knows. [`schema`] says what hooks are.

pub mod schema;

use std::io;
use std::path::Path;

use cib_protocol::api::{EffectiveHook, FileEntry, HookFinding, HookLevel, HookMap, HookSeverity};
use cib_protocol::files::{Condition, FilesReply, FilesRequest, Place};
use cib_protocol::hooks::events;
use futures_util::StreamExt as _;
use regress::Regex;
use serde_json::{Map, Value, json};

use crate::auth::digest::Digest;
use crate::fault::{Code, Fault};
use crate::files::Files;
use crate::files::ask::unexpected;
use crate::routes::call::Upload;
use crate::work;

/// Hooks that an image brings.
const IMAGE: &str = "/etc/claude-in-box/hooks.json";

/// The user's, below the root `claude`.
const USER: &str = "hooks.json";

/// Bytes of a file of hooks that are read, and written.
pub const MOST: u64 = 1024 * 1024;

/// Bytes of the hooks of a session.
const MOST_OF_A_SESSION: usize = 512 * 1024;

/// Findings that are told, at most.
const MAX_FINDINGS: usize = 100;

/// Bytes of a matcher that are looked at: its parser has no limit of its own.
const MAX_MATCHER: usize = 4096;

/// What is spent on all matchers, in squares of their bytes: what a parser needs for one of many words.
/// The user's are a file of coder's, and the API waits for this.
const MAX_EFFORT: usize = 4 << 20;

/// Types of hooks that Claude Code has.
const TYPES: [&str; 5] = ["command", "http", "prompt", "agent", "mcp_tool"];

/// Events of which Claude Code tells no hook of type `http`.
const NOT_HTTP: [&str; 2] = ["SessionStart", "Setup"];

/// The image's hooks.
///
/// # Errors
/// The fault that the route answers with.
pub async fn image() -> Result<HookLevel, Fault> {
    let read = work::run(
        || match cib_foreign::own::read_to_string(Path::new(IMAGE)) {
            Ok(text) => Ok::<_, io::Error>(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        },
    );
    Ok(read.await?.map_or_else(empty, |text| level(&text, None)))
}

/// The user's hooks.
///
/// # Errors
/// The fault that the route answers with.
pub async fn user(files: &Files) -> Result<HookLevel, Fault> {
    let request = FilesRequest::Read {
        place: place(),
        span: None,
        tag: None,
    };
    let mut content = match files.read(&request).await {
        Ok(content) => content,
        Err(fault) if fault.code() == Code::NoSuchFile => return Ok(empty()),
        Err(fault) => return Err(fault),
    };
    if content.length > MOST {
        let why = format!("the hooks have more than {MOST} bytes");
        return Err(Fault::new(Code::TooLarge, why));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = content.pieces.next().await {
        let piece = piece.map_err(|error| {
            Fault::new(Code::FilesUnavailable, "the hooks were changed meanwhile").because(error)
        })?;
        bytes.extend_from_slice(&piece);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(level(&text, Some(content.entry.tag)))
}

/// Writes the user's hooks.
///
/// # Errors
/// The fault that the route answers with.
pub async fn write(
    files: &Files,
    hooks: &HookMap,
    condition: Condition,
) -> Result<FileEntry, Fault> {
    let mut text =
        serde_json::to_string_pretty(&json!({"hooks": hooks})).map_err(Fault::internal)?;
    text.push('\n');
    let request = FilesRequest::Write {
        place: place(),
        condition,
        most: MOST,
    };
    files
        .write(&request, Upload::of(text.into_bytes().into()))
        .await
}

/// What a session's hooks are recognised by.
///
/// # Errors
/// If they cannot be written as JSON.
pub fn tag(hooks: &HookMap) -> Result<String, Fault> {
    let text = serde_json::to_string(hooks).map_err(Fault::internal)?;
    Ok(Digest::of(&text).to_string())
}

/// Hooks as a keeper says them, by event. What it was given had the right form.
#[must_use]
pub fn by_event(hooks: Map<String, Value>) -> HookMap {
    let list = |(event, matchers)| match matchers {
        Value::Array(matchers) => Some((event, matchers)),
        _ => None,
    };
    hooks.into_iter().filter_map(list).collect()
}

/// Hooks as a keeper is told them.
///
/// # Errors
/// [`Code::TooLarge`] if it could not say them again in one line.
pub fn written(hooks: &HookMap) -> Result<Map<String, Value>, Fault> {
    let text = serde_json::to_string(hooks).map_err(Fault::internal)?;
    if text.len() > MOST_OF_A_SESSION {
        let detail = format!("the hooks have more than {MOST_OF_A_SESSION} bytes");
        return Err(Fault::new(Code::TooLarge, detail));
    }
    let hooks = hooks.iter();
    Ok(hooks
        .map(|(event, matchers)| (event.clone(), Value::Array(matchers.clone())))
        .collect())
}

fn place() -> Place {
    Place {
        root: "claude".to_owned(),
        path: USER.to_owned(),
    }
}

fn empty() -> HookLevel {
    HookLevel {
        hooks: HookMap::new(),
        tag: None,
        findings: Vec::new(),
    }
}

/// The hooks of a file: `{"hooks": {…}}` as in Claude's own settings, or the inner object alone.
/// What a session would leave out is left out, and told.
fn level(text: &str, tag: Option<String>) -> HookLevel {
    let mut level = HookLevel { tag, ..empty() };
    let mut odd = |place: &str, detail: String| {
        level.findings.push(HookFinding {
            severity: HookSeverity::Error,
            place: place.to_owned(),
            detail,
        });
    };
    let file = match serde_json::from_str(text) {
        Ok(Value::Object(mut file)) => match file.remove("hooks") {
            Some(Value::Object(hooks)) => hooks,
            Some(_) => {
                odd("hooks", "it is no object".to_owned());
                Map::new()
            }
            None => file,
        },
        Ok(_) => {
            odd("", "the file is no object".to_owned());
            Map::new()
        }
        Err(error) => {
            odd("", format!("the file is no JSON: {error}"));
            Map::new()
        }
    };
    for (event, matchers) in file {
        match matchers {
            Value::Array(matchers) => {
                level.hooks.insert(event, matchers);
            }
            _ => odd(&event, "it is no list".to_owned()),
        }
    }
    level
}

/// Judges hooks for a version of Claude Code. Programs are looked for where the hooks would run.
///
/// # Errors
/// None that matters: what cannot be looked at is not judged.
pub async fn judge(files: &Files, hooks: &HookMap, version: Option<&str>) -> Vec<HookFinding> {
    let (mut findings, programs) = look(hooks, version);
    if !programs.is_empty() {
        let names = programs.iter().map(|(_, name)| name.clone()).collect();
        let asked = files.ask(&FilesRequest::Programs { names }).await;
        if let Ok(FilesReply::Programs(can)) = asked {
            for ((place, name), _) in programs.iter().zip(can).filter(|(_, can)| !can) {
                findings.push(HookFinding {
                    severity: HookSeverity::Warning,
                    place: place.clone(),
                    detail: format!("`{name}` cannot be run in the box"),
                });
            }
        }
    }
    findings.truncate(MAX_FINDINGS);
    findings
}

/// What is wrong by itself, and which programs have to be looked for.
fn look(hooks: &HookMap, version: Option<&str>) -> (Vec<HookFinding>, Vec<(String, String)>) {
    let mut judge = Judge::default();
    let known = events(version);
    for (event, matchers) in hooks {
        if !known.contains(&&**event) {
            let whose = version.map_or("Claude Code".to_owned(), |v| format!("Claude Code {v}"));
            judge.warn(
                event,
                format!("{whose} knows no such event; it is left out"),
            );
        }
        for (index, matcher) in matchers.iter().enumerate() {
            judge.matcher(event, &format!("{event}[{index}]"), matcher);
        }
    }
    (judge.findings, judge.programs)
}

#[derive(Default)]
struct Judge {
    findings: Vec<HookFinding>,
    programs: Vec<(String, String)>,
    /// What was spent on matchers.
    effort: usize,
}

impl Judge {
    fn say(&mut self, severity: HookSeverity, place: &str, detail: String) {
        if self.findings.len() >= MAX_FINDINGS {
            return;
        }
        self.findings.push(HookFinding {
            severity,
            place: place.to_owned(),
            detail,
        });
    }

    fn wrong(&mut self, place: &str, detail: impl Into<String>) {
        self.say(HookSeverity::Error, place, detail.into());
    }

    fn warn(&mut self, place: &str, detail: impl Into<String>) {
        self.say(HookSeverity::Warning, place, detail.into());
    }

    fn matcher(&mut self, event: &str, place: &str, matcher: &Value) {
        let Value::Object(matcher) = matcher else {
            return self.wrong(place, "it is no object");
        };
        match matcher.get("matcher") {
            None => {}
            Some(Value::String(text)) if text.is_empty() || text == "*" => {}
            Some(Value::String(text)) if text.len() > MAX_MATCHER => {
                self.wrong(place, "its matcher is too long");
            }
            Some(Value::String(text)) => {
                self.effort = self.effort.saturating_add(text.len() * text.len());
                if self.effort > MAX_EFFORT {
                    self.warn(
                        place,
                        "its matcher is not looked at: there is too much of them",
                    );
                } else if let Err(error) = Regex::new(text) {
                    self.wrong(
                        place,
                        format!("its matcher is no regular expression: {error}"),
                    );
                }
            }
            Some(_) => self.wrong(place, "its matcher is no text"),
        }
        match matcher.get("hooks") {
            Some(Value::Array(hooks)) if !hooks.is_empty() => {
                for (index, hook) in hooks.iter().enumerate() {
                    self.hook(event, &format!("{place}.hooks[{index}]"), hook);
                }
            }
            Some(Value::Array(_)) => self.warn(place, "it runs nothing"),
            _ => self.wrong(place, "it has no list `hooks`"),
        }
    }

    fn hook(&mut self, event: &str, place: &str, hook: &Value) {
        let Value::Object(hook) = hook else {
            return self.wrong(place, "it is no object");
        };
        let text = |name: &str| {
            let text = hook.get(name).and_then(Value::as_str);
            text.filter(|text| !text.trim().is_empty())
        };
        match text("type") {
            Some("command") => match text("command") {
                None => self.wrong(place, "it has no `command`"),
                Some(command) => {
                    let is_exec = hook.contains_key("args");
                    if let Some(program) = program(command, is_exec) {
                        self.programs.push((place.to_owned(), program));
                    }
                }
            },
            Some("http") => {
                let is_url = text("url")
                    .is_some_and(|url| url.starts_with("http://") || url.starts_with("https://"));
                if !is_url {
                    self.wrong(place, "its `url` is no address of http or https");
                }
                if NOT_HTTP.contains(&event) {
                    self.warn(place, format!("Claude Code tells no http hook of {event}"));
                }
            }
            Some(kind) if TYPES.contains(&kind) => {}
            Some(kind) => self.warn(place, format!("Claude Code has no hooks of type `{kind}`")),
            None => self.wrong(place, "it has no `type`"),
        }
        let is_time = |time: &Value| time.as_f64().is_some_and(|seconds| seconds > 0.0);
        if hook.get("timeout").is_some_and(|time| !is_time(time)) {
            self.wrong(place, "its `timeout` is no number of seconds above zero");
        }
    }
}

/// The program that a command begins with, if that can be told: what a shell would first have to
/// make something of is not.
fn program(command: &str, is_exec: bool) -> Option<String> {
    if is_exec {
        return Some(command.to_owned());
    }
    let first = command.split_whitespace().next()?;
    let is_plain = first
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte));
    let is_word = [
        "if", "for", "while", "case", "cd", "export", "set", "exec", "exit", "eval",
    ]
    .contains(&first);
    (is_plain && !is_word && !is_builtin(first)).then(|| first.to_owned())
}

/// What a shell does itself.
fn is_builtin(name: &str) -> bool {
    [
        ".", ":", "alias", "break", "command", "continue", "read", "return", "shift", "source",
        "times", "trap", "type", "ulimit", "umask", "unset", "until", "wait", "local",
    ]
    .contains(&name)
}

/// All that a session runs of these levels, in their order.
#[must_use]
pub fn effective(levels: &[(&str, &HookMap)], version: Option<&str>) -> Vec<EffectiveHook> {
    let known = events(version);
    let mut found = Vec::new();
    for event in &known {
        for (level, hooks) in levels {
            for matcher in hooks.get(*event).into_iter().flatten() {
                let list = matcher.get("hooks").and_then(Value::as_array);
                for hook in list.into_iter().flatten() {
                    found.push(EffectiveHook {
                        level: (*level).to_owned(),
                        event: (*event).to_owned(),
                        matcher: matcher
                            .get("matcher")
                            .and_then(Value::as_str)
                            .map(str::to_owned),
                        hook: hook.clone(),
                    });
                }
            }
        }
    }
    found
}

/// What a hook is told of an event that is tried, where the caller says nothing else.
#[must_use]
pub fn sample(event: &str) -> Map<String, Value> {
    let call = json!({"command": "echo hello", "description": "says hello"});
    let own = match event {
        "PreToolUse" | "PermissionRequest" => {
            json!({"tool_name": "Bash", "tool_input": call, "tool_use_id": "toolu_sample"})
        }
        "PostToolUse" => json!({
            "tool_name": "Bash", "tool_input": call, "tool_use_id": "toolu_sample",
            "tool_response": {"stdout": "hello\n", "stderr": "", "interrupted": false},
            "duration_ms": 12,
        }),
        "UserPromptSubmit" => json!({"prompt": "hello"}),
        "SessionStart" => json!({"source": "startup"}),
        "SessionEnd" => json!({"reason": "other"}),
        "Notification" => json!({"message": "hello", "notification_type": "idle_prompt"}),
        "Stop" => json!({"stop_hook_active": false, "last_assistant_message": "hello"}),
        "PreCompact" => json!({"trigger": "manual", "custom_instructions": ""}),
        _ => json!({}),
    };
    let mut input = match own {
        Value::Object(own) => own,
        _ => Map::new(),
    };
    let common = [
        ("session_id", "00000000-0000-4000-8000-000000000000"),
        ("transcript_path", "/nonexistent"),
        ("cwd", "/workspace"),
        ("permission_mode", "default"),
    ];
    for (name, value) in common {
        input.insert(name.to_owned(), value.into());
    }
    input
}

/// The fault of a reply that is none of how a hook went.
///
/// # Errors
/// Always, if it is another.
pub fn tried(reply: FilesReply) -> Result<cib_protocol::api::TriedHook, Fault> {
    match reply {
        FilesReply::Tried(tried) => Ok(tried),
        _ => Err(unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(value: Value) -> HookMap {
        serde_json::from_value(value).unwrap()
    }

    fn found(value: Value) -> Vec<(HookSeverity, String, String)> {
        let (findings, _) = look(&hooks(value), Some("2.1.112"));
        findings
            .into_iter()
            .map(|one| (one.severity, one.place, one.detail))
            .collect()
    }

    #[test]
    fn no_more_is_spent_on_matchers_than_people_write() {
        let long = "a|".repeat(1500);
        let one = json!({"matcher": long, "hooks": [{"type": "command", "command": "true"}]});
        let many = vec![one; 300];
        let (findings, _) = look(&hooks(json!({"Stop": many})), Some("2.1.112"));
        assert_eq!(findings.len(), MAX_FINDINGS);
        assert!(findings[0].detail.contains("not looked at"), "{findings:?}");
    }

    #[test]
    fn what_claude_would_not_run_is_found() {
        let command = json!([{"type": "command", "command": "true"}]);
        for (wrong, place, severity) in [
            (json!({"Stop": [5]}), "Stop[0]", HookSeverity::Error),
            (json!({"Stop": [{}]}), "Stop[0]", HookSeverity::Error),
            (
                json!({"Stop": [{"hooks": []}]}),
                "Stop[0]",
                HookSeverity::Warning,
            ),
            (
                json!({"FromTheFuture": []}),
                "FromTheFuture",
                HookSeverity::Warning,
            ),
            (
                json!({"MessageDisplay": []}),
                "MessageDisplay",
                HookSeverity::Warning,
            ),
            (
                json!({"Stop": [{"matcher": "(", "hooks": command}]}),
                "Stop[0]",
                HookSeverity::Error,
            ),
            (
                json!({"Stop": [{"matcher": 5, "hooks": command}]}),
                "Stop[0]",
                HookSeverity::Error,
            ),
            (
                json!({"Stop": [{"hooks": [{"type": "command"}]}]}),
                "Stop[0].hooks[0]",
                HookSeverity::Error,
            ),
            (
                json!({"Stop": [{"hooks": [{"command": "x"}]}]}),
                "Stop[0].hooks[0]",
                HookSeverity::Error,
            ),
            (
                json!({"Stop": [{"hooks": [{"type": "shell"}]}]}),
                "Stop[0].hooks[0]",
                HookSeverity::Warning,
            ),
            (
                json!({"Stop": [{"hooks": [{"type": "http", "url": "ftp://x"}]}]}),
                "Stop[0].hooks[0]",
                HookSeverity::Error,
            ),
            (
                json!({"Setup": [{"hooks": [{"type": "http", "url": "http://x"}]}]}),
                "Setup[0].hooks[0]",
                HookSeverity::Warning,
            ),
            (
                json!({"Stop": [{"hooks": [{"type": "command", "command": "x", "timeout": -1}]}]}),
                "Stop[0].hooks[0]",
                HookSeverity::Error,
            ),
        ] {
            let found = found(wrong.clone());
            assert_eq!(found.len(), 1, "{wrong}: {found:?}");
            assert_eq!((found[0].0, &*found[0].1), (severity, place), "{wrong}");
        }
    }

    #[test]
    fn a_matcher_is_a_regular_expression_of_javascript() {
        for good in ["Bash|Edit", "mcp__.*", "^(?!Read).*$", "*", ""] {
            let value = json!({"PreToolUse": [{
                "matcher": good, "hooks": [{"type": "command", "command": "true"}],
            }]});
            assert_eq!(found(value), [], "{good}");
        }
    }

    #[test]
    fn programs_are_told_from_what_only_a_shell_understands() {
        assert_eq!(
            program("/opt/x/check --all", false).as_deref(),
            Some("/opt/x/check")
        );
        assert_eq!(program("jq -r .x | sh", false).as_deref(), Some("jq"));
        assert_eq!(program("a b", true).as_deref(), Some("a b"));
        for shell in [
            "X=1 y",
            "$HOME/x",
            "if true; then x; fi",
            "'a b'",
            "cd x && y",
            "",
        ] {
            assert_eq!(program(shell, false), None, "{shell}");
        }
    }

    #[test]
    fn levels_run_in_their_order_and_what_cannot_be_used_is_told() {
        let one = |name: &str| json!([{"hooks": [{"type": "command", "command": name}]}]);
        let image = hooks(json!({"Stop": one("image")}));
        let user = level(
            &json!({"hooks": {"Stop": one("user"), "Setup": 5}}).to_string(),
            None,
        );
        assert_eq!(user.findings[0].place, "Setup");
        let all = effective(&[("image", &image), ("user", &user.hooks)], None);
        let told: Vec<_> = all
            .iter()
            .map(|one| (&*one.level, one.hook["command"].as_str()))
            .collect();
        assert_eq!(told, [("image", Some("image")), ("user", Some("user"))]);
        assert_eq!(level("[", None).findings.len(), 1);
        assert_eq!(level("[]", None).findings.len(), 1);
        assert_eq!(level("{\"hooks\": 1}", None).findings.len(), 1);
        assert_eq!(level("{\"Stop\": []}", None).hooks.len(), 1);
    }
}
