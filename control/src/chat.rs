//! A session as a conversation: frames folded into messages.

use std::collections::HashMap;

use cib_protocol::api::{ChatMessage, ChatRole};
use cib_protocol::frame::{Data, Frame, Role, Text, ToolUseResult, ToolUseStart};

/// Bytes of a message beside its text.
const MESSAGE: usize = 100;

/// Folds frames into messages, in the order of their seqs.
#[derive(Debug, Default)]
pub struct Chat {
    messages: Vec<ChatMessage>,
    /// Bytes of what was said, and of what it takes to say it.
    size: usize,
    /// API message of the text that is still growing, which is the last of `messages`.
    growing: Option<(Role, Option<String>)>,
    /// Places of the tools that have not answered.
    running: HashMap<String, usize>,
}

impl Chat {
    /// Takes up one frame. What a subagent says stays between it and Claude.
    pub fn take(&mut self, frame: &Frame, data: &Data) {
        match data {
            Data::Text(text) if text.agent.is_none() => self.text(frame.seq, text),
            Data::ToolUseStart(start) if start.agent.is_none() => self.start(frame.seq, start),
            Data::ToolUseResult(result) if result.agent.is_none() => {
                self.result(frame.seq, result);
            }
            Data::Stop(_) => self.growing = None,
            _ => {}
        }
    }

    /// Bytes that the messages come to, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// What was said.
    #[must_use]
    pub fn into_messages(self) -> Vec<ChatMessage> {
        self.messages
    }

    fn text(&mut self, seq: u64, text: &Text) {
        self.size += text.text.len();
        let speaker = (text.role, text.message_id.clone());
        if text.role == Role::Assistant
            && self.growing.as_ref() == Some(&speaker)
            && let Some(said) = self.messages.last_mut().and_then(|last| last.text.as_mut())
        {
            said.push_str(&text.text);
            return;
        }
        self.growing = Some(speaker);
        self.size += MESSAGE;
        self.messages.push(ChatMessage {
            seq,
            role: match text.role {
                Role::Assistant => ChatRole::Assistant,
                Role::User => ChatRole::User,
            },
            text: Some(text.text.clone()),
            tool: None,
            summary: None,
        });
    }

    fn start(&mut self, seq: u64, start: &ToolUseStart) {
        self.running
            .insert(start.tool_use_id.clone(), self.messages.len());
        self.tool(seq, start.tool.clone(), "running".to_owned());
    }

    fn result(&mut self, seq: u64, result: &ToolUseResult) {
        let word = if result.is_error { "error" } else { "ok" };
        let summary = match result.duration_ms {
            Some(millis) => format!("{word} · {millis}ms"),
            None => word.to_owned(),
        };
        let started = self.running.remove(&result.tool_use_id);
        match started.and_then(|place| self.messages.get_mut(place)) {
            Some(message) => message.summary = Some(summary),
            // It was started before the first frame that was asked for.
            None => {
                let tool = result.tool.clone().unwrap_or_else(|| "tool".to_owned());
                self.tool(seq, tool, summary);
            }
        }
    }

    fn tool(&mut self, seq: u64, tool: String, summary: String) {
        self.growing = None;
        self.size += MESSAGE + tool.len();
        self.messages.push(ChatMessage {
            seq,
            role: ChatRole::Tool,
            text: None,
            tool: Some(tool),
            summary: Some(summary),
        });
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::time::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn fold(frames: &[(&str, Value)]) -> Value {
        let mut chat = Chat::default();
        for (i, (kind, data)) in frames.iter().enumerate() {
            let data: Data = serde_json::from_value(json!({"kind": kind, "data": data})).unwrap();
            let id = cib_protocol::session::Uuid::nil();
            let seq = i as u64 + 1;
            let frame = Frame::new(id, seq, Timestamp::from_millis(0), &data).unwrap();
            chat.take(&frame, &data);
        }
        serde_json::to_value(chat.into_messages()).unwrap()
    }

    #[test]
    fn pieces_of_one_message_become_one_and_tools_stand_between() {
        let messages = fold(&[
            ("text.delta", json!({"text": "list", "role": "user"})),
            ("text.delta", json!({"text": "I ", "message_id": "m1"})),
            ("thinking", json!({"text": "hm"})),
            ("text.delta", json!({"text": "look", "message_id": "m1"})),
            (
                "tool.use.start",
                json!({"tool_use_id": "t1", "tool": "Bash", "input": {}}),
            ),
            (
                "tool.use.start",
                json!({"tool_use_id": "t2", "tool": "Read", "input": {}}),
            ),
            (
                "tool.use.result",
                json!({"tool_use_id": "t1", "output": "", "is_error": false, "duration_ms": 17}),
            ),
            ("text.delta", json!({"text": "done", "message_id": "m1"})),
            ("text.delta", json!({"text": "next", "message_id": "m2"})),
        ]);
        assert_eq!(
            messages,
            json!([
                {"seq": 1, "role": "user", "text": "list"},
                {"seq": 2, "role": "assistant", "text": "I look"},
                {"seq": 5, "role": "tool", "tool": "Bash", "summary": "ok · 17ms"},
                {"seq": 6, "role": "tool", "tool": "Read", "summary": "running"},
                {"seq": 8, "role": "assistant", "text": "done"},
                {"seq": 9, "role": "assistant", "text": "next"},
            ])
        );
    }

    #[test]
    fn what_a_subagent_does_is_left_out() {
        let agent = json!({"parent_tool_use_id": "t1"});
        let messages = fold(&[
            ("text.delta", json!({"text": "psst", "agent": agent})),
            (
                "tool.use.start",
                json!({"tool_use_id": "t9", "tool": "Bash", "input": {}, "agent": agent}),
            ),
        ]);
        assert_eq!(messages, json!([]));
    }

    #[test]
    fn an_answer_to_a_call_that_was_not_seen_stands_for_itself() {
        let result = json!({"tool_use_id": "t", "tool": "Bash", "output": "", "is_error": true});
        let expected = json!([{"seq": 1, "role": "tool", "tool": "Bash", "summary": "error"}]);
        assert_eq!(fold(&[("tool.use.result", result)]), expected);
    }
}
