//! The table itself: the rows of each noun in a file of its own, joined here.

/// A row's handler, from a function that takes the call. `now` is for one that does not wait.
macro_rules! handler {
    (now $($path:tt)+) => {
        (|call: Call| -> Served { Box::pin(std::future::ready($($path)+(&call))) })
            as fn(Call) -> Served
    };
    ($($path:tt)+) => {
        (|call: Call| -> Served { Box::pin($($path)+(call)) }) as fn(Call) -> Served
    };
}

mod accounts;
mod body;
mod envelope;
mod faults;
mod feed;
mod files;
mod forges;
mod hooks;
mod login;
mod meta;
mod notices;
mod offers;
mod params;
mod place;
mod protocols;
mod providers;
mod search;
mod sessions;
mod shells;
mod sign_ins;
mod tasks;
mod tokens;

use super::Route;

/// The rows, noun by noun.
const NOUNS: [&[Route]; 19] = [
    meta::ROUTES,
    feed::ROUTES,
    sessions::ROUTES,
    search::ROUTES,
    shells::ROUTES,
    offers::ROUTES,
    tasks::ROUTES,
    forges::ROUTES,
    login::ROUTES,
    files::ROUTES,
    hooks::ROUTES,
    place::ROUTES,
    notices::ROUTES,
    providers::ROUTES,
    tokens::ROUTES,
    sign_ins::ROUTES,
    accounts::ROUTES,
    envelope::ROUTES,
    protocols::ROUTES,
];

/// Every route of the box.
pub const ROUTES: &[Route] = &joined();

/// How many rows there are.
const fn count() -> usize {
    let (mut noun, mut rows) = (0, 0);
    while noun < NOUNS.len() {
        rows += NOUNS[noun].len();
        noun += 1;
    }
    rows
}

/// The rows one after the other: `concat` of slices, which no constant can call.
const fn joined() -> [Route; count()] {
    let mut all = [meta::ROUTES[0]; count()];
    let (mut noun, mut at) = (0, 0);
    while noun < NOUNS.len() {
        let mut row = 0;
        while row < NOUNS[noun].len() {
            all[at] = NOUNS[noun][row];
            at += 1;
            row += 1;
        }
        noun += 1;
    }
    all
}
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routes::{Access, Answer, Shape, Verb};

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

    /// Signing in is for whoever is not let in yet. It opens nothing to who does not show a
    /// password or a token. A link is its own token, for one answer.
    #[test]
    fn only_health_signing_in_links_and_what_is_sealed_are_open() {
        let open: Vec<_> = ROUTES
            .iter()
            .filter(|route| route.access == Access::Open)
            .map(|route| route.name)
            .collect();
        assert_eq!(
            open,
            [
                "health",
                "find_task_repository",
                "runner_health",
                "show_link",
                "answer_link",
                "sign_in",
                "challenge",
                "sealed",
                "sealed_line"
            ]
        );
    }

    #[test]
    fn of_what_anybody_may_send_little_is_held() {
        let open = ROUTES.iter().filter(|route| route.access == Access::Open);
        for (name, body) in open.filter_map(|route| Some((route.name, route.body?))) {
            // What is sealed is opened piece by piece.
            let is_sealed = body.shape == Shape::Envelope;
            assert!(
                is_sealed || body.limit <= 64 * 1024,
                "{name}: {}",
                body.limit
            );
        }
    }

    /// What everybody may change: how they are signed in, their own password, which browsers of theirs
    /// are pushed to, what a link answers, and which repository is found for a task by whom control has
    /// given the key. What the handlers of these let pass is tested in `control/tests/api/sign_ins.rs`,
    /// `push.rs`, `links.rs` and `seeking.rs`.
    const OWN: [&str; 10] = [
        "create_push_subscription",
        "remove_push_subscription",
        "test_push_subscription",
        "answer_link",
        "find_task_repository",
        "sign_in",
        "sign_out",
        "end_sign_in",
        "end_other_sign_ins",
        "change_account",
    ];

    #[test]
    fn a_route_that_changes_something_needs_a_scope_to_write_or_to_type() {
        for route in ROUTES.iter().filter(|route| route.verb != Verb::Get) {
            let scope = match route.access {
                Access::Scope(scope) => scope,
                // It needs them all.
                Access::Administrator => continue,
                // What is inside is asked as any other request is.
                Access::Open if matches!(route.answer, Answer::Sealed) => continue,
                Access::Caller | Access::Open if OWN.contains(&route.name) => continue,
                // What a tool does is asked as any other request is.
                Access::Caller if route.name == "mcp" => continue,
                _ => panic!("{} needs a scope", route.name),
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
                    matches!(route.verb, Verb::Post | Verb::Put | Verb::Patch),
                    "{}",
                    route.name
                );
            }
        }
    }
}
