//! What several tests share.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(
    clippy::allow_attributes,
    reason = "whether anything is unused differs by test"
)]

pub(crate) mod keeper;
pub(crate) mod real;
pub(crate) mod replay;
pub(crate) mod terminal;
