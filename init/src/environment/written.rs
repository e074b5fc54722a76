//! How a value may be written down, whatever it means.

use super::parse::Wrong;
use super::variable::Kind;

/// Characters that show nothing and that no `trim` takes away.
const INVISIBLE: [char; 5] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];

/// The value without the line end that editors and `echo` leave behind.
///
/// # Errors
/// It was written as nobody can have meant it. What is wrong never holds any of the value.
pub(super) fn value(text: &str, kind: Kind) -> Result<&str, Wrong> {
    if text.starts_with('\u{feff}') {
        return Err(Wrong::new(
            "begins with a byte order mark",
            "save it as UTF-8 without one",
        ));
    }
    if text.contains('\r') {
        return Err(Wrong::new(
            "has a carriage return in it, as files of Windows have at the end of each line",
            "save it with the line ends of Unix",
        ));
    }
    let text = text.trim_end_matches('\n');
    // Blanks are part of the syntax there.
    let free = matches!(kind, Kind::List(_) | Kind::Lines(_));
    if !free && (odd_edge(text.chars().next()) || odd_edge(text.chars().next_back())) {
        return Err(Wrong::new(
            "begins or ends with a blank or with a character that shows nothing",
            "take that away",
        ));
    }
    if in_quotes(text) {
        return Err(Wrong::new(
            "stands in quotes, which are taken as part of it",
            "leave the quotes out: a file of variables takes every character as it is",
        ));
    }
    Ok(text)
}

fn odd_edge(edge: Option<char>) -> bool {
    edge.is_some_and(|c| c.is_whitespace() || INVISIBLE.contains(&c))
}

/// Whether all of it, and not words of it, stands in quotes.
fn in_quotes(text: &str) -> bool {
    ['"', '\''].into_iter().any(|quote| {
        let inner = text
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        inner.is_some_and(|inner| !inner.contains(quote))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Kind = Kind::Text("a text");
    const LINES: Kind = Kind::Lines("lines");

    fn problem(text: &str, kind: Kind) -> Option<String> {
        value(text, kind).err().map(|wrong| wrong.problem)
    }

    #[test]
    fn a_line_end_at_the_end_is_no_part_of_a_value() {
        assert_eq!(value("word\n", TEXT), Ok("word"));
        assert_eq!(value("two words", TEXT), Ok("two words"));
        assert_eq!(value("a\nb\n", LINES), Ok("a\nb"));
    }

    #[test]
    fn what_nobody_can_have_meant_is_refused_and_not_shown() {
        for (text, said) in [
            ("\"hunter2\"", "quotes"),
            ("'hunter2'\n", "quotes"),
            ("\u{feff}hunter2", "byte order mark"),
            (" hunter2", "blank"),
            ("hunter2 \n", "blank"),
            ("hunter2\t", "blank"),
            ("hunter2\u{a0}", "blank"),
            ("hunter2\u{200b}", "shows nothing"),
            ("hunter2\r\n", "carriage return"),
            ("hun\rter2", "carriage return"),
        ] {
            let problem = problem(text, TEXT).unwrap_or_default();
            assert!(problem.contains(said), "{text:?}: {problem:?}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn quotes_and_blanks_that_have_a_meaning_stay() {
        for text in ["it's", "\"a\" and \"b\"", "\"", "'", "pass'word\""] {
            assert_eq!(problem(text, TEXT), None, "{text}");
        }
        assert_eq!(problem("  make all\n\n", LINES), None);
        assert_eq!(problem("10.0.0.0/8, ", Kind::List("networks")), None);
        assert!(problem("'make all'", LINES).is_some());
    }
}
