//! What words of a line of source are: keywords, strings, comments and numbers, for the languages
//! that are met most. A line of a patch has no file around it, so that more than that would be a
//! guess; a language that is not known has no words.

/// What a part of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word of the language's own.
    Keyword,
    /// Text in quotes.
    Text,
    /// What is for people.
    Comment,
    /// A number.
    Number,
}

/// A part of a line, in bytes.
pub type Part = (usize, usize, Kind);

/// A language, as far as its words can be told apart.
#[derive(Debug)]
pub struct Language {
    /// Ends of the names of its files, behind the last dot; or whole names.
    names: &'static str,
    /// What a comment that ends with its line begins with.
    line: &'static [&'static str],
    /// What other comments begin and end with.
    block: Option<(&'static str, &'static str)>,
    /// What a text begins and ends with.
    quotes: &'static [char],
    /// What a text that goes over lines begins and ends with.
    long: &'static [&'static str],
    /// Whether `'` holds one character.
    characters: bool,
    /// Its words, with a blank around each.
    keywords: &'static str,
}

const PLAIN: Language = Language {
    names: "",
    line: &[],
    block: None,
    quotes: &['"'],
    long: &[],
    characters: false,
    keywords: "",
};

const C: Language = Language {
    names: "",
    line: &["//"],
    block: Some(("/*", "*/")),
    characters: true,
    ..PLAIN
};

static LANGUAGES: &[Language] = &[
    Language {
        names: " rs ",
        keywords: " as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while ",
        ..C
    },
    Language {
        names: " c h cc cpp cxx hpp hh m mm cu proto glsl ",
        keywords: " auto bool break case catch char class const constexpr continue default delete do double else enum extern false float for if inline int long namespace new nullptr operator override private protected public return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void volatile while ",
        ..C
    },
    Language {
        names: " java kt kts scala cs swift dart groovy ",
        keywords: " abstract as async await boolean break case catch class const continue default do double else enum extends extension final finally float for fun func guard if implements import in int interface internal is let long namespace new null object open override package private protected public return sealed static string struct super switch this throw throws trait true false try using val var void when where while ",
        ..C
    },
    Language {
        names: " go ",
        quotes: &['"'],
        long: &["`"],
        keywords: " break case chan const continue default defer else fallthrough false for func go goto if import interface iota map nil package range return select struct switch true type var ",
        ..C
    },
    Language {
        names: " js jsx mjs cjs ts tsx mts cts vue svelte ",
        quotes: &['"', '\''],
        long: &["`"],
        characters: false,
        keywords: " any as async await boolean break case catch class const continue default delete do else enum export extends false finally for from function if implements import in instanceof interface let never new null number of private protected public readonly return static string super switch this throw true try type typeof undefined unknown var void while yield ",
        ..C
    },
    Language {
        names: " php ",
        line: &["//", "#"],
        quotes: &['"', '\''],
        characters: false,
        keywords: " abstract array as break case catch class const continue default do echo else elseif extends false final fn for foreach function global if implements interface match namespace new null private protected public readonly return static switch this throw trait true try use var while ",
        ..C
    },
    Language {
        names: " py pyi ",
        line: &["#"],
        quotes: &['"', '\''],
        long: &["\"\"\"", "'''"],
        keywords: " and as assert async await break class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield ",
        ..PLAIN
    },
    Language {
        names: " rb rake gemspec Rakefile Gemfile ",
        line: &["#"],
        quotes: &['"', '\''],
        keywords: " and begin break case class def do else elsif end ensure false for if in module next nil not or redo require rescue retry return self super then true unless until when while yield ",
        ..PLAIN
    },
    Language {
        names: " sh bash zsh fish Makefile mk Dockerfile dockerfile Justfile nix ",
        line: &["#"],
        quotes: &['"', '\''],
        keywords: " case do done elif else esac exit export fi for function if in let local readonly return set shift source then trap unset until while ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM LABEL RUN USER VOLUME WORKDIR ",
        ..PLAIN
    },
    Language {
        names: " toml yaml yml ini cfg conf env properties hcl tf gitignore dockerignore ",
        line: &["#", ";"],
        quotes: &['"', '\''],
        keywords: " true false null yes no on off ",
        ..PLAIN
    },
    Language {
        names: " json jsonc json5 ",
        line: &["//"],
        keywords: " true false null ",
        ..PLAIN
    },
    Language {
        names: " sql ",
        line: &["--"],
        block: Some(("/*", "*/")),
        quotes: &['\''],
        keywords: " add all alter and as asc begin between by case check commit constraint create database default delete desc distinct drop else end exists foreign from full group having if in index inner insert into is join key left like limit not null offset on or order outer primary references right rollback select set table then union unique update values view when where with ",
        ..PLAIN
    },
    Language {
        names: " html htm xml svg xhtml ",
        block: Some(("<!--", "-->")),
        quotes: &['"', '\''],
        ..PLAIN
    },
    Language {
        names: " css scss less ",
        line: &["//"],
        block: Some(("/*", "*/")),
        quotes: &['"', '\''],
        ..PLAIN
    },
    Language {
        names: " lua ",
        line: &["--"],
        quotes: &['"', '\''],
        keywords: " and break do else elseif end false for function if in local nil not or repeat return then true until while ",
        ..PLAIN
    },
    Language {
        names: " hs elm ",
        line: &["--"],
        block: Some(("{-", "-}")),
        characters: true,
        keywords: " case class data deriving do else exposing if import in infix instance let module newtype of port then type where ",
        ..PLAIN
    },
];

/// The language of a file, by its name.
#[must_use]
pub fn of(path: &str) -> Option<&'static Language> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let last = name.rsplit('.').next().unwrap_or(name);
    let wanted = format!(" {last} ");
    LANGUAGES
        .iter()
        .find(|language| language.names.contains(&wanted))
}

/// What a line begins in: nothing, or what ends with these characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within(Option<(&'static str, IsComment)>);

/// Whether it is a comment; else it is a text.
type IsComment = bool;

impl Language {
    /// The parts of a line that are something, in their order; `within` says what it begins in,
    /// and then what the next one does.
    pub fn parts(&self, line: &str, within: &mut Within) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut at = 0;
        if let Some((end, comment)) = within.0 {
            let kind = if comment { Kind::Comment } else { Kind::Text };
            match line.find(end) {
                None => return vec![(0, line.len(), kind)],
                Some(found) => {
                    at = found + end.len();
                    parts.push((0, at, kind));
                    within.0 = None;
                }
            }
        }
        while let Some(c) = line[at..].chars().next() {
            let rest = &line[at..];
            let (length, kind) = self.one(rest, c, at == 0 || !is_word(line, at), within);
            if let Some(kind) = kind {
                parts.push((at, at + length, kind));
            }
            at += length;
        }
        parts
    }

    /// The length of what a text begins with, and what it is.
    fn one(&self, rest: &str, c: char, fresh: bool, within: &mut Within) -> (usize, Option<Kind>) {
        if self.line.iter().any(|begins| rest.starts_with(begins)) {
            return (rest.len(), Some(Kind::Comment));
        }
        let long = self.long.iter().map(|mark| (*mark, *mark, false));
        let block = self
            .block
            .iter()
            .map(|(begins, ends)| (*begins, *ends, true));
        for (begins, ends, comment) in long.chain(block) {
            let Some(behind) = rest.strip_prefix(begins) else {
                continue;
            };
            let kind = if comment { Kind::Comment } else { Kind::Text };
            let length = match behind.find(ends) {
                Some(found) => begins.len() + found + ends.len(),
                None => {
                    within.0 = Some((ends, comment));
                    rest.len()
                }
            };
            return (length, Some(kind));
        }
        if self.quotes.contains(&c) {
            return (quoted(rest, c), Some(Kind::Text));
        }
        if self.characters && c == '\'' {
            // A character, or the name of a lifetime.
            let inner = rest[1..].chars().next();
            let length = quoted(rest, c);
            let short = rest[..length].chars().count() <= 3 || inner == Some('\\');
            let closed = length > 1 && rest[..length].ends_with('\'');
            return if short && closed && length < 16 {
                (length, Some(Kind::Text))
            } else {
                (1, None)
            };
        }
        if c.is_ascii_digit() && fresh {
            let more = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
            return (rest.find(more).unwrap_or(rest.len()), Some(Kind::Number));
        }
        if c.is_alphabetic() || c == '_' {
            let length = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let word = &rest[..length];
            let known =
                |word: &str| !word.contains(' ') && self.keywords.contains(&format!(" {word} "));
            let sql = self.line == ["--"] && self.block.is_some();
            let is = known(word) || (sql && known(&word.to_lowercase()));
            return (length, is.then_some(Kind::Keyword));
        }
        (c.len_utf8(), None)
    }
}

/// Whether what stands before a place belongs to a word.
fn is_word(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    before.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The length of a text in quotes: to the end of the line if it has no end.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, lines: &[&str]) -> Vec<Vec<(String, Kind)>> {
        let language = of(path).unwrap();
        let mut within = Within::default();
        lines
            .iter()
            .map(|line| {
                let parts = language.parts(line, &mut within);
                let text = |part: Part| (line[part.0..part.1].to_owned(), part.2);
                parts.into_iter().map(text).collect()
            })
            .collect()
    }

    fn part(text: &str, kind: Kind) -> (String, Kind) {
        (text.to_owned(), kind)
    }

    #[test]
    fn words_texts_comments_and_numbers_are_told_apart() {
        let parts = told(
            "src/x.rs",
            &["let a1 = f(\"x\\\" //\", 'c', &'a b) + 0x1f; // y"],
        );
        assert_eq!(
            parts[0],
            [
                part("let", Kind::Keyword),
                part("\"x\\\" //\"", Kind::Text),
                part("'c'", Kind::Text),
                part("0x1f", Kind::Number),
                part("// y", Kind::Comment),
            ]
        );
        assert_eq!(told("q.sql", &["SELECT a -- b"])[0].len(), 2);
        assert!(of("LICENSE").is_none() && of("a.unknown").is_none());
        assert!(of("Dockerfile").is_some());
    }

    #[test]
    fn a_comment_and_a_text_go_on_over_lines() {
        let parts = told("x.ts", &["a /* b", "c", "d */ return `e", "f` 1"]);
        assert_eq!(parts[0], [part("/* b", Kind::Comment)]);
        assert_eq!(parts[1], [part("c", Kind::Comment)]);
        assert_eq!(
            parts[2],
            [
                part("d */", Kind::Comment),
                part("return", Kind::Keyword),
                part("`e", Kind::Text)
            ]
        );
        assert_eq!(parts[3], [part("f`", Kind::Text), part("1", Kind::Number)]);
    }

    proptest::proptest! {
        #[test]
        fn parts_stand_in_their_order_between_characters(
            line in "[-a-z0-9é\"'`/*<!{} \\\\#;_]{0,40}", which in 0..LANGUAGES.len()
        ) {
            let mut within = Within::default();
            let mut end = 0;
            for (from, to, _) in LANGUAGES[which].parts(&line, &mut within) {
                proptest::prop_assert!(from >= end && to > from);
                proptest::prop_assert!(line.get(from..to).is_some());
                end = to;
            }
        }
    }
}
