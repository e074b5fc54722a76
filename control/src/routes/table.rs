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

mod body;
mod faults;
mod login;
mod meta;
mod params;
mod sessions;
mod shells;
mod tokens;

use super::Route;

pub(super) use params::MAX_LIST;

/// The rows, noun by noun.
const NOUNS: [&[Route]; 5] = [
    meta::ROUTES,
    sessions::ROUTES,
    shells::ROUTES,
    login::ROUTES,
    tokens::ROUTES,
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
    use crate::routes::{Access, Verb};

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

    #[test]
    fn only_health_is_open() {
        let open: Vec<_> = ROUTES
            .iter()
            .filter(|route| route.access == Access::Open)
            .map(|route| route.name)
            .collect();
        assert_eq!(open, ["health"]);
    }

    #[test]
    fn a_route_that_changes_something_needs_a_scope_to_write_or_to_type() {
        for route in ROUTES.iter().filter(|route| route.verb != Verb::Get) {
            let Access::Scope(scope) = route.access else {
                panic!("{} needs a scope", route.name);
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
                    matches!(route.verb, Verb::Post | Verb::Patch),
                    "{}",
                    route.name
                );
            }
        }
    }
}
