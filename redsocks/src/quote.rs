//! The string syntax of redsocks.conf, after the tokenizer of redsocks 0.5 (`parser.c`).
//!
//! A string stands between double quotes; `\n`, `\t`, `\r`, `\\`, `\'` and `\"` are its only
//! escapes, any other backslash is an error, and every other byte stands for itself. The
//! tokenizer drops the quotes before the parser looks at a token, so that a *string* that
//! reads `;` is taken for the punctuation, quoted or not.

/// The tokens that mean something to the parser, whether they were quoted or not.
const PUNCTUATION: [&[u8]; 6] = [b"{", b"}", b"=", b";", b"//", b"/*"];

/// The bytes as a quoted string, or `None` for those that the language cannot say.
pub(crate) fn quote(bytes: &[u8], to: &mut Vec<u8>) -> Option<()> {
    if bytes.contains(&0) || PUNCTUATION.contains(&bytes) {
        return None;
    }
    to.push(b'"');
    for &byte in bytes {
        match byte {
            b'\n' => to.extend_from_slice(b"\\n"),
            b'"' | b'\\' => to.extend_from_slice(&[b'\\', byte]),
            _ => to.push(byte),
        }
    }
    to.push(b'"');
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quoted(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut to = Vec::new();
        quote(bytes, &mut to).map(|()| to)
    }

    /// What the tokenizer makes of a line that begins with a string: its value, and how many
    /// bytes it took. `None` where redsocks would stop or wait for more.
    fn tokenize(line: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut value = Vec::new();
        let mut at = 1;
        loop {
            match *line.get(at)? {
                0 => return None,
                b'"' => return Some((value, at + 1)),
                b'\\' => {
                    at += 1;
                    value.push(match *line.get(at)? {
                        b'n' => b'\n',
                        b't' => b'\t',
                        b'r' => b'\r',
                        plain @ (b'\\' | b'\'' | b'"') => plain,
                        _ => return None,
                    });
                }
                plain => value.push(plain),
            }
            at += 1;
        }
    }

    #[test]
    fn punctuation_alone_cannot_be_said() {
        for bytes in PUNCTUATION {
            assert_eq!(quoted(bytes), None);
        }
        assert!(quoted(b";;").is_some());
    }

    proptest! {
        #[test]
        fn a_quoted_string_is_read_back_whole_and_on_one_line(
            bytes in proptest::collection::vec(1_u8..=255, 0..255),
        ) {
            let Some(mut line) = quoted(&bytes) else { return Ok(()) };
            prop_assert!(!line.contains(&b'\n'));
            let length = line.len();
            line.extend_from_slice(b";\n");
            prop_assert_eq!(tokenize(&line), Some((bytes, length)));
        }
    }
}
