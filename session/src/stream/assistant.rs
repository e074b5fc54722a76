//! What is said: streamed events, assistant lines, user lines with tool results.

use cib_protocol::frame::{Data, Role, Text, ToolUseResult, ToolUseStart};
use serde_json::value::RawValue;

use super::blocks::Kind;
use super::wire::{Block, Event, Message, Said};
use super::{Heard, Out, Stream, value};
use crate::json::strings_len;

/// What the CLI says in the user's name when a turn is interrupted; the stop frame says it.
const INTERRUPTED: &str = "[Request interrupted by user";

impl Stream {
    pub(super) fn stream_event(&mut self, message: &Message<'_>, out: &mut Out) -> Option<()> {
        let event: Event<'_> = serde_json::from_str(message.event?.get()).ok()?;
        let parent = message.parent_tool_use_id.as_deref();
        match &*event.kind {
            "message_start" => self.blocks.begin(parent, event.message?.id),
            "content_block_delta" => {
                let delta = event.delta?;
                let (kind, text) = match &*delta.kind {
                    "text_delta" => (Kind::Text, delta.text),
                    "thinking_delta" => (Kind::Thinking, delta.thinking),
                    // The whole input and the signature come with the assistant line.
                    "input_json_delta" | "signature_delta" => return Some(()),
                    _ => return None,
                };
                let message_id = self.blocks.streamed(parent, event.index, kind, text.len());
                self.say(kind, text, message_id, message, out);
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
        let message = &heard.message;
        let said: Said<'_> = serde_json::from_str(message.message?.get()).ok()?;
        let parts: Vec<&RawValue> = serde_json::from_str(said.content.get()).ok()?;
        for part in parts {
            let Ok(block) = serde_json::from_str::<Block<'_>>(part.get()) else {
                out.frames.push(Data::Raw(value(Some(part))));
                continue;
            };
            match &*block.kind {
                "text" => self.whole(Kind::Text, &block.text, &said, message, out),
                "thinking" => self.whole(Kind::Thinking, &block.thinking, &said, message, out),
                "tool_use" | "server_tool_use" => {
                    self.call(heard, &block, out);
                }
                // The tools that the API runs itself answer in the assistant's message.
                kind if kind.ends_with("_tool_result") => {
                    self.returned(heard, &block, out);
                }
                _ => out.frames.push(Data::Raw(value(Some(part)))),
            }
        }
        Some(())
    }

    pub(super) fn user_line(&mut self, heard: &Heard<'_>, out: &mut Out) -> Option<()> {
        let message = &heard.message;
        let said: Said<'_> = serde_json::from_str(message.message?.get()).ok()?;
        if let Ok(text) = serde_json::from_str::<String>(said.content.get()) {
            return self.user_text(&text, message, out);
        }
        let blocks: Vec<Block<'_>> = serde_json::from_str(said.content.get()).ok()?;
        for block in &blocks {
            match &*block.kind {
                "tool_result" => self.returned(heard, block, out),
                "text" => self.user_text(&block.text, message, out)?,
                _ => return None,
            }
        }
        Some(())
    }

    /// Text that a line gives to the user. The user's own input has its frame since it was
    /// accepted, so what remains are echoes, outputs of slash commands, and the prompts of
    /// subagents. What the CLI made up itself stays raw.
    fn user_text(&mut self, text: &str, message: &Message<'_>, out: &mut Out) -> Option<()> {
        if text.starts_with(INTERRUPTED) {
            return Some(());
        }
        if let Some(agent) = self.agent(message) {
            out.frames.push(Data::Text(Text {
                text: text.to_owned(),
                role: Role::User,
                message_id: None,
                agent: Some(agent),
            }));
            return Some(());
        }
        if let Some(output) = between(text, "<local-command-stdout>", "</local-command-stdout>") {
            if !output.trim().is_empty() {
                self.note(output.trim(), out);
            }
            return Some(());
        }
        if message.is_synthetic == Some(true) || message.is_replay != Some(true) {
            return None;
        }
        Some(())
    }

    /// A block that comes whole, of which a part may have streamed.
    fn whole(
        &mut self,
        kind: Kind,
        text: &str,
        said: &Said<'_>,
        message: &Message<'_>,
        out: &mut Out,
    ) {
        let parent = message.parent_tool_use_id.as_deref();
        let rest = self.blocks.rest(parent, said.id.as_deref(), kind, text);
        if !rest.is_empty() {
            self.say(kind, rest.to_owned(), said.id.clone(), message, out);
        }
    }

    fn say(
        &mut self,
        kind: Kind,
        text: String,
        message_id: Option<String>,
        message: &Message<'_>,
        out: &mut Out,
    ) {
        let text = Text {
            text,
            role: Role::Assistant,
            message_id,
            agent: self.agent(message),
        };
        out.frames.push(match kind {
            Kind::Text => Data::Text(text),
            Kind::Thinking => Data::Thinking(text),
        });
    }

    fn call(&mut self, heard: &Heard<'_>, block: &Block<'_>, out: &mut Out) {
        let text = block.input.map_or("{}", RawValue::get);
        let calls = &mut self.calls;
        if !calls.start(&block.id, &block.name, text, heard.now_ms) {
            return;
        }
        let input = value(block.input);
        let removed = heard.line.removed(text);
        out.frames.push(Data::ToolUseStart(ToolUseStart {
            tool_use_id: block.id.clone(),
            tool: block.name.clone(),
            original_bytes: (removed > 0).then(|| removed + strings_len(&input)),
            input,
            agent: self.agent(&heard.message),
        }));
    }

    fn returned(&mut self, heard: &Heard<'_>, block: &Block<'_>, out: &mut Out) {
        let is_error = block.is_error.unwrap_or(false);
        let told = heard.message.tool_use_result.map(RawValue::get);
        let calls = &mut self.calls;
        let mut closed = calls.finish(&block.tool_use_id, is_error, told, heard.now_ms);
        self.blocks.end(Some(&block.tool_use_id));
        let todos = closed.take_todos();
        if !closed.is_hidden() {
            let output = value(block.content);
            let text = block.content.map_or("", RawValue::get);
            let removed = heard.line.removed(text);
            out.frames.push(Data::ToolUseResult(ToolUseResult {
                tool_use_id: block.tool_use_id.clone(),
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
