//! The box itself.

use super::params::{GROUP_BY, SINCE_DAY, UNTIL_DAY};
use crate::auth::scope::Scope;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, meta, usage};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
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
        name: "usage",
        verb: Verb::Get,
        paths: &["/api/usage"],
        access: Access::Scope(Scope::UsageRead),
        summary: "Tokens and money by day, session or model. Days are those of UTC.",
        query: &[SINCE_DAY, UNTIL_DAY, GROUP_BY],
        body: None,
        answer: Answer::Ok(Shape::UsageReport),
        faults: &[],
        handler: handler!(usage::usage),
    },
];
