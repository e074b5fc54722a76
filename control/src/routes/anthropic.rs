//! Anthropic's Messages API in front of a session.

use cib_protocol::api::{Content, ImageSource};
use cib_protocol::limits::Usage;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use crate::fault::{Code, Fault};
use crate::talk::turn::{self, End, Piece, Turn, Write};
use crate::talk::{self, Message, Speaker, Wanted};

/// The server that Claude's own tools are said to be of: a client runs none of them.
const SERVER: &str = "claude-code";

/// A request. What a session has no use for, as `max_tokens` and `temperature`, is passed over.
#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Said>,
    #[serde(default)]
    system: Words,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    thinking: Option<Value>,
}

#[derive(Deserialize)]
struct Said {
    role: String,
    content: Words,
}

/// A text, or blocks.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    Blocks(Vec<Value>),
}

impl Default for Words {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

pub(super) async fn messages(call: Call) -> Result<Reply, Fault> {
    let request: Request = call.json()?;
    let wanted = wanted(&call, &request)?;
    let answer = Answer {
        id: format!("msg_{}", uuid::Uuid::new_v4().simple()),
        model: request.model,
        thinks: request
            .thinking
            .is_some_and(|thinking| thinking["type"] != "disabled"),
        growing: None,
        count: 0,
    };
    let mut turn = Turn::begin(&call, wanted).await?;
    let headers = turn::headers(&turn);
    if request.stream {
        return Ok(turn::stream(turn, answer).with(headers));
    }
    let (pieces, is_limit) = turn::whole(&mut turn).await?;
    let mut message = answer.message();
    message["content"] = blocks(pieces, answer.thinks).into();
    message["stop_reason"] = reason(is_limit).into();
    message["usage"] = usage(&turn.usage);
    Ok(Reply::json(&message)?.with(headers))
}

fn bad<T>(detail: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::new(Code::BadValue, detail))
}

fn wanted(call: &Call, request: &Request) -> Result<Wanted, Fault> {
    let chooses_none = request
        .tool_choice
        .as_ref()
        .is_some_and(|choice| choice["type"] == "none");
    if request
        .tools
        .as_ref()
        .is_some_and(|tools| !tools.is_empty())
        && !chooses_none
    {
        return bad(talk::NO_TOOLS);
    }
    let mut wanted = Wanted::default();
    wanted.name(&request.model, talk::named(&call.headers))?;
    let mut system = Message::of(Speaker::User);
    read(&request.system, &mut system)?;
    wanted.system = system.text;
    for said in &request.messages {
        let mut message = Message::of(match &*said.role {
            "user" => Speaker::User,
            "assistant" => Speaker::Assistant,
            role => return bad(format!("there is no role `{role}`")),
        });
        read(&said.content, &mut message)?;
        wanted.messages.push(message);
    }
    Ok(wanted)
}

fn read(words: &Words, message: &mut Message) -> Result<(), Fault> {
    let blocks = match words {
        Words::Text(text) => {
            message.say(text);
            return Ok(());
        }
        Words::Blocks(blocks) => blocks,
    };
    for block in blocks {
        match block["type"].as_str().unwrap_or_default() {
            "text" => message.say(block["text"].as_str().unwrap_or_default()),
            "image" => match serde_json::from_value::<ImageSource>(block["source"].clone()) {
                Ok(source) => message.images.push(Content::Image { source }),
                Err(error) => {
                    return bad(format!("an image comes with its bytes, as base64: {error}"));
                }
            },
            // What an answer of ours had besides its text: the session knows it.
            "thinking" | "redacted_thinking" | "mcp_tool_use" | "mcp_tool_result" => {}
            kind => return bad(format!("a session takes no block of the type `{kind}`")),
        }
    }
    Ok(())
}

fn reason(is_limit: bool) -> &'static str {
    if is_limit { "max_tokens" } else { "end_turn" }
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_write,
    })
}

/// A use of a tool, and what it gave, as those of a server's tools are written.
fn tool(id: &str, name: &str, input: &Value) -> Value {
    json!({"type": "mcp_tool_use", "id": id, "name": name, "server_name": SERVER, "input": input})
}

fn result(id: &str, output: &Value, is_error: bool) -> Value {
    let text = talk::output(output);
    json!({
        "type": "mcp_tool_result",
        "tool_use_id": id,
        "is_error": is_error,
        "content": [{"type": "text", "text": text}],
    })
}

/// A block that grows, or one that is whole at once.
fn block(piece: Piece) -> Option<(Option<Kind>, Value)> {
    Some(match piece {
        Piece::Text(text) => (Some(Kind::Text), text.into()),
        Piece::Thinking(text) => (Some(Kind::Thinking), text.into()),
        Piece::Tool { id, name, input } => (None, tool(&id, &name, &input)),
        Piece::Result {
            id,
            output,
            is_error,
        } => (None, result(&id, &output, is_error)),
        Piece::Life | Piece::End(_) => return None,
    })
}

/// Blocks that grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
}

impl Kind {
    /// A block of the kind with a text.
    fn of(self, text: &str) -> Value {
        match self {
            Self::Text => json!({"type": "text", "text": text}),
            Self::Thinking => json!({"type": "thinking", "thinking": text, "signature": ""}),
        }
    }

    fn delta(self, text: &Value) -> Value {
        match self {
            Self::Text => json!({"type": "text_delta", "text": text}),
            Self::Thinking => json!({"type": "thinking_delta", "thinking": text}),
        }
    }
}

/// The blocks of an answer in one piece.
fn blocks(pieces: Vec<Piece>, thinks: bool) -> Vec<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    let mut growing: Option<(Kind, String)> = None;
    for (kind, value) in pieces.into_iter().filter_map(block) {
        if kind == Some(Kind::Thinking) && !thinks {
            continue;
        }
        if let (Some(kind), Some((known, said))) = (kind, &mut growing)
            && kind == *known
        {
            said.push_str(value.as_str().unwrap_or_default());
            continue;
        }
        blocks.extend(growing.take().map(|(kind, said)| kind.of(&said)));
        match (kind, value) {
            (Some(kind), Value::String(said)) => growing = Some((kind, said)),
            (_, whole) => blocks.push(whole),
        }
    }
    blocks.extend(growing.map(|(kind, said)| kind.of(&said)));
    blocks
}

/// An answer, block by block.
struct Answer {
    id: String,
    model: String,
    thinks: bool,
    /// The block that grows.
    growing: Option<Kind>,
    /// How many blocks have begun.
    count: usize,
}

impl Answer {
    /// The message before anything is said.
    fn message(&self) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage(&Usage::default()),
        })
    }

    fn begin(&mut self, block: &Value, out: &mut String) {
        let index = self.count;
        self.count += 1;
        let data = json!({"type": "content_block_start", "index": index, "content_block": block});
        event(&data, out);
    }

    fn finish(&mut self, out: &mut String) {
        let index = self.count.saturating_sub(1);
        event(&json!({"type": "content_block_stop", "index": index}), out);
        self.growing = None;
    }
}

fn event(data: &Value, out: &mut String) {
    let name = data["type"].as_str().unwrap_or_default();
    out.push_str(&format!("event: {name}\ndata: {data}\n\n"));
}

impl Write for Answer {
    fn open(&mut self, _: &Turn, out: &mut String) {
        event(
            &json!({"type": "message_start", "message": self.message()}),
            out,
        );
        event(&json!({"type": "ping"}), out);
    }

    fn write(&mut self, turn: &Turn, piece: Piece, out: &mut String) {
        let end = match piece {
            Piece::Life => return event(&json!({"type": "ping"}), out),
            Piece::Thinking(_) if !self.thinks => return,
            Piece::End(end) => end,
            piece => {
                let Some((kind, value)) = block(piece) else {
                    return;
                };
                if self.growing.is_some() && self.growing != kind {
                    self.finish(out);
                }
                let Some(kind) = kind else {
                    self.begin(&value, out);
                    return self.finish(out);
                };
                if self.growing.is_none() {
                    self.begin(&kind.of(""), out);
                    self.growing = Some(kind);
                }
                let index = self.count - 1;
                let delta = kind.delta(&value);
                let data = json!({"type": "content_block_delta", "index": index, "delta": delta});
                return event(&data, out);
            }
        };
        if self.growing.is_some() {
            self.finish(out);
        }
        let is_limit = match end {
            End::Failed(fault) => return event(&refusal(&fault), out),
            End::Limit => true,
            End::Turn => false,
        };
        let delta = json!({"stop_reason": reason(is_limit), "stop_sequence": null});
        let usage = usage(&turn.usage);
        event(
            &json!({"type": "message_delta", "delta": delta, "usage": usage}),
            out,
        );
        event(&json!({"type": "message_stop"}), out);
    }
}

/// A fault, as the Messages API tells one.
#[must_use]
pub fn refusal(fault: &Fault) -> Value {
    let kind = match fault.code().number() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": fault.to_string()}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_kind_are_one_block_and_tools_stand_between() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let pieces = || {
            vec![
                Piece::Thinking("hm".to_owned()),
                text("I "),
                text("look"),
                Piece::Tool {
                    id: "t".to_owned(),
                    name: "Bash".to_owned(),
                    input: json!({"command": "ls"}),
                },
                Piece::Result {
                    id: "t".to_owned(),
                    output: "x".into(),
                    is_error: false,
                },
                text("done"),
            ]
        };
        let shown = blocks(pieces(), false);
        let kinds: Vec<_> = shown
            .iter()
            .map(|block| block["type"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["text", "mcp_tool_use", "mcp_tool_result", "text"]);
        assert_eq!(shown[0]["text"], "I look");
        assert_eq!(shown[1]["input"]["command"], "ls");
        assert_eq!(shown[2]["content"][0]["text"], "x");
        assert_eq!(blocks(pieces(), true)[0]["thinking"], "hm");
    }
}
