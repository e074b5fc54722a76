//! Looking for words.

use super::params::{AFTER, IN, QUERY, SEARCH_LIMIT};
use crate::auth::scope::Scope;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, search};

/// Its row of the table.
pub(super) const ROUTES: &[Route] = &[Route {
    name: "search",
    verb: Verb::Get,
    paths: &["/api/search"],
    access: Access::Scope(Scope::SessionsRead),
    summary: "Sessions that have words in their names or in what was said in them, the newest \
              first, as far as two seconds go.",
    query: &[QUERY, IN, AFTER, SEARCH_LIMIT],
    body: None,
    answer: Answer::Ok(Shape::SearchResult),
    faults: &[Code::Busy],
    handler: handler!(search::find),
}];
