//! What is logged, as one word in a configuration: `off`, `error`, `warn`, `info`, `debug` or
//! `trace`. For `#[serde(with = "level")]`. The names that are looked up and the targets that are
//! connected to are private: `debug` and `trace` alone show them.

use cib_base::log::LevelFilter;
use serde::{Deserialize, Deserializer, Serializer, de};

/// What has changed, and what somebody should look at.
#[must_use]
pub fn default() -> LevelFilter {
    LevelFilter::INFO
}

/// Writes the word.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(level: &LevelFilter, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(level)
}

/// Reads the word.
///
/// # Errors
/// A word that is no level.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LevelFilter, D::Error> {
    let word = String::deserialize(deserializer)?;
    word.parse().map_err(de::Error::custom)
}
