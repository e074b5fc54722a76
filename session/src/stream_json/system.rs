//! `system` lines: facts, states, hooks, notices.

use cib_foreign::json::{self, Object};
use cib_protocol::frame::{Agent, Data, Hook, Meta, UsageLimit};
use cib_protocol::session::State;
use cib_protocol::time::Timestamp;
use serde_json::{Value, json};

use super::{Heard, Out, Stream};

/// Subagents remembered, oldest forgotten first.
const MAX_AGENTS: usize = 256;

/// A number of seconds since 1970 is smaller, one of milliseconds is not.
const SECONDS_END: u64 = 100_000_000_000;

/// Hooks that run and are remembered.
const MAX_HOOKS: usize = 64;

impl Stream {
    pub(super) fn system(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let now_ms = heard.now_ms;
        let system = &heard.message;
        match &*system.text("subtype")? {
            // An estimate.
            "thinking_tokens" => {}
            // A beginning whose end comes as `hook_response`.
            "hook_started" => {
                if let Some(id) = system.string("hook_id")
                    && self.hooks.len() < MAX_HOOKS
                {
                    let name = system.string("hook_name").unwrap_or_default();
                    self.hooks.push((id, name));
                }
            }
            "hook_response" => {
                let id = system.text("hook_id");
                self.hooks
                    .retain(|(known, _)| Some(&**known) != id.as_deref());
                out.frames.push(hook(system));
            }
            "init" => self.begins(system, now_ms, out),
            "status" => {
                let permission_mode = system.string("permissionMode");
                self.tell(
                    Meta {
                        permission_mode,
                        ..Meta::default()
                    },
                    out,
                );
            }
            "session_state_changed" => self.state_changed(&system.text("state")?, now_ms, out)?,
            "api_retry" => {
                let cause = system.text("error").unwrap_or_default();
                let status = match system.count("error_status") {
                    Some(status) => format!(" ({status})"),
                    None => String::new(),
                };
                let attempt = system.count("attempt").unwrap_or_default();
                let most = system.count("max_retries").unwrap_or_default();
                self.note(
                    format!("the API failed: {cause}{status}; retry {attempt} of {most}"),
                    out,
                );
            }
            "informational" => self.note(system.text("content")?, out),
            "compact_boundary" => {
                let compacted = system.object("compact_metadata").unwrap_or_default();
                let trigger = compacted.text("trigger").unwrap_or_default();
                let before = compacted.count("pre_tokens").unwrap_or_default();
                let after = compacted
                    .count("post_tokens")
                    .map_or_else(String::new, |after| format!(" to {after}"));
                self.note(
                    format!(
                        "the conversation was compacted ({trigger}) from {before}{after} tokens"
                    ),
                    out,
                );
            }
            "task_started" => {
                self.remember_agent(system);
                return None;
            }
            "task_notification" => {
                self.turns.notified();
                return None;
            }
            _ => return None,
        }
        Some(())
    }

    /// How the account's usage limit is. One that is not reached, or beyond which the account pays,
    /// is in nobody's way.
    pub(super) fn limited(&mut self, message: &Object<'_>, out: &mut Out) {
        let info = message.object("rate_limit_info").unwrap_or_default();
        let is_reached = info.text("status").as_deref() == Some("rejected")
            && !info.flag("isUsingOverage").unwrap_or(false);
        if !is_reached {
            return;
        }
        // Seconds, where a client might as well have said milliseconds.
        let resets_at = info.count("resetsAt").map(|at| match at {
            at if at < SECONDS_END => at.saturating_mul(1000),
            at => at,
        });
        let resets_at = resets_at.and_then(|at| i64::try_from(at).ok());
        let news = Meta {
            note: Some("a usage limit of Claude's is reached".to_owned()),
            usage_limit: Some(UsageLimit {
                kind: info.string("rateLimitType"),
                resets_at: resets_at.map(Timestamp::from_millis),
            }),
            ..Meta::default()
        };
        self.tell(news, out);
    }

    /// A turn begins; the line tells what the session is.
    fn begins(&mut self, system: &Object<'_>, now_ms: u64, out: &mut Out) {
        self.ask_servers_at = None;
        let tools = system.items("tools");
        let tools = tools.map(|tools| {
            let names = tools.into_iter().filter_map(json::string);
            names.map(std::borrow::Cow::into_owned).collect()
        });
        self.tell(
            Meta {
                model: system.string("model"),
                workdir: system.string("cwd"),
                permission_mode: system.string("permissionMode"),
                claude_session: system.string("session_id"),
                claude_version: system.string("claude_code_version"),
                tools,
                ..Meta::default()
            },
            out,
        );
        for server in system.items("mcp_servers").unwrap_or_default() {
            self.server(&Object::read(server).unwrap_or_default(), out);
        }
        if !self.tells_state && self.questions.is_empty() {
            self.set_state(State::Working, now_ms, out);
        }
    }

    /// An MCP server without which a turn begins is worth a note, once.
    pub(super) fn server(&mut self, server: &Object<'_>, out: &mut Out) {
        let (Some(name), Some(status)) = (server.text("name"), server.text("status")) else {
            return;
        };
        if let Some(said) = self.servers.news(&name, &status) {
            self.note(said, out);
        }
    }

    fn state_changed(&mut self, state: &str, now_ms: u64, out: &mut Out) -> Option<()> {
        self.tells_state = true;
        match state {
            "idle" => self.set_state(State::Idle, now_ms, out),
            "running" if self.questions.is_empty() => {
                self.set_state(State::Working, now_ms, out);
            }
            // Our own list of open questions says whether the user is waited for: 2.1.112
            // tells it when a quick answer has already been given.
            "running" | "requires_action" => {}
            _ => return None,
        }
        Some(())
    }

    /// Notes which subagent a call started, for its lines that do not say so themselves.
    fn remember_agent(&mut self, system: &Object<'_>) {
        let Some(parent) = system.string("tool_use_id") else {
            return;
        };
        if self.agents.len() == MAX_AGENTS {
            self.agents.remove(0);
        }
        self.agents.push(Agent {
            parent_tool_use_id: parent,
            agent_id: system.string("task_id"),
            subagent_type: system.string("subagent_type"),
        });
    }
}

/// What a hook answered. The CLI does not tell what the hook was told.
fn hook(hook: &Object<'_>) -> Data {
    let code: Option<i64> = hook.get("exit_code").and_then(|code| code.parse().ok());
    Data::Hook(Hook {
        name: hook.string("hook_name").unwrap_or_default(),
        event: hook.string("hook_event").unwrap_or_default(),
        payload: Value::Null,
        result: Some(json!({
            "outcome": hook.text("outcome").unwrap_or_default(),
            "exit_code": code,
            "stdout": hook.text("stdout").unwrap_or_default(),
            "stderr": hook.text("stderr").unwrap_or_default(),
        })),
    })
}
