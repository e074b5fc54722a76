//! Lines for the CLI's standard input. Each is one JSON object and ends with a newline: a line
//! that is not JSON makes the CLI exit.

use cib_protocol::image::Image;
use serde_json::{Value, json};
use uuid::Uuid;

/// Longest word of the CLI that is repeated to it, in bytes.
const MAX_WORD: usize = 100;

/// A message of the user.
pub(super) fn user(text: &str, images: &[Image], uuid: Uuid) -> String {
    let content = if images.is_empty() {
        Value::from(text)
    } else {
        // A text that is about images stands behind them; the API refuses one that is empty.
        let text = (!text.is_empty()).then(|| json!({"type": "text", "text": text}));
        images.iter().map(image).chain(text).collect()
    };
    line(&json!({
        "type": "user",
        "message": {"role": "user", "content": content},
        "uuid": uuid,
    }))
}

fn image(image: &Image) -> Value {
    json!({"type": "image", "source": {
        "type": "base64", "media_type": image.media_type, "data": image.data,
    }})
}

/// A request of ours; `fields` joins `subtype`.
pub(super) fn request(id: &str, subtype: &str, mut fields: Value) -> String {
    fields["subtype"] = subtype.into();
    line(&json!({"type": "control_request", "request_id": id, "request": fields}))
}

/// The answer to a request of the CLI. `id` and `response` are JSON.
pub(super) fn response(id: &str, response: &str) -> String {
    format!(
        r#"{{"type":"control_response","response":{{"subtype":"success","request_id":{id},"response":{response}}}}}{}"#,
        '\n'
    )
}

/// The answer to a request of the CLI that this keeper does not know. Without one the CLI
/// would wait for ever. `id` is JSON.
pub(super) fn unsupported(id: &str, subtype: &str) -> String {
    let subtype = &subtype[..subtype.floor_char_boundary(MAX_WORD)];
    let error = Value::from(format!("this host does not know `{subtype}`"));
    format!(
        r#"{{"type":"control_response","response":{{"subtype":"error","request_id":{id},"error":{error}}}}}{}"#,
        '\n'
    )
}

fn line(value: &Value) -> String {
    let mut text = value.to_string();
    text.push('\n');
    text
}
