//! What several tests share.

pub mod replay;
