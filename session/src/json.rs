//! Reading JSON, in one way everywhere.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads a value from bytes. They become text first, because the parser would otherwise be
/// compiled a second time for each type, and a keeper's size is its memory.
///
/// # Errors
/// If the bytes are no text, no JSON, or JSON of another shape.
pub(crate) fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    let text = std::str::from_utf8(bytes).map_err(serde_json::Error::custom)?;
    serde_json::from_str(text)
}

/// An object whose values keep their text and their order.
#[derive(Debug, Default)]
pub(crate) struct Object<'a> {
    pub(crate) fields: Vec<(String, Part<'a>)>,
}

/// JSON text, as it was read or new.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    Borrowed(&'a RawValue),
    Owned(Box<RawValue>),
}

impl Part<'_> {
    pub(crate) fn get(&self) -> &str {
        match self {
            Self::Borrowed(text) => text.get(),
            Self::Owned(text) => text.get(),
        }
    }
}

impl Object<'_> {
    /// The object's text, a field a line.
    pub(crate) fn pretty(&self) -> String {
        let mut text = String::from("{");
        for (place, (name, value)) in self.fields.iter().enumerate() {
            text.push_str(if place == 0 { "\n  " } else { ",\n  " });
            text.push_str(&Value::from(name.as_str()).to_string());
            text.push_str(": ");
            text.push_str(value.get());
        }
        text.push_str("\n}");
        text
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry()? {
                    fields.push((name, Part::Borrowed(value)));
                }
                Ok(Object { fields })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Bytes in all strings of a value.
pub(crate) fn strings_len(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(strings_len).sum(),
        Value::Object(fields) => fields.values().map(strings_len).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
