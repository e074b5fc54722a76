//! Forges.

use super::params::{PAGE, REPOSITORY_WORDS};
use crate::auth::scope::Scope;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, forges};

const READ: Access = Access::Scope(Scope::TasksRead);

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "list_forges",
        verb: Verb::Get,
        paths: &["/api/forges"],
        access: READ,
        summary: "The forges that the box has an account at, and what each says of it: login, scopes \
                  of the token, and how many more calls it takes. A forge that cannot be used is \
                  listed with the reason.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::ForgeList),
        faults: &[],
        handler: handler!(forges::list),
    },
    Route {
        name: "list_forge_repositories",
        verb: Verb::Get,
        paths: &["/api/forges/{host}/repositories"],
        access: READ,
        summary: "Repositories that the account sees, the last changed first, by pages of 100 at most.",
        query: &[REPOSITORY_WORDS, PAGE],
        body: None,
        answer: Answer::Ok(Shape::ForgeRepositories),
        faults: &[Code::NoSuchForge, Code::ForgeFailed],
        handler: handler!(forges::repositories),
    },
];
