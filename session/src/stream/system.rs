//! `system` lines: facts, states, hooks, notices.

use cib_protocol::frame::{Agent, Data, Hook, Meta};
use cib_protocol::session::State;
use serde_json::{Value, json};

use super::wire::{HookResponse, System};
use super::{Heard, Out, Stream};

/// Subagents remembered, oldest forgotten first.
const MAX_AGENTS: usize = 256;

impl Stream {
    pub(super) fn system(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let now_ms = heard.now_ms;
        let subtype = heard.message.subtype.as_deref()?;
        if matches!(subtype, "thinking_tokens" | "hook_started") {
            // An estimate, and a beginning whose end comes as `hook_response`.
            return Some(());
        }
        if subtype == "hook_response" {
            out.frames.push(hook(heard.text)?);
            return Some(());
        }
        let system: System = serde_json::from_str(heard.text).ok()?;
        match subtype {
            "init" => {
                self.tell(
                    Meta {
                        model: system.model,
                        workdir: system.cwd,
                        permission_mode: system.permission_mode,
                        claude_session: system.session_id,
                        claude_version: system.claude_code_version,
                        tools: system.tools,
                        ..Meta::default()
                    },
                    out,
                );
                if !self.tells_state && self.questions.is_empty() {
                    self.set_state(State::Working, now_ms, out);
                }
            }
            "status" => {
                let permission_mode = system.permission_mode;
                self.tell(
                    Meta {
                        permission_mode,
                        ..Meta::default()
                    },
                    out,
                );
            }
            "session_state_changed" => self.state_changed(system.state.as_deref()?, now_ms, out)?,
            "api_retry" => {
                let cause = system.error.unwrap_or_default();
                let status = match system.error_status {
                    Some(Value::Number(status)) => format!(" ({status})"),
                    _ => String::new(),
                };
                let attempt = system.attempt.unwrap_or_default();
                let most = system.max_retries.unwrap_or_default();
                self.note(
                    format!("the API failed: {cause}{status}; retry {attempt} of {most}"),
                    out,
                );
            }
            "informational" => self.note(system.content?, out),
            "compact_boundary" => {
                let compacted = system.compact_metadata?;
                let trigger = compacted.trigger;
                let before = compacted.pre_tokens;
                let after = compacted
                    .post_tokens
                    .map_or_else(String::new, |after| format!(" to {after}"));
                self.note(
                    format!(
                        "the conversation was compacted ({trigger}) from {before}{after} tokens"
                    ),
                    out,
                );
            }
            "task_started" => {
                self.remember_agent(&system);
                return None;
            }
            _ => return None,
        }
        Some(())
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
    fn remember_agent(&mut self, system: &System) {
        let Some(parent) = &system.tool_use_id else {
            return;
        };
        if self.agents.len() == MAX_AGENTS {
            self.agents.remove(0);
        }
        self.agents.push(Agent {
            parent_tool_use_id: parent.clone(),
            agent_id: system.task_id.clone(),
            subagent_type: system.subagent_type.clone(),
        });
    }
}

/// What a hook answered. The CLI does not tell what the hook was told.
fn hook(text: &str) -> Option<Data> {
    let hook: HookResponse = serde_json::from_str(text).ok()?;
    Some(Data::Hook(Hook {
        name: hook.hook_name,
        event: hook.hook_event,
        payload: Value::Null,
        result: Some(json!({
            "outcome": hook.outcome,
            "exit_code": hook.exit_code,
            "stdout": hook.stdout,
            "stderr": hook.stderr,
        })),
    }))
}
