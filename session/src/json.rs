//! Reading JSON, in one way everywhere.

use serde::Deserialize;
use serde::de::Error;

/// Reads a value from bytes. They become text first, because the parser would otherwise be
/// compiled a second time for each type, and a keeper's size is its memory.
///
/// # Errors
/// If the bytes are no text, no JSON, or JSON of another shape.
pub(crate) fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    let text = std::str::from_utf8(bytes).map_err(serde_json::Error::custom)?;
    serde_json::from_str(text)
}
