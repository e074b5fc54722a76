//! What a file of hooks may have, as a JSON Schema: for editors, and for whoever writes one by hand.

use cib_protocol::hooks::events;
use serde_json::{Map, Value, json};

use super::TYPES;

/// The schema of the hooks of a version of Claude Code. An event that it does not know is not
/// forbidden: it is left out when a session starts, and told.
#[must_use]
pub fn document(version: Option<&str>) -> Value {
    let known: Map<_, _> = events(version)
        .into_iter()
        .map(|event| (event.to_owned(), json!({"$ref": "#/$defs/matchers"})))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hooks of a claude-in-box",
        "description": "hooks.json of the image and of the user, and `hooks` of a session.",
        "type": "object",
        "properties": {"hooks": {
            "description": "By event, as under `hooks` in Claude's settings.",
            "type": "object",
            "properties": known,
            "additionalProperties": {"$ref": "#/$defs/matchers"},
        }},
        "required": ["hooks"],
        "$defs": {
            "matchers": {
                "description": "Each runs its hooks if it fits; all that fit are run.",
                "type": "array",
                "items": {"$ref": "#/$defs/matcher"},
            },
            "matcher": {
                "type": "object",
                "properties": {
                    "matcher": {
                        "description": "A regular expression, as JavaScript has them, for what the \
                                        event is about, as a tool's name. Without it, empty or `*`: \
                                        for all.",
                        "type": "string",
                        "maxLength": super::MAX_MATCHER,
                    },
                    "hooks": {"type": "array", "items": {"$ref": "#/$defs/hook"}},
                },
                "required": ["hooks"],
            },
            "hook": {
                "type": "object",
                "properties": {
                    "type": {
                        "description": "A command of the box, an address that is told, or what \
                                        else Claude Code has.",
                        "type": "string",
                        "enum": TYPES,
                    },
                    "timeout": {
                        "description": "Seconds.",
                        "type": "number",
                        "exclusiveMinimum": 0,
                    },
                },
                "required": ["type"],
                "allOf": [
                    needs("command", "command", json!({
                        "description": "For a shell; it gets the event as JSON on its standard \
                                        input. Exit code 2 blocks, where the event can be blocked.",
                        "type": "string",
                        "pattern": "\\S",
                    })),
                    needs("http", "url", json!({"type": "string", "pattern": "^https?://"})),
                ],
            },
        },
    })
}

/// What a hook of one type has to have.
fn needs(kind: &str, name: &str, value: Value) -> Value {
    let mut properties = Map::new();
    properties.insert(name.to_owned(), value);
    json!({
        "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
        "then": {"properties": properties, "required": [name]},
    })
}
