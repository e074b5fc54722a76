//! Frames, read as strictly as their description allows.

use serde::Deserialize;
use serde_json::Value;

/// One frame of a session: exactly these five fields.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// The session's id.
    pub session: String,
    /// Its place, from 1 without a gap.
    pub seq: u64,
    /// When, in RFC 3339.
    pub ts: String,
    /// What `data` is.
    pub kind: String,
    /// The payload.
    pub data: Value,
}

/// Something that is not a frame.
#[derive(Debug, thiserror::Error)]
#[error("not a frame: {0}")]
pub struct FrameFault(#[from] serde_json::Error);

impl Frame {
    /// Reads a frame from its JSON.
    ///
    /// # Errors
    /// A field is missing, of another type, or one too many.
    pub fn read(value: Value) -> Result<Self, FrameFault> {
        Ok(serde_json::from_value(value)?)
    }

    /// Whether the turn or the session ends with this frame.
    #[must_use]
    pub fn is_stop(&self) -> bool {
        self.kind == "stop"
    }

    /// The word in the data's field `name`; empty where there is none.
    #[must_use]
    pub fn word(&self, name: &str) -> &str {
        self.data[name].as_str().unwrap_or_default()
    }
}

/// The words of the assistant in `frames`, joined.
#[must_use]
pub fn said(frames: &[Frame]) -> String {
    let texts = frames.iter().filter(|frame| frame.kind == "text.delta");
    texts
        .filter(|frame| frame.word("role") != "user")
        .map(|frame| frame.word("text"))
        .collect()
}
