//! What is said: streamed events, assistant lines, user lines with tool results.

use cib_foreign::json::Object;
use cib_protocol::frame::{Data, Role, Text, ToolUseResult, ToolUseStart};

use super::blocks::Kind;
use super::{Heard, Out, Stream, value};
use crate::json::strings_len;

/// What the CLI says in the user's name when a turn is interrupted; the stop frame says it.
const INTERRUPTED: &str = "[Request interrupted by user";

impl Stream {
    pub(super) fn stream_event(&mut self, message: &Object<'_>, out: &mut Out) -> Option<()> {
        let event = message.object("event")?;
        let parent = message.text("parent_tool_use_id");
        let parent = parent.as_deref();
        match &*event.text("type")? {
            "message_start" => {
                let id = event.object("message").and_then(|said| said.string("id"));
                self.blocks.begin(parent, id);
            }
            "content_block_delta" => {
                let delta = event.object("delta")?;
                let (kind, text) = match &*delta.text("type")? {
                    "text_delta" => (Kind::Text, delta.text("text")?),
                    "thinking_delta" => (Kind::Thinking, delta.text("thinking")?),
                    // The whole input and the signature come with the assistant line.
                    "input_json_delta" | "signature_delta" => return Some(()),
                    _ => return None,
                };
                let index = event.count("index");
                let message_id = self.blocks.streamed(parent, index, kind, &text);
                self.say(kind, text.into_owned(), message_id, message, out);
            }
            "content_block_start"
            | "content_block_stop"
            | "message_delta"
            | "message_stop"
            | "ping" => {}
            _ => return None,
        }
        Some(())
    }

    pub(super) fn assistant(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let said = heard.message.object("message")?;
        for part in said.items("content")? {
            if self.block(heard, &said, part, out).is_none() {
                out.frames.push(Data::Raw(value(Some(part))));
            }
        }
        Some(())
    }

    /// A block of Claude's. `None` means that it is not known.
    fn block(
        &mut self,
        heard: &Heard<'_>,
        said: &Object<'_>,
        part: &str,
        out: &mut Out,
    ) -> Option<()> {
        let block = Object::read(part)?;
        match &*block.text("type")? {
            "text" => self.whole(Kind::Text, &block.text("text")?, said, heard, out),
            "thinking" => {
                let text = block.text("thinking").unwrap_or_default();
                self.whole(Kind::Thinking, &text, said, heard, out);
            }
            "tool_use" | "server_tool_use" => self.call(heard, &block, out),
            // The tools that the API runs itself answer in the assistant's message.
            kind if kind.ends_with("_tool_result") => self.returned(heard, &block, out),
            _ => return None,
        }
        Some(())
    }

    pub(super) fn user_line(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let message = &heard.message;
        if let Some(id) = message.text("uuid") {
            self.turns.begun(&id);
        }
        let said = message.object("message")?;
        if let Some(text) = said.text("content") {
            return self.user_text(&text, message, out);
        }
        let mut all_known = Some(());
        for part in said.items("content")? {
            let block = Object::read(part).unwrap_or_default();
            let known = match block.text("type").as_deref() {
                Some("tool_result") => {
                    self.returned(heard, &block, out);
                    Some(())
                }
                Some("text") => block
                    .text("text")
                    .and_then(|text| self.user_text(&text, message, out)),
                // Its kind is damaged, and still there is only one that has this.
                None if block.get("tool_use_id").is_some() => {
                    self.returned(heard, &block, out);
                    Some(())
                }
                _ => None,
            };
            all_known = all_known.and(known);
        }
        all_known
    }

    /// Text that a line gives to the user. The user's own input has its frame since it was
    /// accepted, so what remains are echoes, outputs of slash commands, and the prompts of
    /// subagents. What the CLI made up itself stays raw.
    fn user_text(&mut self, text: &str, message: &Object<'_>, out: &mut Out) -> Option<()> {
        if text.starts_with(INTERRUPTED) {
            return Some(());
        }
        if let Some(agent) = self.agent(message) {
            out.frames.push(Data::Text(Text {
                text: text.to_owned(),
                role: Role::User,
                agent: Some(agent),
                ..Text::default()
            }));
            return Some(());
        }
        if let Some(output) = between(text, "<local-command-stdout>", "</local-command-stdout>") {
            if !output.trim().is_empty() {
                self.note(output.trim(), out);
            }
            return Some(());
        }
        let is_synthetic = message.flag("isSynthetic") == Some(true);
        let is_replay = message.flag("isReplay") == Some(true);
        (is_replay && !is_synthetic).then_some(())
    }

    /// A block that comes whole, of which a part may have streamed.
    fn whole(
        &mut self,
        kind: Kind,
        text: &str,
        said: &Object<'_>,
        heard: &Heard<'_>,
        out: &mut Out,
    ) {
        let parent = heard.message.text("parent_tool_use_id");
        let id = said.string("id");
        let rest = self
            .blocks
            .rest(parent.as_deref(), id.as_deref(), kind, text);
        if !rest.is_empty() {
            self.say(kind, rest.to_owned(), id, &heard.message, out);
        }
    }

    fn say(
        &mut self,
        kind: Kind,
        text: String,
        message_id: Option<String>,
        message: &Object<'_>,
        out: &mut Out,
    ) {
        let text = Text {
            text,
            role: Role::Assistant,
            message_id,
            agent: self.agent(message),
            ..Text::default()
        };
        out.frames.push(match kind {
            Kind::Text => Data::Text(text),
            Kind::Thinking => Data::Thinking(text),
        });
    }

    fn call(&mut self, heard: &Heard<'_>, block: &Object<'_>, out: &mut Out) {
        let input = block.get("input");
        let text = input.unwrap_or("{}");
        let id = block.string("id").unwrap_or_default();
        let tool = block.string("name").unwrap_or_default();
        if !self.calls.start(&id, &tool, text, heard.now_ms) {
            return;
        }
        let input = value(input);
        let removed = heard.removed(text);
        out.frames.push(Data::ToolUseStart(ToolUseStart {
            tool_use_id: id,
            tool,
            original_bytes: (removed > 0).then(|| removed + strings_len(&input)),
            input,
            agent: self.agent(&heard.message),
        }));
    }

    fn returned(&mut self, heard: &Heard<'_>, block: &Object<'_>, out: &mut Out) {
        let is_error = block.flag("is_error").unwrap_or(false);
        let told = heard.message.get("tool_use_result");
        let id = block.string("tool_use_id").unwrap_or_default();
        let calls = &mut self.calls;
        let mut closed = calls.finish(&id, is_error, told, heard.now_ms);
        self.blocks.end(Some(&id));
        let todos = closed.take_todos();
        if !closed.is_hidden() {
            let content = block.get("content");
            let output = value(content);
            let removed = content.map_or(0, |content| heard.removed(content));
            out.frames.push(Data::ToolUseResult(ToolUseResult {
                tool_use_id: id,
                tool: closed.tool,
                original_bytes: (removed > 0).then(|| removed + strings_len(&output)),
                output,
                is_error,
                duration_ms: closed.duration_ms,
                agent: self.agent(&heard.message),
            }));
        }
        out.frames.extend(todos);
    }
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inside, _)| inside)
}
