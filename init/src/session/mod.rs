//! Keepers: started when control asks, tidied up after when they die.

pub mod directory;
