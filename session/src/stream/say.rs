//! Lines for the CLI's standard input. Each is one JSON object and ends with a newline: a line
//! that is not JSON makes the CLI exit.

use serde_json::{Value, json};
use uuid::Uuid;

/// A message of the user.
pub(super) fn user(text: &str, uuid: Uuid) -> String {
    line(&json!({
        "type": "user",
        "message": {"role": "user", "content": text},
        "uuid": uuid,
    }))
}

/// A request of ours; `fields` joins `subtype`.
pub(super) fn request(id: &str, subtype: &str, mut fields: Value) -> String {
    fields["subtype"] = subtype.into();
    line(&json!({"type": "control_request", "request_id": id, "request": fields}))
}

/// The answer to a request of the CLI.
pub(super) fn response(id: &str, response: &Value) -> String {
    line(&json!({
        "type": "control_response",
        "response": {"subtype": "success", "request_id": id, "response": response},
    }))
}

/// The answer to a request of the CLI that this keeper does not know. Without one the CLI
/// would wait for ever.
pub(super) fn unsupported(id: &str, subtype: &str) -> String {
    line(&json!({
        "type": "control_response",
        "response": {
            "subtype": "error",
            "request_id": id,
            "error": format!("this host does not know {subtype}"),
        },
    }))
}

fn line(value: &Value) -> String {
    let mut text = value.to_string();
    text.push('\n');
    text
}
