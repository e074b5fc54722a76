//! Names of refs and what a box says of its refs, read strictly.

use crate::text;

/// Refs that are read of one box, at most.
const MOST: usize = 10_000;

/// A branch of a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Its commit.
    pub id: String,
    /// Its name, without `refs/heads/`.
    pub name: String,
}

/// What a box says of its refs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Branches that can be used.
    pub branches: Vec<Branch>,
    /// Lines that are passed over, fit to be shown.
    pub refused: Vec<String>,
}

/// Whether a word is an object's id: SHA-1 or SHA-256.
#[must_use]
pub fn is_id(word: &str) -> bool {
    matches!(word.len(), 40 | 64) && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a branch's name is used here. Fewer are than git allows: none that a shell, another
/// program's command line, a file system or a terminal could read as something else.
#[must_use]
pub fn is_usable(name: &str) -> bool {
    let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with('.')
            && !part.to_ascii_lowercase().ends_with(".lock")
    };
    name.len() <= 200
        && name != "HEAD"
        && name.chars().all(character)
        && !name.contains("..")
        && name.split('/').all(part)
}

/// Reads the lines of `git for-each-ref --format='%(objectname) %(refname)' refs/heads`.
#[must_use]
pub fn parse(said: &[u8]) -> Listing {
    let mut listing = Listing::default();
    for line in said.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let taken = listing.branches.len() + listing.refused.len();
        if taken == MOST {
            listing
                .refused
                .push(format!("whatever comes after the first {MOST}"));
            break;
        }
        match branch(line) {
            Some(branch) => listing.branches.push(branch),
            None => {
                let shown: String = String::from_utf8_lossy(line).chars().take(200).collect();
                listing.refused.push(text::line(&shown));
            }
        }
    }
    listing
}

fn branch(line: &[u8]) -> Option<Branch> {
    let line = std::str::from_utf8(line).ok()?;
    let (id, name) = line.split_once(' ')?;
    let name = name.strip_prefix("refs/heads/")?;
    (is_id(id) && is_usable(name)).then(|| Branch {
        id: id.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn names_that_something_could_read_otherwise_are_refused() {
        for name in [
            "x;touch${IFS}p",
            "$(touch p)",
            "`id`",
            "a&b",
            "-upload-pack=x",
            "a/-x",
            "../x",
            "a/../b",
            "a..b",
            "/a",
            "a/",
            "a//b",
            ".hidden",
            "a/.git",
            "a.lock",
            "a.LOCK",
            "a.",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a\\b",
            "a\u{1b}[2J",
            "\u{202e}a",
            "é",
            "",
            "HEAD",
        ] {
            assert!(!is_usable(name), "{name:?}");
        }
        assert!(!is_usable(&"a".repeat(201)));
        for name in [
            "main",
            "claude/20261129-194811",
            "a_b.c-d",
            "v1.0",
            "@".trim_matches('@').trim(),
        ] {
            assert_eq!(is_usable(name), !name.is_empty(), "{name:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_passed_over() {
        let said = format!(
            "{ID} refs/heads/good\n{ID} refs/heads/x;touch\n{ID} refs/tags/t\nabc refs/heads/a\n\x1b]0;t\x07\n"
        );
        let listing = parse(said.as_bytes());
        assert_eq!(listing.branches.len(), 1);
        assert_eq!(listing.branches[0].name, "good");
        assert_eq!(listing.refused.len(), 4);
        assert!(listing.refused[3].contains("\\u{1b}"));
    }

    #[test]
    fn no_box_has_more_branches_than_are_read() {
        let line = format!("{ID} refs/heads/b\n");
        let listing = parse(line.repeat(MOST + 5).as_bytes());
        assert_eq!((listing.branches.len(), listing.refused.len()), (MOST, 1));
    }

    proptest! {
        #[test]
        fn whatever_a_box_says_only_usable_names_come_out(said: Vec<u8>) {
            let listing = parse(&said);
            prop_assert!(listing.branches.iter().all(|b| is_usable(&b.name) && is_id(&b.id)));
            prop_assert!(listing.refused.iter().all(|line| !line.chars().any(char::is_control)));
        }

        #[test]
        fn a_usable_name_is_one_that_git_takes(name in "[a-zA-Z0-9._/@~^-]{1,24}") {
            if is_usable(&name) {
                let full = format!("refs/heads/{name}");
                let ran = std::process::Command::new("git").args(["check-ref-format", &full]).status();
                prop_assert!(ran.unwrap().success(), "{}", name);
            }
        }
    }
}
