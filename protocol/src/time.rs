//! One spelling of time on every wire: RFC 3339, UTC, milliseconds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment in UTC with millisecond precision, written `2026-11-21T13:42:57.123Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The wall clock's reading. It may step backwards; order is given by `seq`, not by this.
    #[must_use]
    pub fn now() -> Self {
        Self::from_millis(jiff::Timestamp::now().as_millisecond())
    }

    /// From milliseconds since 1970-01-01T00:00:00Z. Values that no calendar can show are
    /// clamped to the nearest that one can.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(
            jiff::Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 {
                jiff::Timestamp::MIN
            } else {
                jiff::Timestamp::MAX
            }),
        )
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// As mail has it (RFC 5322): `Tue, 14 Nov 2023 22:13:20 +0000`.
    #[must_use]
    pub fn for_mail(self) -> String {
        // Only years that no mail has cannot be written so.
        let printed = jiff::fmt::rfc2822::to_string(&self.0.to_zoned(jiff::tz::TimeZone::UTC));
        printed.unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse::<jiff::Timestamp>()
            .map(|t| Self::from_millis(t.as_millisecond()))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_three_decimals_in_utc() {
        assert_eq!(
            Timestamp::from_millis(1_700_000_000_120).to_string(),
            "2023-11-14T22:13:20.120Z"
        );
        assert_eq!(
            Timestamp::from_millis(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
    }

    proptest::proptest! {
        #[test]
        fn survives_its_own_spelling(millis in 0i64..4_000_000_000_000) {
            let t = Timestamp::from_millis(millis);
            let json = serde_json::to_string(&t).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t);
        }
    }
}
