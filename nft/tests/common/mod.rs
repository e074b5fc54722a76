//! What the tests of this crate share.
#![expect(dead_code, reason = "every test binary uses a part of it")]
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

pub(crate) mod lab;
pub(crate) mod policies;
pub(crate) mod sniffer;
pub(crate) mod sys;
