//! Accounts.

use super::body::small;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, accounts};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "list_accounts",
        verb: Verb::Get,
        paths: &["/api/auth/accounts"],
        access: Access::Administrator,
        summary: "Every account.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::AccountList),
        faults: &[],
        handler: handler!(now accounts::list),
    },
    Route {
        name: "create_account",
        verb: Verb::Post,
        paths: &["/api/auth/accounts"],
        access: Access::Administrator,
        summary: "Makes an account.",
        query: &[],
        body: small(Shape::CreateAccount),
        answer: Answer::Created(Shape::AccountInfo),
        faults: &[
            Code::AccountExists,
            Code::TooManyAccounts,
            Code::AuthDisabled,
        ],
        handler: handler!(accounts::create),
    },
    Route {
        name: "change_account",
        verb: Verb::Patch,
        paths: &["/api/auth/accounts/{name}"],
        access: Access::Caller,
        summary: "Gives an account another password, its own holder with the current one, or \
                  other scopes. Another password ends its other sign-ins.",
        query: &[],
        body: small(Shape::ChangeAccount),
        answer: Answer::Ok(Shape::AccountInfo),
        faults: &[
            Code::ScopeMissing,
            Code::WrongPassword,
            Code::NoSuchAccount,
            Code::AuthDisabled,
        ],
        handler: handler!(accounts::change),
    },
    Route {
        name: "remove_account",
        verb: Verb::Delete,
        paths: &["/api/auth/accounts/{name}"],
        access: Access::Administrator,
        summary: "Removes an account and ends its sign-ins. Device tokens that it minted stay.",
        query: &[],
        body: None,
        answer: Answer::Nothing,
        faults: &[Code::NoSuchAccount, Code::AuthDisabled],
        handler: handler!(accounts::remove),
    },
];
