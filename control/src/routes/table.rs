//! The table itself.

mod faults;
mod params;

use super::{Access, Answer, Body, Kind, Param, Route, Served, Shape, Verb};
use super::{call::Call, chat, commands, login, meta, sessions, shells, streams, tokens};
use crate::auth::scope::Scope;
use crate::fault::Code;
use faults::{ANSWERING, CREATING, ENDING, ENDING_SHELL, KEEPER, LOGIN, SHELL};
use params::{AFTER, FROM, KINDS, LIMIT, LIST_LIMIT, PURGE, SIGNAL, SINCE, TAIL, WAIT};

pub(super) use params::MAX_LIST;

/// Most bytes of an input.
const INPUT_LIMIT: usize = 16 * 1024 * 1024;

/// Most bytes of any other body.
const BODY_LIMIT: usize = 1024 * 1024;

const fn body(shape: Shape) -> Option<Body> {
    Some(Body {
        shape,
        limit: BODY_LIMIT,
        required: true,
    })
}

macro_rules! handler {
    (now $($path:tt)+) => {
        (|call: Call| -> Served { Box::pin(std::future::ready($($path)+(&call))) })
            as fn(Call) -> Served
    };
    ($($path:tt)+) => {
        (|call: Call| -> Served { Box::pin($($path)+(call)) }) as fn(Call) -> Served
    };
}

/// Every route of the box.
pub const ROUTES: &[Route] = &[
    Route {
        name: "health",
        verb: Verb::Get,
        paths: &["/api/health"],
        access: Access::Open,
        summary: "Whether the box works. Open to everybody, so it says no more.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::Health),
        faults: &[],
        handler: handler!(meta::health),
    },
    Route {
        name: "info",
        verb: Verb::Get,
        paths: &["/api/info"],
        access: Access::Caller,
        summary: "The box: version, egress, services, sessions, and who asks.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::Info),
        faults: &[],
        handler: handler!(meta::info),
    },
    Route {
        name: "metrics",
        verb: Verb::Get,
        paths: &["/metrics"],
        access: Access::Scope(Scope::UsageRead),
        summary: "Counters in the Prometheus text format.",
        query: &[],
        body: None,
        answer: Answer::Metrics,
        faults: &[],
        handler: handler!(meta::metrics),
    },
    Route {
        name: "list_sessions",
        verb: Verb::Get,
        paths: &["/api/sessions"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "The sessions that the box remembers, the newest first, by parts.",
        query: &[LIST_LIMIT, AFTER],
        body: None,
        answer: Answer::Ok(Shape::SessionList),
        faults: &[],
        handler: handler!(sessions::list),
    },
    Route {
        name: "create_session",
        verb: Verb::Post,
        paths: &["/api/sessions"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Starts a session, or resumes one. Answers when its keeper is ready.",
        query: &[],
        body: body(Shape::CreateSession),
        answer: Answer::Created(Shape::SessionMeta),
        faults: CREATING,
        handler: handler!(sessions::create),
    },
    Route {
        name: "get_session",
        verb: Verb::Get,
        paths: &["/api/sessions/{id}"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "One session.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::SessionMeta),
        faults: &[Code::NoSuchSession],
        handler: handler!(sessions::get),
    },
    Route {
        name: "change_session",
        verb: Verb::Patch,
        paths: &["/api/sessions/{id}"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Gives a session another title.",
        query: &[],
        body: body(Shape::ChangeSession),
        answer: Answer::Ok(Shape::Accepted),
        faults: KEEPER,
        handler: handler!(commands::title),
    },
    Route {
        name: "end_session",
        verb: Verb::Delete,
        paths: &["/api/sessions/{id}"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Ends a session and answers what it is then, after 3 seconds at most. \
                  Its journal stays, unless it is purged. Ending an ended session changes nothing.",
        query: &[SIGNAL, PURGE],
        body: None,
        answer: Answer::Ok(Shape::EndedSession),
        faults: ENDING,
        handler: handler!(sessions::end),
    },
    Route {
        name: "send_input",
        verb: Verb::Post,
        paths: &["/api/sessions/{id}/input"],
        access: Access::Scope(Scope::SessionsInput),
        summary: "Sends a message to Claude, or bytes to its terminal.",
        query: &[],
        body: Some(Body {
            shape: Shape::Input,
            limit: INPUT_LIMIT,
            required: true,
        }),
        answer: Answer::Ok(Shape::InputTaken),
        faults: KEEPER,
        handler: handler!(commands::input),
    },
    Route {
        name: "answer_question",
        verb: Verb::Post,
        paths: &["/api/sessions/{id}/answer"],
        access: Access::Scope(Scope::SessionsInput),
        summary: "Answers an open question or permission.",
        query: &[],
        body: body(Shape::Answer),
        answer: Answer::Ok(Shape::Accepted),
        faults: ANSWERING,
        handler: handler!(commands::answer),
    },
    Route {
        name: "resize_terminal",
        verb: Verb::Post,
        paths: &["/api/sessions/{id}/resize"],
        access: Access::Scope(Scope::SessionsInput),
        summary: "Changes the size of the session's terminal.",
        query: &[],
        body: body(Shape::Resize),
        answer: Answer::Ok(Shape::Accepted),
        faults: KEEPER,
        handler: handler!(commands::resize),
    },
    Route {
        name: "interrupt",
        verb: Verb::Post,
        paths: &["/api/sessions/{id}/interrupt"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Ends the running turn; the session lives on.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::Accepted),
        faults: KEEPER,
        handler: handler!(commands::interrupt),
    },
    Route {
        name: "set_model",
        verb: Verb::Post,
        paths: &["/api/sessions/{id}/model"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Changes the model from the next request on.",
        query: &[],
        body: body(Shape::SetModel),
        answer: Answer::Ok(Shape::ModelSet),
        faults: KEEPER,
        handler: handler!(commands::model),
    },
    Route {
        name: "set_driver",
        verb: Verb::Post,
        paths: &["/api/sessions/{id}/driver"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Moves the session to the other driver; its conversation goes with it.",
        query: &[],
        body: body(Shape::SetDriver),
        answer: Answer::Ok(Shape::Accepted),
        faults: KEEPER,
        handler: handler!(commands::driver),
    },
    Route {
        name: "set_permission",
        verb: Verb::Post,
        paths: &["/api/sessions/{id}/permission"],
        access: Access::Scope(Scope::SessionsWrite),
        summary: "Changes what Claude may do without asking.",
        query: &[],
        body: body(Shape::SetPermission),
        answer: Answer::Ok(Shape::Accepted),
        faults: KEEPER,
        handler: handler!(commands::permission),
    },
    Route {
        name: "get_usage",
        verb: Verb::Get,
        paths: &["/api/sessions/{id}/usage"],
        access: Access::Scope(Scope::UsageRead),
        summary: "Tokens, cost and turns of a session, and its limits.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::SessionUsage),
        faults: &[Code::NoSuchSession],
        handler: handler!(sessions::usage),
    },
    Route {
        name: "get_transcript",
        verb: Verb::Get,
        paths: &["/api/sessions/{id}/transcript"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "Frames from the journal, by page or by long poll.",
        query: &[FROM, LIMIT, KINDS, WAIT],
        body: None,
        answer: Answer::Ok(Shape::Transcript),
        faults: &[Code::NoSuchSession],
        handler: handler!(streams::transcript),
    },
    Route {
        name: "get_chat",
        verb: Verb::Get,
        paths: &["/api/sessions/{id}/chat"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "The session as a conversation, for clients too small for frames.",
        query: &[SINCE],
        body: None,
        answer: Answer::Ok(Shape::Chat),
        faults: &[Code::NoSuchSession, Code::JournalUnreadable],
        handler: handler!(chat::chat),
    },
    Route {
        name: "send_and_wait",
        verb: Verb::Post,
        paths: &["/api/sessions/{id}/send"],
        access: Access::Scope(Scope::SessionsInput),
        summary: "Sends a message and answers with what was said until the turn ended or \
                  asked something.",
        query: &[],
        body: body(Shape::Send),
        answer: Answer::OkOrPartial(Shape::Chat),
        faults: KEEPER,
        handler: handler!(chat::send),
    },
    Route {
        name: "follow_events",
        verb: Verb::Get,
        paths: &["/api/sessions/{id}/events", "/sse/sessions/{id}"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "Frames as server-sent events, from any seq on until the session ends. \
                  `Last-Event-ID` is understood.",
        query: &[FROM, TAIL, KINDS],
        body: None,
        answer: Answer::Events,
        faults: &[Code::NoSuchSession],
        handler: handler!(streams::events),
    },
    Route {
        name: "follow_socket",
        verb: Verb::Get,
        paths: &["/api/sessions/{id}/stream", "/ws/sessions/{id}"],
        access: Access::Scope(Scope::SessionsRead),
        summary: "Frames over a WebSocket, from any seq on until the session ends; commands \
                  come the other way.",
        query: &[FROM, TAIL, KINDS],
        body: None,
        answer: Answer::Socket,
        faults: &[Code::NoSuchSession, Code::UpgradeRequired],
        handler: handler!(streams::socket),
    },
    Route {
        name: "list_shells",
        verb: Verb::Get,
        paths: &["/api/shells"],
        access: Access::Scope(Scope::ShellsRead),
        summary: "Every shell that the box remembers, the newest first.",
        query: &[LIST_LIMIT, AFTER],
        body: None,
        answer: Answer::Ok(Shape::ShellList),
        faults: &[],
        handler: handler!(shells::list),
    },
    Route {
        name: "create_shell",
        verb: Verb::Post,
        paths: &["/api/shells"],
        access: Access::Scope(Scope::ShellsWrite),
        summary: "Starts the user's shell on a terminal. Answers when it can be typed into.",
        query: &[],
        body: body(Shape::CreateShell),
        answer: Answer::Created(Shape::Shell),
        faults: &[
            Code::WorkdirOutside,
            Code::TooManyShells,
            Code::KeeperFailed,
            Code::NotNow,
            Code::InitUnreachable,
        ],
        handler: handler!(shells::create),
    },
    Route {
        name: "get_shell",
        verb: Verb::Get,
        paths: &["/api/shells/{id}"],
        access: Access::Scope(Scope::ShellsRead),
        summary: "One shell.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::Shell),
        faults: &[Code::NoSuchShell],
        handler: handler!(shells::get),
    },
    Route {
        name: "end_shell",
        verb: Verb::Delete,
        paths: &["/api/shells/{id}"],
        access: Access::Scope(Scope::ShellsWrite),
        summary: "Ends a shell with its jobs and answers what it is then, after 3 seconds at \
                  most. Its journal stays, unless it is purged. Ending an ended shell changes \
                  nothing.",
        query: &[SIGNAL, PURGE],
        body: None,
        answer: Answer::Ok(Shape::EndedShell),
        faults: ENDING_SHELL,
        handler: handler!(shells::end),
    },
    Route {
        name: "type_into_shell",
        verb: Verb::Post,
        paths: &["/api/shells/{id}/input"],
        access: Access::Scope(Scope::ShellsInput),
        summary: "Types into a shell. Text is typed as it is; Enter is `\\r`.",
        query: &[],
        body: Some(Body {
            shape: Shape::Input,
            limit: INPUT_LIMIT,
            required: true,
        }),
        answer: Answer::Ok(Shape::InputTaken),
        faults: SHELL,
        handler: handler!(shells::input),
    },
    Route {
        name: "resize_shell",
        verb: Verb::Post,
        paths: &["/api/shells/{id}/resize"],
        access: Access::Scope(Scope::ShellsInput),
        summary: "Changes the size of a shell's terminal.",
        query: &[],
        body: body(Shape::Resize),
        answer: Answer::Ok(Shape::Accepted),
        faults: SHELL,
        handler: handler!(shells::resize),
    },
    Route {
        name: "get_shell_transcript",
        verb: Verb::Get,
        paths: &["/api/shells/{id}/transcript"],
        access: Access::Scope(Scope::ShellsRead),
        summary: "Frames from a shell's journal, by page or by long poll.",
        query: &[FROM, LIMIT, KINDS, WAIT],
        body: None,
        answer: Answer::Ok(Shape::Transcript),
        faults: &[Code::NoSuchShell],
        handler: handler!(streams::shell_transcript),
    },
    Route {
        name: "follow_shell_events",
        verb: Verb::Get,
        paths: &["/api/shells/{id}/events", "/sse/shells/{id}"],
        access: Access::Scope(Scope::ShellsRead),
        summary: "A shell's frames as server-sent events, as those of a session.",
        query: &[FROM, TAIL, KINDS],
        body: None,
        answer: Answer::Events,
        faults: &[Code::NoSuchShell],
        handler: handler!(streams::shell_events),
    },
    Route {
        name: "follow_shell_socket",
        verb: Verb::Get,
        paths: &["/api/shells/{id}/stream", "/ws/shells/{id}"],
        access: Access::Scope(Scope::ShellsRead),
        summary: "A shell over a WebSocket: as frames and commands, or with the subprotocol \
                  `binary` as the terminal's bytes both ways.",
        query: &[FROM, TAIL, KINDS],
        body: None,
        answer: Answer::Socket,
        faults: &[Code::NoSuchShell, Code::UpgradeRequired],
        handler: handler!(streams::shell_socket),
    },
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
        body: Some(Body {
            shape: Shape::StartLogin,
            limit: BODY_LIMIT,
            required: false,
        }),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_no_two_rows_serve_the_same() {
        let names: BTreeSet<_> = ROUTES.iter().map(|route| route.name).collect();
        assert_eq!(names.len(), ROUTES.len());
        let served: Vec<_> = ROUTES
            .iter()
            .flat_map(|route| route.paths.iter().map(|path| (route.verb, *path)))
            .collect();
        assert_eq!(served.iter().collect::<BTreeSet<_>>().len(), served.len());
    }

    #[test]
    fn only_health_is_open() {
        let open: Vec<_> = ROUTES
            .iter()
            .filter(|route| route.access == Access::Open)
            .map(|route| route.name)
            .collect();
        assert_eq!(open, ["health"]);
    }

    #[test]
    fn a_route_that_changes_something_needs_a_scope_to_write_or_to_type() {
        for route in ROUTES.iter().filter(|route| route.verb != Verb::Get) {
            let Access::Scope(scope) = route.access else {
                panic!("{} needs a scope", route.name);
            };
            let scope = scope.as_str();
            assert!(
                scope.ends_with(":write") || scope.ends_with(":input"),
                "{} needs only {scope}",
                route.name
            );
        }
    }

    #[test]
    fn bodies_belong_to_the_methods_that_have_one() {
        for route in ROUTES {
            if route.body.is_some() {
                assert!(
                    matches!(route.verb, Verb::Post | Verb::Patch),
                    "{}",
                    route.name
                );
            }
        }
    }
}
