//! Signing in and out.

use super::body::small;
use super::params::EVERYWHERE;
use crate::fault::Code;
use crate::routes::call::Call;
use crate::routes::{Access, Answer, Route, Served, Shape, Verb, sign_ins};

/// Their rows of the table.
pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "set_up",
        verb: Verb::Post,
        paths: &["/api/auth/setup"],
        access: Access::Administrator,
        summary: "Makes the first account, an administrator's, and signs in with it. Needs the \
                  master token.",
        query: &[],
        body: small(Shape::SetUp),
        answer: Answer::Ok(Shape::SignedIn),
        faults: &[Code::MasterNeeded, Code::AlreadySetUp, Code::AuthDisabled],
        handler: handler!(sign_ins::set_up),
    },
    Route {
        name: "sign_in",
        verb: Verb::Post,
        paths: &["/api/auth/login", "/api/login"],
        access: Access::Open,
        summary: "Signs in with a name and a password, or with a token. Sets the cookie, and \
                  answers with the proof that has to come with it.",
        query: &[],
        body: small(Shape::SignIn),
        answer: Answer::Ok(Shape::SignedIn),
        faults: &[
            Code::Unauthorized,
            Code::CrossOrigin,
            Code::AuthDisabled,
            Code::TooManyAttempts,
            Code::Busy,
        ],
        handler: handler!(sign_ins::sign_in),
    },
    Route {
        name: "sign_out",
        verb: Verb::Post,
        paths: &["/api/auth/logout"],
        access: Access::Caller,
        summary: "Ends the sign-in that asks, with its streams, or all of the same account or \
                  token.",
        query: &[EVERYWHERE],
        body: None,
        answer: Answer::Nothing,
        faults: &[Code::NoSuchSignIn],
        handler: handler!(sign_ins::sign_out),
    },
    Route {
        name: "list_sign_ins",
        verb: Verb::Get,
        paths: &["/api/auth/sessions"],
        access: Access::Caller,
        summary: "Where the caller is signed in; for an administrator, where everybody is.",
        query: &[],
        body: None,
        answer: Answer::Ok(Shape::SignInList),
        faults: &[],
        handler: handler!(now sign_ins::list),
    },
    Route {
        name: "end_other_sign_ins",
        verb: Verb::Delete,
        paths: &["/api/auth/sessions"],
        access: Access::Caller,
        summary: "Ends every sign-in of the same account or token but the one that asks.",
        query: &[],
        body: None,
        answer: Answer::Nothing,
        faults: &[],
        handler: handler!(sign_ins::end_others),
    },
    Route {
        name: "end_sign_in",
        verb: Verb::Delete,
        paths: &["/api/auth/sessions/{id}"],
        access: Access::Caller,
        summary: "Ends a sign-in of the caller, or for an administrator anybody's; its streams \
                  end.",
        query: &[],
        body: None,
        answer: Answer::Nothing,
        faults: &[Code::NoSuchSignIn],
        handler: handler!(sign_ins::end),
    },
];
