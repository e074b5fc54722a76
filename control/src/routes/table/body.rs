//! The bodies of requests.

use crate::routes::{Body, Shape};

/// Most bytes of an input.
const INPUT_LIMIT: usize = 16 * 1024 * 1024;

/// Most bytes of any other body.
const BODY_LIMIT: usize = 1024 * 1024;

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
