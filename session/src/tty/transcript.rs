//! What the transcript tells: the CLI's own record of the conversation, a line a block.

use std::borrow::Cow;

use cib_protocol::frame::{Data, Meta, Text, ToolUseResult, ToolUseStart};
use cib_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Out, Tty};
use crate::json::strings_len;
use crate::stream::lines::Line;
use crate::stream::wire::{Block, Tokens};

/// What the CLI says in the user's name when a turn is interrupted.
const INTERRUPTED: &str = "[Request interrupted by user";

/// The model that the CLI names for what it says itself.
const SYNTHETIC: &str = "<synthetic>";

/// A line, as far as frames are made from it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    subtype: Option<String>,
    #[serde(default, borrow)]
    message: Option<Said<'a>>,
    #[serde(default)]
    timestamp: Option<Timestamp>,
    #[serde(default)]
    is_sidechain: bool,
    #[serde(default)]
    is_meta: bool,
    #[serde(default, borrow)]
    tool_use_result: Option<&'a RawValue>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default, rename = "totalCostUSD")]
    total_cost: Option<f64>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(default)]
    usage: Option<Tokens>,
}

impl Tty {
    /// Takes a line of the transcript.
    pub fn transcript(&mut self, line: &Line<'_>, now_ms: u64, out: &mut Out) {
        let Ok(entry) = crate::json::from_bytes::<Entry<'_>>(line.bytes) else {
            return;
        };
        // A conversation that is resumed, or copied into a new file, brings its history.
        let is_history = entry.timestamp.is_some_and(|at| at < self.started);
        if is_history || entry.is_sidechain {
            return;
        }
        self.ledger.tell(
            Meta {
                claude_version: entry.version.clone(),
                ..Meta::default()
            },
            &mut out.frames,
        );
        match &*entry.kind {
            "assistant" => self.assistant(line, &entry, now_ms, out),
            "user" => self.user(line, &entry, now_ms, out),
            "system" => self.system(&entry, now_ms, out),
            "cost-state" => {
                if let Some(total) = entry.total_cost {
                    self.turn.costs(total);
                }
            }
            // Settings, snapshots and requests: nothing of them is a frame.
            _ => {}
        }
    }

    fn assistant(&mut self, line: &Line<'_>, entry: &Entry<'_>, now_ms: u64, out: &mut Out) {
        let Some(said) = &entry.message else {
            return;
        };
        let id = said.id.clone().unwrap_or_default();
        if let Some(tokens) = said.usage {
            self.turn.used(&id, tokens.into());
        }
        let is_synthetic = said.model.as_deref() == Some(SYNTHETIC);
        if !is_synthetic {
            let model = said.model.clone();
            let news = Meta {
                model,
                ..Meta::default()
            };
            self.ledger.tell(news, &mut out.frames);
        }
        let blocks: Vec<Block<'_>> = serde_json::from_str(said.content.get()).unwrap_or_default();
        for block in &blocks {
            match &*block.kind {
                "text" if self.abilities.displays() => {
                    out.frames.extend(self.shown.completed(&block.text));
                }
                "text" => out.frames.push(Data::Text(text(&block.text, &id))),
                "thinking" if !block.thinking.is_empty() => {
                    out.frames.push(Data::Thinking(text(&block.thinking, &id)));
                }
                "tool_use" => self.call(line, block, now_ms, out),
                _ => {}
            }
        }
    }

    /// A call that no hook has told, because its input was refused for instance.
    fn call(&mut self, line: &Line<'_>, block: &Block<'_>, now_ms: u64, out: &mut Out) {
        let input = block.input.map_or("{}", RawValue::get);
        if !self.calls.start(&block.id, &block.name, input, now_ms) {
            return;
        }
        let value: Value = serde_json::from_str(input).unwrap_or_default();
        let removed = line.removed(input);
        out.frames.push(Data::ToolUseStart(ToolUseStart {
            tool_use_id: block.id.clone(),
            tool: block.name.clone(),
            original_bytes: (removed > 0).then(|| removed + strings_len(&value)),
            input: value,
            agent: None,
        }));
    }

    fn user(&mut self, line: &Line<'_>, entry: &Entry<'_>, now_ms: u64, out: &mut Out) {
        let Some(said) = &entry.message else {
            return;
        };
        if let Ok(text) = serde_json::from_str::<String>(said.content.get()) {
            self.output_of_command(&text, now_ms, out);
            return;
        }
        let blocks: Vec<Block<'_>> = serde_json::from_str(said.content.get()).unwrap_or_default();
        for block in &blocks {
            match &*block.kind {
                "tool_result" => self.result(line, entry, block, now_ms, out),
                "text" if block.text.starts_with(INTERRUPTED) => {
                    self.turn.ends("interrupted", None, now_ms);
                    self.turn.is_complete(now_ms);
                    self.end_turn(now_ms, out);
                }
                _ => {}
            }
        }
    }

    fn result(
        &mut self,
        line: &Line<'_>,
        entry: &Entry<'_>,
        block: &Block<'_>,
        now_ms: u64,
        out: &mut Out,
    ) {
        if self.abilities.batches() && !self.calls.is_open(&block.tool_use_id) {
            // A hook has told it, and sooner.
            return;
        }
        let is_error = block.is_error.unwrap_or(false);
        let told = entry.tool_use_result.map(RawValue::get);
        let calls = &mut self.calls;
        let mut closed = calls.finish(&block.tool_use_id, is_error, told, now_ms);
        let todos = closed.take_todos();
        if !closed.is_hidden() {
            let text = block.content.map_or("null", RawValue::get);
            let output: Value = serde_json::from_str(text).unwrap_or_default();
            let removed = line.removed(text);
            out.frames.push(Data::ToolUseResult(ToolUseResult {
                tool_use_id: block.tool_use_id.clone(),
                tool: closed.tool,
                original_bytes: (removed > 0).then(|| removed + strings_len(&output)),
                output,
                is_error,
                duration_ms: closed.duration_ms,
                agent: None,
            }));
        }
        out.frames.extend(todos);
    }

    fn system(&mut self, entry: &Entry<'_>, now_ms: u64, out: &mut Out) {
        match entry.subtype.as_deref() {
            Some("turn_duration") => {
                self.turn.is_complete(now_ms);
                self.end_turn(now_ms, out);
            }
            Some("local_command") if !entry.is_meta => {
                let content = entry.content.as_deref().unwrap_or_default();
                self.output_of_command(content, now_ms, out);
            }
            _ => {}
        }
    }

    /// The output of a command of the interface is worth a note, and its effect.
    fn output_of_command(&mut self, text: &str, now_ms: u64, out: &mut Out) {
        for (start, end) in [
            ("<local-command-stdout>", "</local-command-stdout>"),
            ("<local-command-stderr>", "</local-command-stderr>"),
        ] {
            let inside = text
                .split_once(start)
                .and_then(|(_, rest)| rest.split_once(end));
            let Some((output, _)) = inside else {
                continue;
            };
            self.typing.settled(now_ms);
            if !output.trim().is_empty() {
                self.ledger.note(output.trim(), &mut out.frames);
            }
        }
    }
}

fn text(text: &str, message: &str) -> Text {
    Text {
        text: text.to_owned(),
        message_id: Some(message.to_owned()),
        ..Text::default()
    }
}
