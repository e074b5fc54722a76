//! What the transcript tells: the CLI's own record of the conversation, a line a block.

use cib_foreign::json::{self, Object};
use cib_protocol::frame::{Data, Meta, Text, ToolUseResult, ToolUseStart};
use cib_protocol::time::Timestamp;
use serde::Deserialize;
use serde::de::value::StrDeserializer;

use super::{Out, Tty};
use crate::json::strings_len;
use crate::stream_json::lines::Line;
use crate::stream_json::outcome::tokens_of;

/// What the CLI says in the user's name when a turn is interrupted.
const INTERRUPTED: &str = "[Request interrupted by user";

/// The model that the CLI names for what it says itself.
const SYNTHETIC: &str = "<synthetic>";

/// A line of the transcript, of which each field is read for itself.
struct Entry<'a> {
    line: &'a Line<'a>,
    text: &'a str,
    object: Object<'a>,
}

impl Tty {
    /// Takes a line of the transcript.
    pub fn transcript(&mut self, line: &Line<'_>, now_ms: u64, out: &mut Out) {
        let text = line.text();
        let Some(object) = Object::read(&text) else {
            return;
        };
        let entry = Entry {
            line,
            text: &text,
            object,
        };
        let object = &entry.object;
        // A conversation that is resumed, or copied into a new file, brings its history.
        let at = object.text("timestamp").and_then(|at| moment(&at));
        let is_history = at.is_some_and(|at| at < self.started);
        if is_history || object.flag("isSidechain") == Some(true) {
            return;
        }
        self.ledger.tell(
            Meta {
                claude_version: object.string("version"),
                ..Meta::default()
            },
            &mut out.frames,
        );
        match object.text("type").as_deref() {
            Some("assistant") => self.assistant(&entry, now_ms, out),
            Some("user") => self.user(&entry, now_ms, out),
            Some("system") => self.system(object, now_ms, out),
            Some("cost-state") => {
                if let Some(total) = object.number("totalCostUSD") {
                    self.turn.costs(total);
                }
            }
            Some("attachment") => self.attached(object, out),
            // Settings, snapshots and requests: nothing of them is a frame.
            _ => {}
        }
    }

    /// What the CLI tells the model beside the user's words: also which MCP servers are missing.
    fn attached(&mut self, entry: &Object<'_>, out: &mut Out) {
        let attached = entry.object("attachment").unwrap_or_default();
        for (field, status) in [
            ("pendingMcpServers", "pending"),
            ("failedMcpServers", "failed"),
        ] {
            for name in attached.items(field).unwrap_or_default() {
                let news = json::string(name).and_then(|name| self.servers.news(&name, status));
                if let Some(said) = news {
                    self.ledger.note(said, &mut out.frames);
                }
            }
        }
    }

    fn assistant(&mut self, entry: &Entry<'_>, now_ms: u64, out: &mut Out) {
        let Some(said) = entry.object.object("message") else {
            return;
        };
        let id = said.string("id").unwrap_or_default();
        if let Some(tokens) = said.object("usage") {
            self.turn.used(&id, tokens_of(&tokens));
        }
        let model = said.string("model");
        if model.as_deref() != Some(SYNTHETIC) {
            let news = Meta {
                model,
                ..Meta::default()
            };
            self.ledger.tell(news, &mut out.frames);
        }
        for block in said.items("content").unwrap_or_default() {
            let block = Object::read(block).unwrap_or_default();
            match block.text("type").as_deref() {
                Some("text") => {
                    let words = block.text("text").unwrap_or_default();
                    if self.abilities.displays() {
                        out.frames.extend(self.shown.completed(&words));
                    } else {
                        out.frames.push(Data::Text(text(&words, &id)));
                    }
                }
                Some("thinking") => {
                    let words = block.text("thinking").unwrap_or_default();
                    if !words.is_empty() {
                        out.frames.push(Data::Thinking(text(&words, &id)));
                    }
                }
                Some("tool_use") => self.call(entry, &block, now_ms, out),
                _ => {}
            }
        }
    }

    /// A call that no hook has told, because its input was refused for instance.
    fn call(&mut self, entry: &Entry<'_>, block: &Object<'_>, now_ms: u64, out: &mut Out) {
        let input = block.get("input").unwrap_or("{}");
        let id = block.string("id").unwrap_or_default();
        let tool = block.string("name").unwrap_or_default();
        if !self.calls.start(&id, &tool, input, now_ms) {
            return;
        }
        let value = json::parse_or_text(input);
        let removed = entry.line.removed(entry.text, input);
        out.frames.push(Data::ToolUseStart(ToolUseStart {
            tool_use_id: id,
            tool,
            original_bytes: (removed > 0).then(|| removed + strings_len(&value)),
            input: value,
            agent: None,
        }));
    }

    fn user(&mut self, entry: &Entry<'_>, now_ms: u64, out: &mut Out) {
        let Some(said) = entry.object.object("message") else {
            return;
        };
        if let Some(text) = said.text("content") {
            self.output_of_command(&text, now_ms, out);
            return;
        }
        for block in said.items("content").unwrap_or_default() {
            let block = Object::read(block).unwrap_or_default();
            match block.text("type").as_deref() {
                Some("text") => {
                    let text = block.text("text").unwrap_or_default();
                    if text.starts_with(INTERRUPTED) {
                        self.turn.ends("interrupted", None, now_ms);
                        self.turn.is_complete(now_ms);
                        self.end_turn(now_ms, out);
                    }
                }
                Some("tool_result") => self.result(entry, &block, now_ms, out),
                // Its kind is damaged, and still there is only one that has this.
                None if block.get("tool_use_id").is_some() => {
                    self.result(entry, &block, now_ms, out);
                }
                _ => {}
            }
        }
    }

    fn result(&mut self, entry: &Entry<'_>, block: &Object<'_>, now_ms: u64, out: &mut Out) {
        let id = block.string("tool_use_id").unwrap_or_default();
        if self.abilities.batches() && !self.calls.is_open(&id) {
            // A hook has told it, and sooner.
            return;
        }
        let is_error = block.flag("is_error").unwrap_or(false);
        let told = entry.object.get("toolUseResult");
        let mut closed = self.calls.finish(&id, is_error, told, now_ms);
        let todos = closed.take_todos();
        if !closed.is_hidden() {
            let text = block.get("content").unwrap_or("null");
            let output = json::parse_or_text(text);
            let removed = entry.line.removed(entry.text, text);
            out.frames.push(Data::ToolUseResult(ToolUseResult {
                tool_use_id: id,
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

    fn system(&mut self, entry: &Object<'_>, now_ms: u64, out: &mut Out) {
        match entry.text("subtype").as_deref() {
            Some("turn_duration") => {
                self.turn.is_complete(now_ms);
                self.end_turn(now_ms, out);
            }
            Some("local_command") if entry.flag("isMeta") != Some(true) => {
                let content = entry.text("content").unwrap_or_default();
                self.output_of_command(&content, now_ms, out);
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
            let output = plain(output);
            if let Some(model) = self.model_set(&output) {
                let news = Meta {
                    model: Some(model),
                    ..Meta::default()
                };
                self.ledger.tell(news, &mut out.frames);
            }
            if let Some(effort) = effort_set(&output) {
                let news = Meta {
                    effort: Some(effort.to_owned()),
                    ..Meta::default()
                };
                self.ledger.tell(news, &mut out.frames);
            }
            if !output.trim().is_empty() {
                self.ledger.note(output.trim(), &mut out.frames);
            }
        }
    }

    /// The model that a command has set. Where the CLI gives it a name for people, it is called
    /// as it was asked for until its next message says its own, or a hook has said it already.
    fn model_set(&mut self, output: &str) -> Option<String> {
        let name = model_named(output)?;
        let wanted = self.wanted_model.take();
        if name.starts_with("claude-") {
            return Some(name.to_owned());
        }
        wanted.filter(|_| !self.abilities.knows("PostModelSwitch"))
    }
}

fn text(text: &str, message: &str) -> Text {
    Text {
        text: text.to_owned(),
        message_id: Some(message.to_owned()),
        ..Text::default()
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::deserialize(StrDeserializer::<serde::de::value::Error>::new(text)).ok()
}

/// Text without the colours that the CLI gives it.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = match behind.find(|letter: char| letter.is_ascii_alphabetic()) {
            Some(end) => &behind[end + 1..],
            None => "",
        };
    }
    plain.push_str(rest);
    plain
}

/// The effort that a command says it has set: `Set effort level to NAME …`.
fn effort_set(output: &str) -> Option<&str> {
    let name = output.trim().strip_prefix("Set effort level to ")?;
    let end = name.find(|letter: char| !letter.is_ascii_alphanumeric());
    let name = &name[..end.unwrap_or(name.len())];
    (!name.is_empty()).then_some(name)
}

/// The model that a command says it has set: `Set model to NAME …`.
fn model_named(output: &str) -> Option<&str> {
    let name = output.trim().strip_prefix("Set model to ")?;
    let name = name.strip_prefix('`').unwrap_or(name);
    let end = name.find(|letter: char| letter.is_whitespace() || letter == '`');
    Some(&name[..end.unwrap_or(name.len())])
}
