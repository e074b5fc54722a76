//! Formats one line of the log.

use std::fmt::Write;

use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Format, Level};

/// One line, its newline included.
pub(super) fn line(
    format: Format,
    colours: bool,
    at: Timestamp,
    level: Level,
    service: &str,
    text: &str,
) -> String {
    match format {
        Format::Json => json(at, level, service, text),
        Format::Text => plain(colours, at, level, service, text),
    }
}

fn plain(colours: bool, at: Timestamp, level: Level, service: &str, text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 64);
    let (on, off) = if colours {
        (colour(level), "\x1b[0m")
    } else {
        ("", "")
    };
    // Writing to a string cannot fail.
    let _ = write!(line, "{at} {on}{:<5}{off} {service:<9} ", word(level));
    for character in text.chars() {
        match character {
            '\n' | '\r' => line.push(' '),
            '\t' => line.push('\t'),
            // A service must not be able to move the reader's cursor or colour.
            c if c.is_control() => {
                let _ = write!(line, "{}", c.escape_default());
            }
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

fn json(at: Timestamp, level: Level, service: &str, text: &str) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        ts: Timestamp,
        level: &'static str,
        service: &'a str,
        #[serde(flatten)]
        words: Words,
    }
    let line = Line {
        ts: at,
        level: word(level),
        service,
        words: Words::of(text),
    };
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

/// What a line says: its words, and the fields of one that is an object itself.
#[derive(Serialize)]
struct Words {
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

impl Words {
    /// The line of a service that writes JSON is taken apart, so that it can be searched like
    /// any other; its level was read already, and its time is a moment before ours.
    fn of(text: &str) -> Self {
        let plain = || Self {
            message: text.to_owned(),
            fields: Map::new(),
        };
        if !text.starts_with('{') {
            return plain();
        }
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return plain();
        };
        let Some(Value::String(message)) = fields.remove("message") else {
            return plain();
        };
        for known in ["level", "timestamp", "ts", "time"] {
            fields.remove(known);
        }
        Self { message, fields }
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug | Level::Trace => "\x1b[2m",
    }
}

/// The level of a service's line, and the line without it: `<3>` in front is an error, as
/// `sd-daemon(3)` has it, and so is `ERROR` in five columns or as the field `level` of an
/// object, as Rust's and many other loggers write. A line without one is information, and so
/// is one that would not be shown only because of its words: it is the service's own to
/// filter what it says.
pub(super) fn split_level(line: &str, least: Level) -> (Level, &str) {
    if let Some((digit, rest)) = line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        let level = match digit {
            "0" | "1" | "2" | "3" => Level::Error,
            "4" => Level::Warn,
            "5" | "6" => Level::Info,
            "7" => Level::Debug,
            _ => return (Level::Info, line),
        };
        return (level, rest);
    }
    let (level, rest) = if line.starts_with('{') {
        (level_of_object(line), line)
    } else {
        match line.split_at_checked(6) {
            Some((column, rest)) => (level_of_column(column), rest),
            None => (None, line),
        }
    };
    match level {
        Some(level) if level <= least => (level, rest),
        _ => (Level::Info, line),
    }
}

/// The level in a column of five and the blank after it.
fn level_of_column(column: &str) -> Option<Level> {
    Some(match column {
        "ERROR " => Level::Error,
        " WARN " => Level::Warn,
        " INFO " => Level::Info,
        "DEBUG " => Level::Debug,
        "TRACE " => Level::Trace,
        _ => return None,
    })
}

fn level_of_object(line: &str) -> Option<Level> {
    #[derive(Deserialize)]
    struct Levelled {
        level: String,
    }
    let found: Levelled = serde_json::from_str(line).ok()?;
    Some(match found.level.to_ascii_lowercase().as_str() {
        "error" | "fatal" | "critical" => Level::Error,
        "warn" | "warning" => Level::Warn,
        "info" | "notice" => Level::Info,
        "debug" => Level::Debug,
        "trace" => Level::Trace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, text: &str) -> String {
        line(
            format,
            false,
            Timestamp::from_millis(0),
            Level::Warn,
            "control",
            text,
        )
    }

    #[test]
    fn a_line_has_time_level_service_and_words() {
        assert_eq!(
            written(Format::Text, "ready"),
            "1970-01-01T00:00:00.000Z warn  control   ready\n"
        );
        assert_eq!(
            written(Format::Json, "say \"hi\""),
            "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\"service\":\"control\",\
             \"message\":\"say \\\"hi\\\"\"}\n"
        );
    }

    #[test]
    fn a_line_stays_one_line_and_moves_no_cursor() {
        let text = written(Format::Text, "a\nb\u{1b}[2Jc");
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_level_in_front_is_taken_off() {
        let split = |line| split_level(line, Level::Debug);
        assert_eq!(split("<3>no"), (Level::Error, "no"));
        assert_eq!(split("<7>x"), (Level::Debug, "x"));
        assert_eq!(split("ERROR no"), (Level::Error, "no"));
        assert_eq!(split(" WARN a b"), (Level::Warn, "a b"));
        assert_eq!(split(" INFO "), (Level::Info, ""));
        assert_eq!(split("DEBUG x"), (Level::Debug, "x"));
        for plain in [
            "",
            "<",
            "<3",
            "<x>y",
            "<8>z",
            "hello",
            "ERROR",
            "ERRORS x",
            "WARN: x",
            "  WARN",
            "\u{e9}\u{e9}\u{e9}x y",
        ] {
            assert_eq!(split(plain), (Level::Info, plain));
        }
    }

    #[test]
    fn a_line_is_not_lost_for_a_level_in_its_words() {
        for line in ["DEBUG x", r#"{"level":"debug","message":"x"}"#] {
            assert_eq!(split_level(line, Level::Info), (Level::Info, line));
        }
        assert_eq!(split_level("<7>x", Level::Info), (Level::Debug, "x"));
    }

    #[test]
    fn the_line_of_a_service_that_writes_json_is_taken_apart() {
        let line = r#"{"timestamp":"t","level":"WARN","message":"slow","took_ms":7}"#;
        assert_eq!(split_level(line, Level::Info), (Level::Warn, line));
        let value: Value = serde_json::from_str(&written(Format::Json, line)).unwrap();
        assert_eq!(value["message"], "slow");
        assert_eq!(value["fields"], serde_json::json!({ "took_ms": 7 }));
        assert_eq!(value["ts"], "1970-01-01T00:00:00.000Z");
        for odd in [r#"{"a":1}"#, r#"{"message":1}"#, "{"] {
            let value: Value = serde_json::from_str(&written(Format::Json, odd)).unwrap();
            assert_eq!(value["message"], odd);
            assert!(value.get("fields").is_none());
        }
    }
}
