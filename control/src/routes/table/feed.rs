//! The whole box, live.

use super::params::{CURSOR, KEEPALIVE};
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Verb, feed};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "follow_box",
        verb: Verb::Get,
        paths: &["/api/events", "/sse/events"],
        access: Access::Caller,
        summary: "What changes in the box as server-sent events: sessions and shells as far as the \
                  caller may read them, and the box itself. `Last-Event-ID` is understood.",
        query: &[CURSOR],
        body: None,
        answer: Answer::Feed,
        faults: &[],
        handler: handler!(now feed::events),
    },
    Route {
        name: "follow_box_socket",
        verb: Verb::Get,
        paths: &["/api/stream", "/ws/events"],
        access: Access::Caller,
        summary: "The same over a WebSocket.",
        query: &[CURSOR, KEEPALIVE],
        body: None,
        answer: Answer::FeedSocket,
        faults: &[Code::UpgradeRequired],
        handler: handler!(now feed::socket),
    },
];
