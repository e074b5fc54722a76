//! OpenAI's Chat Completions in front of a session.

use cib_protocol::api::{Content, ImageSource, ModelList, SessionList};
use cib_protocol::limits::Usage;
use cib_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::within::Within;
use crate::fault::{Code, Fault};
use crate::talk::turn::{self, End, Piece, Turn, Write};
use crate::talk::{self, MODEL, Message, Speaker, Wanted};

/// The model that leaves the choice to the box.
const DEFAULT: &str = "claude-in-box";

/// Characters of a tool's input that are told.
const TOLD: usize = 200;

/// A request. What a session has no use for, as `max_tokens` and `temperature`, is passed over.
#[derive(Deserialize)]
struct Request {
    model: String,
    messages: Vec<Said>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    functions: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    response_format: Option<Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Said {
    role: String,
    #[serde(default)]
    content: Option<Words>,
}

/// A text, or parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    Parts(Vec<Value>),
}

pub(super) async fn models(call: Call) -> Result<Reply, Fault> {
    let within = Within::new(&call)?;
    let known: ModelList = within.get("list_models", None, "").await?;
    let list: SessionList = within.get("list_sessions", None, "limit=100").await?;
    let at = |time: Timestamp| time.as_millis() / 1000;
    let model = |id: String, created| json!({"id": id, "object": "model", "created": created, "owned_by": DEFAULT});
    let known_at = known.known_at.map_or(0, at);
    let mut models = vec![model(DEFAULT.to_owned(), known_at)];
    models.extend(
        known
            .models
            .into_iter()
            .map(|known| model(known.value, known_at)),
    );
    let live = list.sessions.iter().filter(|meta| meta.state.is_live());
    models.extend(live.map(|meta| model(format!("{MODEL}{}", meta.id), at(meta.created_at))));
    Reply::json(&json!({"object": "list", "data": models}))
}

pub(super) async fn chat(call: Call) -> Result<Reply, Fault> {
    let request: Request = call.json()?;
    let wanted = wanted(&call, &request)?;
    let tells_usage = request
        .stream_options
        .is_some_and(|options| options.include_usage);
    let answer = Answer {
        id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
        model: request.model,
        created: Timestamp::now().as_millis() / 1000,
        tells_usage,
    };
    let mut turn = Turn::begin(&call, wanted).await?;
    let headers = turn::headers(&turn);
    if request.stream == Some(true) {
        return Ok(turn::stream(turn, answer).with(headers));
    }
    let (pieces, is_limit) = turn::whole(&mut turn).await?;
    let (mut text, mut thoughts) = (String::new(), String::new());
    for piece in pieces {
        match said(piece) {
            Some(("content", said)) => text.push_str(&said),
            Some((_, thought)) => thoughts.push_str(&thought),
            None => {}
        }
    }
    let mut message = json!({"role": "assistant", "content": text, "refusal": null});
    if !thoughts.is_empty() {
        message[THOUGHTS] = thoughts.into();
    }
    let choice = json!({
        "index": 0, "message": message, "finish_reason": reason(is_limit), "logprobs": null,
    });
    let mut whole = answer.chunk("chat.completion", &json!([choice]));
    whole["usage"] = usage(&turn.usage);
    Ok(Reply::json(&whole)?.with(headers))
}

fn bad<T>(detail: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::new(Code::BadValue, detail))
}

fn wanted(call: &Call, request: &Request) -> Result<Wanted, Fault> {
    let is_some = |tools: &Option<Vec<Value>>| tools.as_ref().is_some_and(|all| !all.is_empty());
    let chooses_none = request
        .tool_choice
        .as_ref()
        .is_some_and(|choice| choice == "none");
    if (is_some(&request.tools) || is_some(&request.functions)) && !chooses_none {
        return bad(talk::NO_TOOLS);
    }
    if request.n.is_some_and(|n| n != 1) {
        return bad("a session gives one answer: `n` is 1");
    }
    if let Some(format) = &request.response_format
        && format["type"] != "text"
    {
        return bad("a session answers in text: `response_format` is `text`");
    }
    let mut wanted = Wanted::default();
    wanted.name(&request.model, talk::named(&call.headers))?;
    let mut system = Message::of(Speaker::User);
    for said in &request.messages {
        let mut other = match &*said.role {
            "system" | "developer" => {
                read(said.content.as_ref(), &mut system)?;
                continue;
            }
            "user" => Message::of(Speaker::User),
            "assistant" => Message::of(Speaker::Assistant),
            role => return bad(format!("a session hears no role `{role}`")),
        };
        read(said.content.as_ref(), &mut other)?;
        wanted.messages.push(other);
    }
    wanted.system = system.text;
    Ok(wanted)
}

fn read(words: Option<&Words>, message: &mut Message) -> Result<(), Fault> {
    let parts = match words {
        None => return Ok(()),
        Some(Words::Text(text)) => {
            message.say(text);
            return Ok(());
        }
        Some(Words::Parts(parts)) => parts,
    };
    for part in parts {
        match part["type"].as_str().unwrap_or_default() {
            "text" => message.say(part["text"].as_str().unwrap_or_default()),
            "image_url" => {
                let url = part["image_url"]["url"].as_str().unwrap_or_default();
                message.images.push(image(url)?);
            }
            kind => return bad(format!("a session takes no part of the type `{kind}`")),
        }
    }
    Ok(())
}

/// An image that comes with its bytes. The box fetches none.
fn image(url: &str) -> Result<Content, Fault> {
    let data = url.strip_prefix("data:");
    let parts = data.and_then(|data| data.split_once(";base64,"));
    let source = parts.and_then(|(media, data)| {
        let source = json!({"type": "base64", "media_type": media, "data": data});
        serde_json::from_value::<ImageSource>(source).ok()
    });
    match source {
        Some(source) => Ok(Content::Image { source }),
        None => bad("an image is a `data:` URL of a PNG, JPEG, GIF or WebP in base64"),
    }
}

/// Where clients look for what is not said: thinking, and what Claude does meanwhile.
const THOUGHTS: &str = "reasoning_content";

/// Where a piece belongs, and what it says.
fn said(piece: Piece) -> Option<(&'static str, String)> {
    match piece {
        Piece::Text(text) => Some(("content", text)),
        Piece::Thinking(text) => Some((THOUGHTS, text)),
        Piece::Tool { name, input, .. } => {
            let input = input.to_string();
            let told: String = input.chars().take(TOLD).collect();
            let more = if told.len() < input.len() {
                "\u{2026}"
            } else {
                ""
            };
            Some((THOUGHTS, format!("\n[{name}] {told}{more}\n")))
        }
        Piece::Result {
            is_error: true,
            output,
            ..
        } => {
            let told: String = talk::output(&output).chars().take(TOLD).collect();
            Some((THOUGHTS, format!("[failed] {told}\n")))
        }
        Piece::Result { .. } | Piece::Life | Piece::End(_) => None,
    }
}

fn reason(is_limit: bool) -> &'static str {
    if is_limit { "length" } else { "stop" }
}

/// What a turn cost. The numbers are the agent's word.
fn usage(usage: &Usage) -> Value {
    let cached = usage.cache_read.saturating_add(usage.cache_write);
    let prompt = usage.input.saturating_add(cached);
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt.saturating_add(usage.output),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
    })
}

/// An answer, chunk by chunk.
struct Answer {
    id: String,
    model: String,
    created: i64,
    tells_usage: bool,
}

impl Answer {
    fn chunk(&self, object: &str, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }

    fn delta(&self, delta: &Value, reason: Option<&str>, out: &mut String) {
        let choices = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
        event(&self.chunk("chat.completion.chunk", &choices), out);
    }
}

fn event(data: &Value, out: &mut String) {
    out.push_str(&format!("data: {data}\n\n"));
}

impl Write for Answer {
    fn open(&mut self, _: &Turn, out: &mut String) {
        self.delta(&json!({"role": "assistant", "content": ""}), None, out);
    }

    fn write(&mut self, turn: &Turn, piece: Piece, out: &mut String) {
        let is_limit = match piece {
            Piece::Life => return out.push_str(":keepalive\n\n"),
            Piece::End(End::Failed(fault)) => return event(&refusal(&fault), out),
            Piece::End(end) => matches!(end, End::Limit),
            piece => {
                if let Some((name, text)) = said(piece) {
                    self.delta(&json!({name: text}), None, out);
                } else {
                    out.push_str(":\n\n");
                }
                return;
            }
        };
        self.delta(&json!({}), Some(reason(is_limit)), out);
        if self.tells_usage {
            let mut last = self.chunk("chat.completion.chunk", &json!([]));
            last["usage"] = usage(&turn.usage);
            event(&last, out);
        }
        out.push_str("data: [DONE]\n\n");
    }
}

/// A fault, as OpenAI's API tells one.
#[must_use]
pub fn refusal(fault: &Fault) -> Value {
    let kind = match fault.code().number() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    let code = fault.code().as_str();
    let message = fault.detail();
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_comes_with_its_bytes_or_not_at_all() {
        assert!(image("data:image/png;base64,iVBORw0KGgo=").is_ok());
        for bad in [
            "https://example.com/a.png",
            "data:image/svg+xml;base64,AA==",
            "data:image/png,AA==",
            "file:///etc/passwd",
            "",
        ] {
            assert_eq!(image(bad).unwrap_err().code(), Code::BadValue, "{bad}");
        }
    }

    #[test]
    fn no_number_of_an_agents_is_too_large_to_be_told() {
        let forged = Usage {
            input: u64::MAX,
            output: u64::MAX,
            cache_read: u64::MAX,
            ..Usage::default()
        };
        assert_eq!(usage(&forged)["total_tokens"], u64::MAX);
    }

    #[test]
    fn what_claude_does_is_told_beside_what_it_says() {
        let tool = Piece::Tool {
            id: "t".to_owned(),
            name: "Bash".to_owned(),
            input: json!({"command": "x".repeat(500)}),
        };
        let (place, told) = said(tool).unwrap();
        assert_eq!(place, THOUGHTS);
        assert!(
            told.starts_with("\n[Bash] {\"command\"") && told.len() < 250,
            "{told}"
        );
    }
}
