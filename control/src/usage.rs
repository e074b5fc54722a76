//! What the box used: the sums that the index has of each session, by day, session or model.

use std::collections::HashMap;
use std::sync::Arc;

use cib_journal::fold::spent::{Day, Spent};
use cib_protocol::api::{UsageBy, UsageReport, UsageRow};
use cib_protocol::limits::Usage;
use cib_protocol::session::SessionMeta;
use cib_protocol::time::Timestamp;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};

use crate::fault::{Code, Fault};

/// Rows of a report.
const MAX_ROWS: usize = 1000;

/// Days that a report goes back if nothing else is asked for, today included.
const DAYS: i64 = 30;

/// Which days are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    since: Day,
    until: Day,
}

impl Span {
    /// From what was asked for.
    ///
    /// # Errors
    /// [`Code::BadValue`] if either is no day and no moment, or the first is behind the last.
    pub fn parse(since: Option<&str>, until: Option<&str>, now: Timestamp) -> Result<Self, Fault> {
        let until = until.map_or(Ok(Day::of(now)), |text| day("until", text))?;
        let since = since.map_or(Ok(until.plus(1 - DAYS)), |text| day("since", text))?;
        if since > until {
            return Err(Fault::new(Code::BadValue, "`since` is behind `until`"));
        }
        Ok(Self { since, until })
    }
}

/// The day that a text names: itself, or a moment of it.
fn day(name: &str, text: &str) -> Result<Day, Fault> {
    let moment = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{text}T00:00:00Z")
    };
    let deserializer: StrDeserializer<'_, Error> = moment.as_str().into_deserializer();
    Timestamp::deserialize(deserializer)
        .map(Day::of)
        .map_err(|_| {
            let detail = format!("`{name}` is a day as `2026-11-21`, or a moment in RFC 3339");
            Fault::new(Code::BadValue, detail)
        })
}

/// Sums up.
#[must_use]
pub fn report(
    sessions: &[(Arc<SessionMeta>, Arc<Spent>)],
    span: Span,
    by: UsageBy,
    incomplete: bool,
) -> UsageReport {
    let (mut total, mut turns) = (Usage::default(), 0_u64);
    let mut rows: HashMap<String, UsageRow> = HashMap::new();
    for (meta, spent) in sessions {
        let sums = spent.sums().iter();
        for sum in sums.filter(|sum| span.since <= sum.day && sum.day <= span.until) {
            let (key, title) = match by {
                UsageBy::Day => (sum.day.to_string(), None),
                UsageBy::Session => (meta.id.to_string(), meta.title.clone()),
                UsageBy::Model => (sum.model.clone(), None),
            };
            let row = rows.entry(key).or_insert_with_key(|key| UsageRow {
                key: key.clone(),
                title,
                usage: Usage::default(),
                turns: 0,
            });
            row.usage.add(&sum.usage);
            row.turns = row.turns.saturating_add(sum.turns);
            total.add(&sum.usage);
            turns = turns.saturating_add(sum.turns);
        }
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    match by {
        // The newest stay, if there are too many.
        UsageBy::Day => rows.sort_unstable_by(|a, b| b.key.cmp(&a.key)),
        UsageBy::Session | UsageBy::Model => rows.sort_unstable_by(|a, b| {
            let dearer = b.usage.cost_usd.total_cmp(&a.usage.cost_usd);
            dearer
                .then_with(|| b.usage.output.cmp(&a.usage.output))
                .then_with(|| a.key.cmp(&b.key))
        }),
    }
    rows.truncate(MAX_ROWS);
    if by == UsageBy::Day {
        rows.reverse();
    }
    UsageReport {
        since: span.since.to_string(),
        until: span.until.to_string(),
        group_by: by,
        rows,
        total,
        turns,
        incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    fn span(since: Option<&str>, until: Option<&str>) -> Result<(String, String), Code> {
        let now = moment("2026-11-21T23:59:59Z");
        let span = Span::parse(since, until, now).map_err(|fault| fault.code())?;
        Ok((span.since.to_string(), span.until.to_string()))
    }

    #[test]
    fn days_are_days_or_moments_and_thirty_if_nothing_is_said() {
        let days = |since: &str, until: &str| Ok((since.to_owned(), until.to_owned()));
        assert_eq!(span(None, None), days("2026-10-23", "2026-11-21"));
        let moments = span(Some("2026-11-01"), Some("2026-11-02T03:00:00+05:00"));
        assert_eq!(moments, days("2026-11-01", "2026-11-01"));
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-21T", "1"] {
            assert_eq!(span(Some(wrong), None), Err(Code::BadValue), "{wrong}");
        }
        assert_eq!(span(Some("2026-11-22"), None), Err(Code::BadValue));
    }
}
