//! What the box used.

use cib_protocol::api::UsageBy;
use cib_protocol::session::Program;
use cib_protocol::time::Timestamp;

use super::call::{Call, Reply};
use crate::fault::Fault;
use crate::usage::{Span, report};

pub(super) async fn usage(call: Call) -> Result<Reply, Fault> {
    let query = &call.query;
    let span = Span::parse(query.get("since"), query.get("until"), Timestamp::now())?;
    let by = match query.get("group_by") {
        Some("session") => UsageBy::Session,
        Some("model") => UsageBy::Model,
        _ => UsageBy::Day,
    };
    let (sessions, is_complete) = call.app.store.spent(Program::Claude).await?;
    Reply::json(&report(&sessions, span, by, !is_complete))
}
