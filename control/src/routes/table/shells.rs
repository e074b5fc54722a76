//! Shells.

use super::body::{body, input};
use super::faults::{ENDING_SHELL, SHELL};
use super::params::{
    AFTER, BEFORE, FROM, KEEPALIVE, KINDS, LIMIT, LIST_LIMIT, PURGE, SIGNAL, TAIL, WAIT,
};
use crate::auth::scope::Scope;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, shells, streams};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
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
        body: input(Shape::Input),
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
        query: &[FROM, BEFORE, LIMIT, KINDS, WAIT],
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
        query: &[FROM, TAIL, KINDS, KEEPALIVE],
        body: None,
        answer: Answer::Socket,
        faults: &[Code::NoSuchShell, Code::UpgradeRequired],
        handler: handler!(streams::shell_socket),
    },
];
