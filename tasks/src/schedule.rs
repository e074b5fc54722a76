//! When a task is begun again and again.
//!
//! Five fields, as cron has them: minute, hour, day of the month, month, day of the week (0 and 7 are
//! Sunday), in UTC. A field is `*`, a number, a range `1-5`, either with a step `*/15`, or several of
//! these separated by commas. If both days are given, either will do, as with cron. Names of months
//! and days, `@daily` and seconds are not understood.

use cib_protocol::time::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

/// Days that are looked through for the next time: a 29th of February comes within eight years.
const DAYS: i32 = 8 * 366;

/// Bytes of a schedule, at most.
const MOST: usize = 200;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether either kind of day will do.
    either: bool,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSchedule {
    /// It has another number of fields.
    #[error("has five fields: minute, hour, day, month, day of the week")]
    Fields,
    /// A field cannot be understood.
    #[error("has `{0}`, which is no {1}")]
    Field(String, &'static str),
    /// It never comes.
    #[error("never comes")]
    Never,
}

impl Schedule {
    /// Reads one, and sees that it comes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NoSchedule> {
        let fields: Vec<_> = text.split_ascii_whitespace().take(6).collect();
        let [minute, hour, day, month, weekday] = *fields else {
            return Err(NoSchedule::Fields);
        };
        if text.len() > MOST {
            return Err(NoSchedule::Fields);
        }
        let mut weekdays = field(weekday, 0, 7, "day of the week")?;
        // Sunday has two numbers.
        weekdays = (weekdays | (weekdays >> 7)) & 0x7f;
        let schedule = Self {
            minutes: field(minute, 0, 59, "minute")?,
            hours: field(hour, 0, 23, "hour")?,
            days: field(day, 1, 31, "day of the month")?,
            months: field(month, 1, 12, "month")?,
            weekdays,
            either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match schedule.next(Timestamp::from_millis(0)) {
            Some(_) => Ok(schedule),
            None => Err(NoSchedule::Never),
        }
    }

    /// The first time after this one; `None` if there is none.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_millisecond(after.as_millis()).ok()?;
        let after = after.to_zoned(TimeZone::UTC).datetime();
        let mut date = after.date();
        for day in 0..DAYS {
            if self.has_day(date) {
                for hour in bits(self.hours) {
                    for minute in bits(self.minutes) {
                        let time = date.at(hour, minute, 0, 0);
                        if day > 0 || time > after {
                            let at = time.to_zoned(TimeZone::UTC).ok()?.timestamp();
                            return Some(Timestamp::from_millis(at.as_millisecond()));
                        }
                    }
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let has = |set: u64, bit: i8| set >> bit & 1 == 1;
        let day = has(self.days, date.day());
        let weekday = match date.weekday() {
            Weekday::Sunday => 0,
            other => other.to_monday_one_offset(),
        };
        let weekday = has(self.weekdays, weekday);
        let is_it = if self.either {
            day || weekday
        } else {
            day && weekday
        };
        has(self.months, date.month()) && is_it
    }
}

fn bits(set: u64) -> impl Iterator<Item = i8> {
    (0..60_i8).filter(move |bit| set >> bit & 1 == 1)
}

/// The numbers of a field, as bits.
fn field(text: &str, least: u8, most: u8, what: &'static str) -> Result<u64, NoSchedule> {
    let wrong = || NoSchedule::Field(text.chars().take(20).collect(), what);
    let number = |text: &str| {
        let is_one = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_one);
        number.filter(|number: &u8| (least..=most).contains(number))
    };
    let mut set = 0_u64;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u8>().ok().filter(|step| *step > 0)),
            None => (part, Some(1)),
        };
        let step = step.ok_or_else(wrong)?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((first, last)) => (
                number(first).ok_or_else(wrong)?,
                number(last).ok_or_else(wrong)?,
            ),
            // With a step, a number is where it begins.
            None if part.contains('/') => (number(range).ok_or_else(wrong)?, most),
            None => {
                let one = number(range).ok_or_else(wrong)?;
                (one, one)
            }
        };
        if first > last {
            return Err(wrong());
        }
        for one in (first..=last).step_by(usize::from(step)) {
            set |= 1 << one;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(at.as_millisecond())
    }

    fn next(schedule: &str, after: &str) -> String {
        let schedule = Schedule::parse(schedule).unwrap();
        schedule.next(at(after)).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_that_of_cron() {
        // 2026-11-30 is a Monday.
        for (schedule, expected) in [
            ("* * * * *", "2026-11-30T02:01:00.000Z"),
            ("*/15 * * * *", "2026-11-30T02:15:00.000Z"),
            ("5/20 * * * *", "2026-11-30T02:05:00.000Z"),
            ("0 6 * * 1-5", "2026-11-30T06:00:00.000Z"),
            ("0 1 * * 1", "2026-12-07T01:00:00.000Z"),
            ("30 2 1,15 * *", "2026-12-01T02:30:00.000Z"),
            ("0 0 13 * 5", "2026-12-04T00:00:00.000Z"),
            ("0 0 * * 7", "2026-12-06T00:00:00.000Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(
                next(schedule, "2026-11-30T02:00:00Z"),
                expected,
                "{schedule}"
            );
        }
    }

    #[test]
    fn what_never_comes_or_cannot_be_understood_is_refused() {
        assert_eq!(Schedule::parse("0 0 30 2 *"), Err(NoSchedule::Never));
        assert_eq!(Schedule::parse("0 0 31 4,6,9,11 *"), Err(NoSchedule::Never));
        for bad in ["", "* * * *", "* * * * * *", "@daily"] {
            assert_eq!(Schedule::parse(bad), Err(NoSchedule::Fields), "{bad}");
        }
        for bad in [
            "60", "-1", "+1", "x", "5-1", "*/0", "1,", "*/x", "1-", "1--2",
        ] {
            let text = format!("{bad} * * * *");
            assert!(
                matches!(Schedule::parse(&text), Err(NoSchedule::Field(..))),
                "{bad}"
            );
        }
        assert!(matches!(
            Schedule::parse("* * 0 * *"),
            Err(NoSchedule::Field(..))
        ));
    }

    proptest! {
        #[test]
        fn each_time_is_after_the_last_and_at_a_whole_minute(
            millis in 0..4_000_000_000_000_i64,
            minute in 0..60_u8,
            day in 1..29_u8,
        ) {
            let schedule = Schedule::parse(&format!("{minute} */7 {day} * *")).unwrap();
            let after = Timestamp::from_millis(millis);
            let next = schedule.next(after).unwrap();
            prop_assert!(next > after);
            prop_assert_eq!(next.as_millis() % 60_000, 0);
            prop_assert!(schedule.next(next).unwrap() > next);
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = Schedule::parse(&text);
        }
    }
}
