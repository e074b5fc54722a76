//! Files of variables: `NAME=VALUE` lines.

/// Reads a text of variables: blank lines and comments aside, each line is `NAME=VALUE`, with
/// `export` before it if it likes. A value may stand in quotes: in double ones `\n`, `\"` and
/// `\\` mean what they do elsewhere, in single ones nothing does. Nothing is interpolated.
///
/// # Errors
/// The line, from 1, and what is wrong there.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |what: &str| (at + 1, what.to_owned());
        let line = match line.strip_prefix("export") {
            Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
            _ => line,
        };
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| fault("there is no `=`"))?;
        let name = name.trim_end();
        if !is_name(name) {
            return Err(fault("what stands before `=` is no name of a variable"));
        }
        let value = value_of(value.trim()).ok_or_else(|| fault("a quote is not closed"))?;
        if value.contains('\0') {
            return Err(fault("a variable cannot hold a zero byte"));
        }
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

/// Whether a variable can have this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn value_of(text: &str) -> Option<String> {
    let is_over = |rest: &str| {
        let rest = rest.trim_start();
        rest.is_empty() || rest.starts_with('#')
    };
    if let Some(rest) = text.strip_prefix('\'') {
        let (value, rest) = rest.split_once('\'')?;
        return is_over(rest).then(|| value.to_owned());
    }
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(" #").unwrap_or(text.len());
        return Some(text[..end].trim_end().to_owned());
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return is_over(&quoted[at + 1..]).then_some(value),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                same @ ('"' | '\\') => value.push(same),
                other => value.extend(['\\', other]),
            },
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn variables_are_read_as_people_write_them() {
        let text = "\u{feff}# comment\nA=1\nexport B = two words # not this\n\nC='a # b $X'\nD=\"x\\n\\\"y\\\"\" # no\nE=\nF=a=b\n";
        let read = parse(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a # b $X"),
            ("D", "x\n\"y\""),
            ("E", ""),
            ("F", "a=b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read, expected);
    }

    #[test]
    fn a_line_that_nobody_can_have_meant_is_named() {
        for (text, line) in [
            ("A=1\nB", 2),
            ("1A=1", 1),
            ("A='x", 1),
            ("A=1\n\nB=\"x", 3),
            ("A='x'y", 1),
            ("A=\0", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_in_double_quotes_comes_back(value in "[^\0\r\n]*") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let read = parse(&format!("A=\"{quoted}\"")).unwrap();
            prop_assert_eq!(&read[0].1, &value);
        }

        #[test]
        fn whatever_a_file_holds_its_names_are_names(text: String) {
            if let Ok(variables) = parse(&text) {
                prop_assert!(variables.iter().all(|(name, value)| is_name(name) && !value.contains('\0')));
            }
        }
    }
}
