//! Errors as a log shows them: on one line, with their causes.

use std::error::Error;
use std::iter::successors;

/// An error with its causes, the outermost first. Each error's own message says nothing of its
/// source, so nothing shows twice.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    joined(Some(error))
}

/// The causes of an error without the error itself; empty if there are none.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    joined(error.source())
}

fn joined(first: Option<&dyn Error>) -> String {
    let texts: Vec<String> = successors(first, |&error| error.source())
        .map(ToString::to_string)
        .collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open it")]
    struct Inner(#[source] io::Error);

    #[test]
    fn every_cause_is_named_once_the_outermost_first() {
        let error = Outer(Inner(io::Error::other("no such thing")));
        assert_eq!(chain(&error), "cannot start: cannot open it: no such thing");
        assert_eq!(causes(&error), "cannot open it: no such thing");
        assert_eq!(causes(&io::Error::other("alone")), "");
    }
}
