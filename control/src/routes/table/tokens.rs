//! Device tokens.

use super::body::body;
use crate::auth::scope::Scope;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, tokens};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "list_tokens",
        verb: Verb::Get,
        paths: &["/api/tokens"],
        access: Access::Scope(Scope::TokensRead),
        summary: "Every device token, without its text.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::TokenList),
        faults: &[],
        handler: handler!(now tokens::list),
    },
    Route {
        name: "create_token",
        verb: Verb::Post,
        paths: &["/api/tokens"],
        access: Access::Scope(Scope::TokensWrite),
        summary: "Mints a device token with scopes that its maker has too. Its text is shown \
                  this once.",
        query: &[],
        body: body(Shape::CreateToken),
        answer: Answer::Created(Shape::TokenCreated),
        faults: &[Code::TooManyTokens],
        handler: handler!(tokens::create),
    },
    Route {
        name: "revoke_token",
        verb: Verb::Delete,
        paths: &["/api/tokens/{id}"],
        access: Access::Scope(Scope::TokensWrite),
        summary: "Revokes a device token at once; streams that it opened end.",
        query: &[],
        body: None,
        answer: Answer::Nothing,
        faults: &[Code::NoSuchToken],
        handler: handler!(tokens::revoke),
    },
];
