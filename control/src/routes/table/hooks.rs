//! Hooks of the image, of the user, and of a session.

use super::body::body;
use super::faults::{HOOKS, SESSIONS_HOOKS, SETTING_HOOKS, SETTING_SESSIONS_HOOKS};
use super::params::CHECK;
use crate::auth::scope::Scope;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, hooks};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "get_hooks",
        verb: Verb::Get,
        paths: &["/api/hooks"],
        access: Access::Scope(Scope::HooksRead),
        summary: "The hooks of every level, what of them a session runs, and the events there are.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::Hooks),
        faults: HOOKS,
        handler: handler!(hooks::all),
    },
    Route {
        name: "get_image_hooks",
        verb: Verb::Get,
        paths: &["/api/hooks/image"],
        access: Access::Scope(Scope::HooksRead),
        summary: "The hooks that the image brings.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::HookLevel),
        faults: HOOKS,
        handler: handler!(hooks::image),
    },
    Route {
        name: "get_user_hooks",
        verb: Verb::Get,
        paths: &["/api/hooks/user"],
        access: Access::Scope(Scope::HooksRead),
        summary: "The user's hooks, with their tag as `ETag`.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::HookLevel),
        faults: HOOKS,
        handler: handler!(hooks::user),
    },
    Route {
        name: "set_user_hooks",
        verb: Verb::Put,
        paths: &["/api/hooks/user", "/api/hooks"],
        access: Access::Scope(Scope::HooksWrite),
        summary: "Replaces the user's hooks, for sessions that begin from now on. `If-Match` and \
                  `If-None-Match` as in `write_file`.",
        query: &[CHECK],
        body: body(Shape::SetHooks),
        answer: Answer::Ok(Shape::HookLevel),
        faults: SETTING_HOOKS,
        handler: handler!(hooks::set),
    },
    Route {
        name: "get_session_hooks",
        verb: Verb::Get,
        paths: &["/api/sessions/{id}/hooks"],
        access: Access::Scope(Scope::HooksRead),
        summary: "The hooks that a session was given itself, while it lives, with their tag as \
                  `ETag`.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::HookLevel),
        faults: SESSIONS_HOOKS,
        handler: handler!(hooks::of_session),
    },
    Route {
        name: "set_session_hooks",
        verb: Verb::Put,
        paths: &["/api/sessions/{id}/hooks"],
        access: Access::Scope(Scope::HooksWrite),
        summary: "Replaces them, from the session's next start of Claude on: when it is resumed, or \
                  changes its driver. `If-Match` and `If-None-Match` as in `write_file`.",
        query: &[CHECK],
        body: body(Shape::SetHooks),
        answer: Answer::Ok(Shape::HookLevel),
        faults: SETTING_SESSIONS_HOOKS,
        handler: handler!(hooks::set_of_session),
    },
    Route {
        name: "get_hooks_schema",
        verb: Verb::Get,
        paths: &["/api/hooks/schema"],
        access: Access::Scope(Scope::HooksRead),
        summary: "What a file of hooks may have, as a JSON Schema for the version of Claude Code \
                  that the newest session has told of.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::JsonSchema),
        faults: &[],
        handler: handler!(hooks::schema),
    },
    Route {
        name: "try_hook",
        verb: Verb::Post,
        paths: &["/api/hooks/try"],
        access: Access::Scope(Scope::HooksWrite),
        summary: "Runs a hook's command once, as the box's user, with a sample of its input and \
                  for ten seconds at most.",
        query: &[],
        body: body(Shape::TryHook),
        answer: Answer::Ok(Shape::TriedHook),
        faults: HOOKS,
        handler: handler!(hooks::attempt),
    },
];
