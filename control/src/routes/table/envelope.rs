//! The sealed envelope of devices.

use super::body::envelope as body;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Verb, envelope};

/// Its rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "challenge",
        verb: Verb::Get,
        paths: &["/aes/v3"],
        access: Access::Open,
        summary: "A challenge, which a device answers with its first sealed message: \
                  `docs/AES-TRANSPORT.md`.",
        query: &[],
        body: None,
        answer: Answer::Sealed,
        faults: &[],
        handler: handler!(now envelope::challenge),
    },
    Route {
        name: "sealed",
        verb: Verb::Post,
        paths: &["/aes/v3"],
        access: Access::Open,
        summary: "A request to another route of this table, sealed with a device's key, and its \
                  answer.",
        query: &[],
        body: body(),
        answer: Answer::Sealed,
        // The first three are told under seal.
        faults: &[
            Code::BadRecord,
            Code::TokenExpired,
            Code::Clock,
            Code::TooManyAttempts,
            Code::RequestTimeout,
            Code::TooLarge,
        ],
        handler: handler!(envelope::sealed),
    },
    Route {
        name: "sealed_line",
        verb: Verb::Get,
        paths: &["/aes/v3/ws"],
        access: Access::Open,
        summary: "A device's line of sealed records, each a binary message of a WebSocket.",
        query: &[],
        body: None,
        answer: Answer::SealedSocket,
        faults: &[],
        handler: handler!(now envelope::line),
    },
];
