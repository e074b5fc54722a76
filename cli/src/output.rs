//! What a command says: results on standard output, everything else on standard error.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;
use crate::surroundings::Surroundings;

/// Where a command says things, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Results are JSON, and nothing else is on standard output.
    pub json: bool,
    /// Steps and notes are left out.
    pub quiet: bool,
    /// Standard output may have colours.
    pub color: bool,
    /// Standard error may have colours.
    pub color_progress: bool,
}

impl Output {
    /// As the process's terminals and `NO_COLOR` (no-color.org) have it.
    #[must_use]
    pub fn new(around: &Surroundings, json: bool, quiet: bool) -> Self {
        let may = around.variable("NO_COLOR").is_none() && around.variable("TERM") != Some("dumb");
        Self {
            json,
            quiet,
            color: may && around.shows && !json,
            color_progress: may && around.shows_progress,
        }
    }

    /// Says that something begins.
    pub fn step(&self, what: &str) {
        if !self.quiet {
            self.progress("1", "==>", what);
        }
    }

    /// Says something that explains a step.
    pub fn note(&self, what: &str) {
        if !self.quiet {
            self.progress("2", "   ", what);
        }
    }

    /// Says something that a person should know although all goes on.
    pub fn warn(&self, what: &str) {
        self.progress("33", "warning:", what);
    }

    /// Says what went wrong, why, and what helps.
    pub fn failure(&self, failure: &Failure) {
        let words = failure.words();
        if self.json {
            let body =
                json!({"error": words, "exit": failure.exit.code(), "remedy": failure.remedy});
            self.line(&crate::text::json(&body.to_string()));
        }
        self.progress("31", "error:", &words);
        if let Some(remedy) = &failure.remedy {
            self.progress("2", "   ", remedy);
        }
    }

    /// A line of a result.
    pub fn line(&self, text: &str) {
        // Whoever reads it may have gone.
        let _ = writeln!(io::stdout().lock(), "{text}");
    }

    /// A result: as JSON if that was asked for, else as a person reads it.
    pub fn result(&self, value: &impl Serialize, human: impl FnOnce() -> String) {
        if self.json {
            let text = serde_json::to_string(value).unwrap_or_default();
            self.line(&crate::text::json(&text));
        } else {
            let text = human();
            if !text.is_empty() {
                self.line(text.trim_end_matches('\n'));
            }
        }
    }

    /// Text in a colour of standard output, by its number in SGR.
    #[must_use]
    pub fn colored(&self, sgr: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{sgr}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A line of something that goes on, as it is.
    pub fn progress_line(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn progress(&self, sgr: &str, mark: &str, what: &str) {
        let mark = if self.color_progress {
            format!("\x1b[{sgr}m{mark}\x1b[0m")
        } else {
            mark.to_owned()
        };
        let _ = writeln!(io::stderr().lock(), "{mark} {what}");
    }
}

/// Columns of a table, padded to the widest of each.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let of = |row: &Vec<String>| row.get(column).map_or(0, |cell| cell.chars().count());
        rows.iter().map(of).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let padding = width.saturating_sub(cell.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', padding));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["a", "b", "c"], vec!["long", "", "c"]]
            .map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(table(&rows), "a     b  c\nlong     c\n");
    }

    #[test]
    fn no_color_and_json_take_colours_away() {
        let mut around = Surroundings {
            shows: true,
            shows_progress: true,
            ..Surroundings::default()
        };
        assert!(Output::new(&around, false, false).color);
        assert!(!Output::new(&around, true, false).color);
        around.variables.insert("NO_COLOR".into(), "1".into());
        assert!(!Output::new(&around, false, false).color_progress);
    }
}
