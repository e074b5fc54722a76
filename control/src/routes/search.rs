//! Looking for words in sessions.

use super::call::{Call, Reply};
use crate::fault::{Code, Fault};
use crate::search::words::{MAX_QUERY, Words};
use crate::search::{Question, search};
use crate::sessions::store::Place;

/// Sessions in an answer if nothing is said.
const DEFAULT_LIMIT: u64 = 20;

/// Sessions in an answer.
pub(super) const MAX_LIMIT: u64 = 100;

pub(super) async fn find(call: Call) -> Result<Reply, Fault> {
    let query = &call.query;
    let words = query.get("q").and_then(Words::parse).ok_or_else(|| {
        let detail = format!("`q` has 1 to 16 words and at most {MAX_QUERY} characters");
        Fault::new(Code::BadValue, detail)
    })?;
    let limit = query.number("limit").unwrap_or(DEFAULT_LIMIT);
    let question = Question {
        words,
        is_deep: query.get("in") != Some("names"),
        after: query.get("after").map(Place::parse).transpose()?,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    Reply::json(&search(&call.app, question).await?)
}
