//! Skeleton.

/// Capabilities that leave every child.
pub const WITHHELD: &[&str] = &[];
