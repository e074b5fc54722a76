//! What the tests of this crate share.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

pub(crate) mod lab;
pub(crate) mod policies;
pub(crate) mod sniffer;
pub(crate) mod sys;
