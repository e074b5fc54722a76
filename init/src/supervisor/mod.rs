//! Services: one actor each, which alone owns its process.

pub mod machine;
