//! Claude's login.

use super::body::{body, optional};
use super::faults::LOGIN;
use crate::auth::scope::Scope;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, login};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "get_login",
        verb: Verb::Get,
        paths: &["/api/auth/claude/status"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "Whose account Claude is logged in with, and how the last login stands.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::ClaudeLogin),
        faults: LOGIN,
        handler: handler!(login::status),
    },
    Route {
        name: "start_login",
        verb: Verb::Post,
        paths: &["/api/auth/claude/start"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Begins a login of Claude's. The answer has the address that a person opens in \
                  a browser.",
        query: &[],
        body: optional(Shape::StartLogin),
        answer: Answer::Ok(Shape::ClaudeLogin),
        faults: LOGIN,
        handler: handler!(login::start),
    },
    Route {
        name: "finish_login",
        verb: Verb::Post,
        paths: &["/api/auth/claude/code"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Hands over the code that the login page showed. The answer says whether that \
                  was right.",
        query: &[],
        body: body(Shape::LoginCode),
        answer: Answer::Ok(Shape::ClaudeLogin),
        faults: LOGIN,
        handler: handler!(login::code),
    },
    Route {
        name: "cancel_login",
        verb: Verb::Post,
        paths: &["/api/auth/claude/cancel"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Gives up the login that is on its way.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::ClaudeLogin),
        faults: LOGIN,
        handler: handler!(login::cancel),
    },
    Route {
        name: "logout",
        verb: Verb::Post,
        paths: &["/api/auth/claude/logout"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Forgets the stored login. Keys in the box's environment stay.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::ClaudeLogin),
        faults: LOGIN,
        handler: handler!(login::logout),
    },
];
