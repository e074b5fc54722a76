//! Forges, and the repositories that their accounts see.

use super::call::{Call, Reply};
use crate::fault::{Code, Fault};
use crate::forges::Forges;

/// Characters of a search, at most.
const MAX_QUERY: usize = 200;

pub(super) async fn list(call: Call) -> Result<Reply, Fault> {
    Reply::json(&call.app.forges.list().await)
}

pub(super) async fn repositories(call: Call) -> Result<Reply, Fault> {
    let host = call.part("host");
    let Some(forge) = call.app.forges.known().of(host) else {
        let detail = format!("the box has no account at `{host}`");
        return Err(Fault::new(Code::NoSuchForge, detail));
    };
    let query = call.query.get("q").unwrap_or_default();
    if query.chars().count() > MAX_QUERY {
        let detail = format!("`q` has more than {MAX_QUERY} characters");
        return Err(Fault::new(Code::BadValue, detail));
    }
    let page = call.query.number("page").unwrap_or(1);
    let page = u32::try_from(page).unwrap_or(u32::MAX);
    match Forges::repositories(forge, query, page).await {
        Ok(found) => Reply::json(&found),
        Err(error) => Err(Fault::new(Code::ForgeFailed, error.to_string())),
    }
}
