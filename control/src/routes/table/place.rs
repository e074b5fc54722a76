//! Ports, the way out, preferences.

use super::body::body;
use crate::auth::scope::Scope;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, place};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "list_ports",
        verb: Verb::Get,
        paths: &["/api/ports"],
        access: Access::Scope(Scope::PortsRead),
        summary: "What listens in the box, but for what is the box's own.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::PortList),
        faults: &[],
        handler: handler!(place::ports),
    },
    Route {
        name: "open_port",
        verb: Verb::Post,
        paths: &["/api/ports/{port}/open"],
        access: Access::Scope(Scope::PortsWrite),
        summary: "Opens what listens on a port to a browser, at an address that nobody can guess.",
        query: &[],
        body: None,
        answer: Answer::Created(Shape::PortOpened),
        faults: &[Code::NoSuchPort],
        handler: handler!(place::open_port),
    },
    Route {
        name: "proxy_status",
        verb: Verb::Get,
        paths: &["/api/proxy/status"],
        access: Access::Scope(Scope::ProxyRead),
        summary: "How packets leave the box, and how many were not let out.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::ProxyStatus),
        faults: &[Code::NotNow, Code::InitUnreachable],
        handler: handler!(place::proxy),
    },
    Route {
        name: "get_prefs",
        verb: Verb::Get,
        paths: &["/api/prefs"],
        access: Access::Scope(Scope::PrefsRead),
        summary: "Preferences that clients keep with the box.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::Prefs),
        faults: &[],
        handler: handler!(place::prefs),
    },
    Route {
        name: "change_prefs",
        verb: Verb::Patch,
        paths: &["/api/prefs"],
        access: Access::Scope(Scope::PrefsWrite),
        summary: "Changes the preferences that are named; `null` or `\"-\"` takes one away.",
        query: &[],
        body: body(Shape::Prefs),
        answer: Answer::Ok(Shape::Prefs),
        faults: &[],
        handler: handler!(place::change_prefs),
    },
];
