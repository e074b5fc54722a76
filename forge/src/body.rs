//! The part of a pull request's body that is the box's, and text of the agent's that is put there.
//!
//! Between two marks stands what the box says; the rest is people's, and stays as they wrote it.

/// Where the box's part begins.
pub const BEGIN: &str = "<!-- cib:begin -->";

/// Where it ends.
pub const END: &str = "<!-- cib:end -->";

/// A letter that nobody sees, and that makes two words of one for a forge.
const BREAK: char = '\u{200b}';

/// Words that close an issue when a reference follows them, at any forge.
const CLOSING: [&str; 16] = [
    "close",
    "closes",
    "closed",
    "closing",
    "fix",
    "fixes",
    "fixed",
    "fixing",
    "resolve",
    "resolves",
    "resolved",
    "resolving",
    "implement",
    "implements",
    "implemented",
    "implementing",
];

/// A body in which the box's part says `ours`. Everything else stays as it is, to the byte; without
/// a part of the box's it comes last. What has only one mark is people's. The same words twice make
/// no difference.
#[must_use]
pub fn keep(body: &str, ours: &str) -> String {
    let ours = ours
        .trim_matches('\n')
        .replace("<!-- cib:", "<!-- cib\u{200b}:");
    let part = format!("{BEGIN}\n{ours}\n{END}");
    match place(body) {
        Some((from, to)) => format!("{}{part}{}", &body[..from], &body[to..]),
        None if body.is_empty() => part,
        None => {
            let gap = if body.ends_with('\n') { "\n" } else { "\n\n" };
            format!("{body}{gap}{part}")
        }
    }
}

/// What the box's part of a body says, if there is one.
#[must_use]
pub fn part(body: &str) -> Option<&str> {
    let (from, to) = place(body)?;
    let inner = &body[from + BEGIN.len()..to - END.len()];
    Some(inner.trim_matches(['\r', '\n']))
}

/// Where the box's part stands, with its marks: the last pair. A mark without its other half, which
/// somebody may have left behind, takes nothing of what people wrote with it.
fn place(body: &str) -> Option<(usize, usize)> {
    let end = body.rfind(END)?;
    let begin = body[..end].rfind(BEGIN)?;
    Some((begin, end + END.len()))
}

/// Text that calls nobody, closes nothing, commands nothing and hides nothing, wherever a forge shows it as
/// Markdown: in mentions, references to issues, closing words, commands at the beginning of a line and
/// comments there is a letter between that nobody sees.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    let letters: Vec<char> = text.chars().collect();
    let mut is_start = true;
    let mut at = 0;
    while at < letters.len() {
        let letter = letters[at];
        let next = letters.get(at + 1).copied();
        let is_word_start = at == 0 || !is_of_word(letters[at - 1]);
        if is_word_start && is_of_word(letter) {
            let length = letters[at..].iter().take_while(|c| is_of_word(**c)).count();
            let word: String = letters[at..at + length].iter().collect();
            // Issues are also called `GH-5`, and projects have letters of their own.
            let is_key = letters.get(at + length) == Some(&'-')
                && letters
                    .get(at + length + 1)
                    .is_some_and(char::is_ascii_digit);
            let is_closing = CLOSING
                .iter()
                .any(|closing| closing.eq_ignore_ascii_case(&word));
            safe.push(letter);
            if is_closing {
                safe.push(BREAK);
            }
            safe.extend(&letters[at + 1..at + length]);
            if is_key {
                safe.push(BREAK);
            }
            at += length;
            is_start = false;
            continue;
        }
        let is_command = is_start && letter == '/' && next.is_some_and(char::is_alphabetic);
        if is_command {
            safe.push(BREAK);
        }
        safe.push(letter);
        let breaks = match letter {
            '@' => next.is_some_and(|next| is_of_word(next) || next == '-'),
            '#' | '!' => next.is_some_and(|next| next.is_ascii_digit()),
            '<' => next == Some('!'),
            _ => false,
        };
        if breaks {
            safe.push(BREAK);
        }
        is_start = match letter {
            '\n' | '\r' => true,
            // What quotes and lists begin with does not hide a command from every reader.
            ' ' | '\t' | '>' | '*' | '-' => is_start,
            _ => false,
        };
        at += 1;
    }
    safe
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_boxs_part_is_replaced_and_the_rest_stays_as_people_wrote_it() {
        let first = keep("", "one");
        assert_eq!(first, "<!-- cib:begin -->\none\n<!-- cib:end -->");
        let edited = format!("Before.\r\n\r\n{first}\n\nAfter.\n");
        let second = keep(&edited, "two\nlines\n");
        assert_eq!(
            second,
            "Before.\r\n\r\n<!-- cib:begin -->\ntwo\nlines\n<!-- cib:end -->\n\nAfter.\n"
        );
        assert_eq!(part(&second), Some("two\nlines"));
        assert_eq!(
            keep("By hand.", "x"),
            format!("By hand.\n\n{}", keep("", "x"))
        );
    }

    #[test]
    fn a_mark_that_somebody_left_behind_takes_nothing_with_it() {
        for broken in [
            "a <!-- cib:begin --> b",
            "a <!-- cib:end --> b",
            "<!-- cib:end --><!-- cib:begin -->",
        ] {
            let kept = keep(broken, "x");
            assert!(kept.starts_with(broken), "{kept}");
            let again = keep(&kept, "y");
            assert!(again.starts_with(broken), "{again}");
            assert_eq!(part(&again), Some("y"));
        }
    }

    #[test]
    fn the_agents_words_call_nobody_and_close_nothing() {
        for (text, safe) in [
            ("ask @octocat", "ask @\u{200b}octocat"),
            ("Closes #5", "C\u{200b}loses #\u{200b}5"),
            ("fixes: acme/api#7", "f\u{200b}ixes: acme/api#\u{200b}7"),
            (
                "resolve https://x/y/issues/1",
                "r\u{200b}esolve https://x/y/issues/1",
            ),
            ("GH-12", "GH\u{200b}-12"),
            ("/merge\n  /approve", "\u{200b}/merge\n  \u{200b}/approve"),
            ("<!-- cib:end -->", "<\u{200b}!-- cib:end -->"),
            ("see src/lib.rs, a@", "see src/lib.rs, a@"),
            ("# Title", "# Title"),
            ("prefixes enclosed", "prefixes enclosed"),
        ] {
            assert_eq!(harmless(text), safe);
        }
    }

    proptest! {
        #[test]
        fn what_is_outside_of_the_marks_never_changes(
            before in "(?s).{0,60}", after in "(?s).{0,60}", old in "(?s).{0,60}", new in "(?s).{0,60}",
        ) {
            let old = keep("", &old);
            let body = format!("{before}{old}{after}");
            let kept = keep(&body, &new);
            prop_assert!(kept.starts_with(&before) && kept.ends_with(&after));
            prop_assert_eq!(&keep(&kept, &new), &kept);
            let rest = kept.len() - before.len() - after.len();
            prop_assert_eq!(rest, keep("", &new).len());
        }

        #[test]
        fn whatever_the_box_says_there_is_one_part_and_it_is_found_again(
            body in "([a-z@# \n]|<!-- cib:begin -->|<!-- cib:end -->){0,12}",
            ours in "([a-z \n]|<!-- cib:begin -->|<!-- cib:end -->){0,12}",
        ) {
            let kept = keep(&body, &ours);
            let shown = ours.trim_matches('\n').replace("<!-- cib:", "<!-- cib\u{200b}:");
            prop_assert_eq!(part(&kept), Some(shown.trim_matches(['\r', '\n'])));
            prop_assert_eq!(keep(&kept, &ours), kept);
        }

        #[test]
        fn nothing_is_taken_from_the_agents_words_and_nothing_in_them_acts(
            text in "([a-zA-Z@#!/<:\n -]|[0-9]|closes |Fixes: |GH-|<!--){0,30}",
        ) {
            let safe = harmless(&text);
            prop_assert_eq!(&safe.replace('\u{200b}', ""), &text);
            let letters: Vec<char> = safe.chars().collect();
            for pair in letters.windows(2) {
                let acts = match pair[0] {
                    '@' => is_of_word(pair[1]),
                    '#' => pair[1].is_ascii_digit(),
                    '<' => pair[1] == '!',
                    _ => false,
                };
                prop_assert!(!acts, "{:?}", safe);
            }
            for line in safe.lines() {
                let mut rest = line.trim_start().chars();
                prop_assert!(rest.next() != Some('/') || !rest.next().is_some_and(char::is_alphabetic));
            }
            for word in safe.split(|c: char| !is_of_word(c) && c != '\u{200b}') {
                prop_assert!(!CLOSING.contains(&&*word.to_ascii_lowercase()), "{:?}", safe);
            }
        }
    }
}
