//! The bodies of requests.

use crate::routes::{Body, Shape};

/// Most bytes of an input.
const INPUT_LIMIT: usize = 16 * 1024 * 1024;

/// Most bytes of any other body.
const BODY_LIMIT: usize = 1024 * 1024;

/// Most bytes of what anybody may send: a name, a password, a token.
const SMALL_LIMIT: usize = 8 * 1024;

/// Most bytes of what a session says to tools of its own: anybody may send it, and it is held before
/// it is known who did.
const TOOLS_LIMIT: usize = 64 * 1024;

/// A small body that has to be there.
pub(super) const fn small(shape: Shape) -> Option<Body> {
    Some(Body {
        shape,
        limit: SMALL_LIMIT,
        required: true,
    })
}

/// What a session says to tools of its own.
pub(super) const fn tools(shape: Shape) -> Option<Body> {
    Some(Body {
        shape,
        limit: TOOLS_LIMIT,
        required: true,
    })
}

/// A body that has to be there.
pub(super) const fn body(shape: Shape) -> Option<Body> {
    Some(Body {
        shape,
        limit: BODY_LIMIT,
        required: true,
    })
}

/// A body that may be left out.
pub(super) const fn optional(shape: Shape) -> Option<Body> {
    Some(Body {
        shape,
        limit: BODY_LIMIT,
        required: false,
    })
}

/// What is sent to Claude, or typed.
pub(super) const fn input(shape: Shape) -> Option<Body> {
    Some(Body {
        shape,
        limit: INPUT_LIMIT,
        required: true,
    })
}

/// The text of a file, counted as JSON.
pub(super) const fn text(shape: Shape) -> Option<Body> {
    input(shape)
}

/// A message of the sealed envelope, with an input in it.
pub(super) const fn envelope() -> Option<Body> {
    Some(Body {
        shape: Shape::Envelope,
        limit: INPUT_LIMIT + INPUT_LIMIT / 64,
        required: true,
    })
}

/// The bytes of a file. How many there may be is configured.
pub(super) const fn file() -> Option<Body> {
    Some(Body {
        shape: Shape::File,
        limit: usize::MAX,
        required: false,
    })
}
