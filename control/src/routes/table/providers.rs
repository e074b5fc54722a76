//! Providers.

use super::body::{optional, small};
use crate::auth::scope::Scope;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, providers};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "list_providers",
        verb: Verb::Get,
        paths: &["/api/providers"],
        access: Access::Scope(Scope::ProvidersRead),
        summary: "Every provider, without its key.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::ProviderList),
        faults: &[],
        handler: handler!(providers::list),
    },
    Route {
        name: "create_provider",
        verb: Verb::Post,
        paths: &["/api/providers"],
        access: Access::Scope(Scope::ProvidersWrite),
        summary: "Makes a provider. Its key is kept, and never shown.",
        query: &[],
        body: small(Shape::SetProvider),
        answer: Answer::Created(Shape::Provider),
        faults: &[Code::TooManyProviders],
        handler: handler!(providers::create),
    },
    Route {
        name: "change_provider",
        verb: Verb::Put,
        paths: &["/api/providers/{id}"],
        access: Access::Scope(Scope::ProvidersWrite),
        summary: "Changes a provider. Without a key it keeps the one that it has, unless it leads to another server.",
        query: &[],
        body: small(Shape::SetProvider),
        answer: Answer::Ok(Shape::Provider),
        faults: &[Code::NoSuchProvider],
        handler: handler!(providers::change),
    },
    Route {
        name: "remove_provider",
        verb: Verb::Delete,
        paths: &["/api/providers/{id}"],
        access: Access::Scope(Scope::ProvidersWrite),
        summary: "Forgets a provider and its key. Sessions that run there go on; they cannot be resumed there.",
        query: &[],
        body: None,
        answer: Answer::Nothing,
        faults: &[Code::NoSuchProvider],
        handler: handler!(providers::remove),
    },
    Route {
        name: "probe_provider",
        verb: Verb::Post,
        paths: &["/api/providers/probe", "/api/providers/{id}/probe"],
        access: Access::Scope(Scope::ProvidersWrite),
        summary: "Asks a provider, kept or not made yet, whether it takes its key.",
        query: &[],
        body: optional(Shape::ProbeProvider),
        answer: Answer::Ok(Shape::ProviderProbe),
        faults: &[Code::NoSuchProvider, Code::Busy],
        handler: handler!(providers::probe),
    },
];
