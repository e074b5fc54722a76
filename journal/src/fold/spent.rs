//! What a session used, by day and model: sums of its `usage` frames.
//!
//! What Claude reports is the agent's word, so how much of it is kept is bounded.

use cib_protocol::limits::Usage;
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Sums that are kept of one session. With more, the oldest are told as one.
pub const MAX_SUMS: usize = 64;

/// Characters of a model's name that are kept.
const MAX_MODEL: usize = 100;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(i64);

impl Day {
    /// The day of a moment.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(at.as_millis().div_euclid(DAY))
    }

    /// The day so many days later, or before.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Its first moment.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(DAY))
    }
}

impl std::fmt::Display for Day {
    /// As in `2026-11-21`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.start().to_string();
        f.write_str(text.split_once('T').map_or(&*text, |(day, _)| day))
    }
}

/// What was used on one day with one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// The day on which the turns ended.
    #[serde(rename = "d")]
    pub day: Day,
    /// The model that the session had then; empty if that is not known.
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// How many turns.
    #[serde(rename = "t")]
    pub turns: u64,
    /// What they used.
    #[serde(rename = "u")]
    pub usage: Usage,
}

/// The sums of a session, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spent(Vec<Sum>);

impl Spent {
    /// The sums.
    #[must_use]
    pub fn sums(&self) -> &[Sum] {
        &self.0
    }

    /// Takes up a turn.
    pub fn add(&mut self, at: Timestamp, model: Option<&str>, usage: &Usage) {
        let day = Day::of(at);
        let model = model.unwrap_or_default();
        let model = match model.char_indices().nth(MAX_MODEL) {
            Some((end, _)) => &model[..end],
            None => model,
        };
        let mut known = self.0.iter_mut().rev();
        let sum = known.find(|sum| sum.day == day && sum.model == model);
        if let Some(sum) = sum {
            sum.turns = sum.turns.saturating_add(1);
            sum.usage.add(usage);
            return;
        }
        if self.0.len() >= MAX_SUMS {
            self.join_oldest();
        }
        // A clock that was set back is no reason to be out of order.
        let place = self.0.partition_point(|sum| sum.day <= day);
        let sum = Sum {
            day,
            model: model.to_owned(),
            turns: 1,
            usage: *usage,
        };
        self.0.insert(place, sum);
    }

    /// Makes one of the oldest sum and the next of its model, or of the next of all.
    fn join_oldest(&mut self) {
        let oldest = self.0.remove(0);
        let same = self.0.iter().position(|sum| sum.model == oldest.model);
        if let Some(sum) = self.0.get_mut(same.unwrap_or(0)) {
            sum.turns = sum.turns.saturating_add(oldest.turns);
            sum.usage.add(&oldest.usage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64) -> Usage {
        Usage {
            input,
            cost_usd: 0.5,
            ..Usage::default()
        }
    }

    fn on(day: i64) -> Timestamp {
        Timestamp::from_millis(day * DAY + 1000)
    }

    #[test]
    fn a_day_is_one_of_the_calendar() {
        assert_eq!(Day::of(on(0)).to_string(), "1970-01-01");
        assert_eq!(
            Day::of(Timestamp::from_millis(-1)).to_string(),
            "1969-12-31"
        );
        assert_eq!(Day::of(on(20_000)).plus(3).to_string(), "2024-10-07");
    }

    #[test]
    fn turns_are_summed_by_day_and_model() {
        let mut spent = Spent::default();
        spent.add(on(1), Some("opus"), &usage(1));
        spent.add(on(1), Some("opus"), &usage(2));
        spent.add(on(1), Some("haiku"), &usage(4));
        spent.add(on(2), None, &usage(8));
        let sums: Vec<_> = spent
            .sums()
            .iter()
            .map(|sum| (&*sum.model, sum.turns, sum.usage.input))
            .collect();
        assert_eq!(sums, [("opus", 2, 3), ("haiku", 1, 4), ("", 1, 8)]);
    }

    #[test]
    fn whatever_is_said_is_bounded_and_nothing_of_it_is_lost() {
        let mut spent = Spent::default();
        for day in 0..500 {
            let model = if day % 3 == 0 {
                "x".repeat(1000)
            } else {
                format!("m{day}")
            };
            spent.add(on(day), Some(&model), &usage(1));
        }
        assert_eq!(spent.sums().len(), MAX_SUMS);
        assert_eq!(spent.sums().iter().map(|sum| sum.turns).sum::<u64>(), 500);
        assert!(spent.sums().is_sorted_by_key(|sum| sum.day));
        assert!(serde_json::to_string(&spent).unwrap().len() < 16 << 10);
    }

    #[test]
    fn no_sum_is_beyond_what_can_be_written() {
        let mut spent = Spent::default();
        let much = Usage {
            cost_usd: f64::MAX,
            input: u64::MAX,
            ..Usage::default()
        };
        spent.add(on(1), None, &much);
        spent.add(on(1), None, &much);
        let text = serde_json::to_string(&spent).unwrap();
        let read: Spent = serde_json::from_str(&text).unwrap();
        assert_eq!(read, spent);
    }
}
