//! What a line says about its session.

use cib_protocol::frame::{Data, Meta};
use cib_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Whether this is how a keeper of an earlier version began a shell, which it did not say.
pub(super) fn is_a_shells(news: &Meta) -> bool {
    news.workdir.is_some()
        && news.driver.is_none()
        && news.permission_mode.is_none()
        && news.claude_session.is_none()
}

#[derive(Deserialize)]
struct Envelope<'a> {
    ts: Timestamp,
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The payload of a frame whose kind says something about the session.
pub(super) fn payload(line: &[u8]) -> Option<(Timestamp, Data)> {
    let envelope: Envelope<'_> = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
    let text = envelope.data.get();
    let data = match envelope.kind.as_str() {
        "status" => Data::Status(serde_json::from_str(text).ok()?),
        "stop" => Data::Stop(serde_json::from_str(text).ok()?),
        "usage" => Data::Usage(serde_json::from_str(text).ok()?),
        "meta" => Data::Meta(serde_json::from_str(text).ok()?),
        "todo.update" => Data::TodoUpdate(serde_json::from_str(text).ok()?),
        "ask.question" => Data::AskQuestion(serde_json::from_str(text).ok()?),
        "ask.answer" => Data::AskAnswer(serde_json::from_str(text).ok()?),
        _ => return None,
    };
    Some((envelope.ts, data))
}

/// When a line says that it was written.
pub(super) fn timestamp(line: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Stamp {
        ts: Timestamp,
    }
    let stamp: Stamp = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
    Some(stamp.ts)
}
