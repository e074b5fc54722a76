//! What a line looks like.

use std::fmt::Write;

use cib_protocol::time::Timestamp;
use serde::Serialize;

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
        message: &'a str,
    }
    let line = Line {
        ts: at,
        level: word(level),
        service,
        message: text,
    };
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
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

/// Takes the level off a line that begins with one as `sd-daemon(3)` has it: `<3>` is an
/// error. A line without one is information.
pub(super) fn split_level(line: &str) -> (Level, &str) {
    let mut characters = line.chars();
    let (Some('<'), Some(digit), Some('>')) =
        (characters.next(), characters.next(), characters.next())
    else {
        return (Level::Info, line);
    };
    let level = match digit {
        '0'..='3' => Level::Error,
        '4' => Level::Warn,
        '5' | '6' => Level::Info,
        '7' => Level::Debug,
        _ => return (Level::Info, line),
    };
    (level, characters.as_str())
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
        assert_eq!(split_level("<3>no"), (Level::Error, "no"));
        assert_eq!(split_level("<7>x"), (Level::Debug, "x"));
        for plain in ["", "<", "<3", "<x>y", "<8>z", "hello"] {
            assert_eq!(split_level(plain), (Level::Info, plain));
        }
    }
}
