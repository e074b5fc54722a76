//! What Claude has to choose from.

use crate::auth::scope::Scope;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, offers};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "list_models",
        verb: Verb::Get,
        paths: &["/api/models"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "The models that Claude Code has, as a session has said last.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::ModelList),
        faults: &[],
        handler: handler!(offers::models),
    },
    Route {
        name: "list_commands",
        verb: Verb::Get,
        paths: &["/api/sessions/{id}/commands"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "The commands of Claude's interface that an input with `encoding` `command` takes.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::CommandList),
        faults: &[Code::NoSuchSession],
        handler: handler!(offers::commands),
    },
];
