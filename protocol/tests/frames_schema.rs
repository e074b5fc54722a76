//! `docs/reference/frames.schema.json` is what the types say.
//!
//! After a change that is meant, `CIB_UPDATE_GOLDEN=1 cargo test -p cib-protocol` writes the
//! file anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use cib_protocol::frame::{Data, KINDS};
use serde_json::{Value, json};

/// The schema of one line of a journal, made from the schema of its payloads.
fn schema() -> Value {
    let mut schema = schemars::schema_for!(Data).to_value();
    let envelope = json!({
        "session": {
            "description": "The session that the frame belongs to.",
            "type": "string",
            "format": "uuid",
        },
        "seq": {
            "description": "Position in the journal, from 1, without a gap.",
            "type": "integer",
            "minimum": 1,
        },
        "ts": {
            "description": "When the keeper appended it.",
            "type": "string",
            "format": "date-time",
        },
    });
    for variant in schema["oneOf"].as_array_mut().unwrap() {
        for (name, property) in envelope.as_object().unwrap() {
            variant["properties"][name] = property.clone();
        }
        variant["required"] = json!(["session", "seq", "ts", "kind", "data"]);
    }
    schema["title"] = "Frame".into();
    schema["description"] = "One line of a session's journal, and of every stream of the API. \
        The envelope is fixed for good. A client passes over kinds that it does not know: a \
        newer box may write more of them, and more fields of the known ones."
        .into();
    schema
}

fn text(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap();
    text.push('\n');
    text
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let path: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "../docs/reference/frames.schema.json",
    ]
    .iter()
    .collect();
    let now = text(&schema());
    if std::env::var_os("CIB_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == now,
        "docs/reference/frames.schema.json is not what the types say; \
         run the tests once with CIB_UPDATE_GOLDEN=1 and commit the file"
    );
}

#[test]
fn every_kind_that_is_written_is_in_the_schema() {
    let schema = schema();
    let variants = schema["oneOf"].as_array().unwrap();
    let kinds: Vec<_> = variants
        .iter()
        .map(|variant| variant["properties"]["kind"]["const"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, KINDS);
}
