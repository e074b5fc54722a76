//! The Messages API's answers on the wire: server-sent events, whole messages, and errors.
//!
//! The shapes follow the public API reference of the Messages API ("Streaming Messages" and
//! "Errors").

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::script::{Block, Step};

/// How many characters a delta carries; small, so that even short texts come in pieces.
const DELTA_CHARS: usize = 24;

/// A message to send: a step with the names the API gives to its parts.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The message's id, `msg_…`.
    pub id: String,
    /// The model, as asked for.
    pub model: String,
    /// What to say.
    pub step: Step,
    /// The tokens the request is said to have cost.
    pub input_tokens: usize,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's name, which is also its data's `type`.
    pub name: &'static str,
    /// The data.
    pub data: Value,
}

impl Event {
    fn new(name: &'static str, mut data: Value) -> Self {
        data["type"] = name.into();
        Self { name, data }
    }

    /// The event as sent: `event:` and `data:` lines and an empty line.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("event: {}\ndata: {}\n\n", self.name, self.data)
    }

    /// Whether the event carries a piece of a block; these are the ones that `@slow` delays.
    #[must_use]
    pub fn is_delta(&self) -> bool {
        self.name == "content_block_delta"
    }
}

impl Reply {
    /// The message as a stream of events.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let mut start = self.envelope();
        start["content"] = json!([]);
        start["stop_reason"] = Value::Null;
        start["usage"]["output_tokens"] = 1.into();
        let mut events = vec![Event::new("message_start", json!({"message": start}))];
        for (index, block) in self.step.blocks.iter().enumerate() {
            let (empty, deltas) = self.pieces(index, block);
            events.push(Event::new(
                "content_block_start",
                json!({"index": index, "content_block": empty}),
            ));
            if index == 0 {
                events.push(Event::new("ping", json!({})));
            }
            events.extend(deltas.into_iter().map(|delta| {
                Event::new(
                    "content_block_delta",
                    json!({"index": index, "delta": delta}),
                )
            }));
            events.push(Event::new("content_block_stop", json!({"index": index})));
        }
        events.push(Event::new(
            "message_delta",
            json!({
                "delta": {"stop_reason": self.step.stop_reason(), "stop_sequence": null},
                "usage": self.usage(),
            }),
        ));
        events.push(Event::new("message_stop", json!({})));
        events
    }

    /// The message in one piece.
    #[must_use]
    pub fn whole(&self) -> Value {
        let mut message = self.envelope();
        message["content"] = (self.step.blocks.iter().enumerate())
            .map(|(n, block)| self.block(n, block))
            .collect();
        message
    }

    fn envelope(&self) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "stop_reason": self.step.stop_reason(),
            "stop_sequence": null,
            "usage": self.usage(),
        })
    }

    fn usage(&self) -> Value {
        let said: usize = self.step.blocks.iter().map(Block::weight).sum();
        json!({
            "input_tokens": self.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": said / 4 + 1,
            "service_tier": "standard",
        })
    }

    fn block(&self, index: usize, block: &Block) -> Value {
        match block {
            Block::Text(text) => json!({"type": "text", "text": text}),
            Block::Thinking(text) => {
                json!({"type": "thinking", "thinking": text, "signature": SIGNATURE})
            }
            Block::Call(name, input) => {
                let id = format!("toolu_{}_{index}", self.id.trim_start_matches("msg_"));
                json!({"type": "tool_use", "id": id, "name": name, "input": input})
            }
        }
    }

    /// The block as it starts, and the deltas that fill it.
    fn pieces(&self, index: usize, block: &Block) -> (Value, Vec<Value>) {
        let mut empty = self.block(index, block);
        let deltas = match block {
            Block::Text(text) => {
                empty["text"] = "".into();
                let delta = |part| json!({"type": "text_delta", "text": part});
                chunks(text).map(delta).collect()
            }
            Block::Thinking(text) => {
                empty["thinking"] = "".into();
                empty["signature"] = "".into();
                let delta = |part| json!({"type": "thinking_delta", "thinking": part});
                let sealed = json!({"type": "signature_delta", "signature": SIGNATURE});
                chunks(text).map(delta).chain([sealed]).collect()
            }
            Block::Call(_, input) => {
                empty["input"] = json!({});
                let delta = |part| json!({"type": "input_json_delta", "partial_json": part});
                chunks(&input.to_string()).map(delta).collect()
            }
        };
        (empty, deltas)
    }
}

/// Any base64 does: only the real API reads signatures.
const SIGNATURE: &str = "c3RhbmQtaW4=";

impl Block {
    fn weight(&self) -> usize {
        match self {
            Self::Text(text) | Self::Thinking(text) => text.len(),
            Self::Call(name, input) => name.len() + input.to_string().len(),
        }
    }
}

fn chunks(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = chars
        .chunks(DELTA_CHARS)
        .map(|part| part.iter().collect())
        .collect();
    pieces.into_iter()
}

/// The API's error object for a status.
#[must_use]
pub fn error(status: u16, message: &str, request_id: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    })
}

/// All events of a message as one text, for tests that compare the wire.
#[must_use]
pub fn encode_all(events: &[Event]) -> String {
    events.iter().fold(String::new(), |mut text, event| {
        let _ = write!(text, "{}", event.encode());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn reply(prompt: &str) -> Reply {
        let step = Script::parse(prompt, &[]).unwrap().unwrap().steps.remove(0);
        Reply {
            id: "msg_1".into(),
            model: "m".into(),
            step,
            input_tokens: 7,
        }
    }

    fn names(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.name).collect()
    }

    #[test]
    fn a_stream_has_the_apis_events_in_the_apis_order() {
        let events = reply("@text Hi\n@bash ls").events();
        let expected = [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(names(&events), expected);
        let text = encode_all(&events[2..3]);
        assert_eq!(text, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }

    #[test]
    fn the_deltas_of_a_call_add_up_to_its_input() {
        let reply = reply("@bash printf 'a long enough command, ünïcödé too'");
        let mut joined = String::new();
        for event in reply.events() {
            joined.push_str(
                event.data["delta"]["partial_json"]
                    .as_str()
                    .unwrap_or_default(),
            );
        }
        let input: Value = serde_json::from_str(&joined).unwrap();
        assert_eq!(input, reply.whole()["content"][0]["input"]);
    }

    #[test]
    fn a_stream_starts_without_an_ending_and_finishes_with_one() {
        let events = reply("@think hm\n@text ok").events();
        assert_eq!(events[0].data["message"]["stop_reason"], Value::Null);
        let end = &events[events.len() - 2].data;
        assert_eq!(end["delta"]["stop_reason"], "end_turn");
        assert!(end["usage"]["output_tokens"].as_u64().unwrap() > 0);
    }
}
