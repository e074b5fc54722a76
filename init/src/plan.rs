//! The boot plan as data.
