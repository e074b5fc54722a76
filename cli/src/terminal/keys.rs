//! The keys that leave a session, found in what a terminal sends.
//!
//! A program in the session may have switched the terminal to another encoding of keys: the one
//! byte of old, kitty's `CSI 93;5u`, xterm's `CSI 27;5;93~`. All three are known here, or nobody
//! would get out of such a program.

/// Keys in a sequence that leaves, at most.
const MOST: usize = 3;

/// What is typed to leave, if nobody says otherwise.
pub const DEFAULT: &str = "ctrl-]";

/// What came of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fed {
    /// What goes on to the session.
    pub pass: Vec<u8>,
    /// Whether the keys to leave were among them; then nothing behind them was looked at.
    pub leave: bool,
}

/// Looks for the keys in a stream of bytes.
#[derive(Clone, Debug)]
pub struct Matcher {
    patterns: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Matcher {
    /// For keys as Docker writes them: `ctrl-]`, `ctrl-p,ctrl-q`, `x`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(keys: &str) -> Result<Self, String> {
        let keys: Vec<&str> = keys.split(',').collect();
        if keys.len() > MOST {
            return Err(format!("more than {MOST} keys"));
        }
        let mut patterns = vec![Vec::new()];
        for key in keys {
            let spellings = spellings(key).ok_or_else(|| {
                format!("`{}` is no key; ctrl-] and x are", crate::text::line(key))
            })?;
            patterns = patterns
                .iter()
                .flat_map(|begun: &Vec<u8>| {
                    spellings.iter().map(|one| [&begun[..], &one[..]].concat())
                })
                .collect();
        }
        Ok(Self {
            patterns,
            held: Vec::new(),
        })
    }

    /// Takes bytes of the terminal. What may be the beginning of the keys is held back.
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        let mut pass = Vec::new();
        for byte in bytes {
            self.held.push(*byte);
            while !self.held.is_empty() && !self.may_be() {
                pass.push(self.held.remove(0));
            }
            if self.patterns.contains(&self.held) {
                self.held.clear();
                return Fed { pass, leave: true };
            }
        }
        Fed { pass, leave: false }
    }

    /// What was held back, because nothing has followed it for a while.
    pub fn give_up(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Whether something is held back.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    fn may_be(&self) -> bool {
        self.patterns.iter().any(|one| one.starts_with(&self.held))
    }
}

/// How a terminal may send one key.
fn spellings(key: &str) -> Option<Vec<Vec<u8>>> {
    let one = |text: &str| {
        let mut chars = text.chars();
        chars
            .next()
            .filter(|c| c.is_ascii_graphic() && chars.next().is_none())
    };
    let Some(rest) = key
        .to_ascii_lowercase()
        .strip_prefix("ctrl-")
        .map(str::to_owned)
    else {
        return Some(vec![vec![u8::try_from(one(key)?).ok()?]]);
    };
    let c = one(&rest)?;
    let code = u8::try_from(c).ok()?;
    let control = match c {
        'a'..='z' => code - b'a' + 1,
        '@' => 0,
        '[' | '\\' | ']' | '^' | '_' => code - 0x40,
        _ => return None,
    };
    Some(vec![
        vec![control],
        format!("\x1b[{code};5u").into_bytes(),
        format!("\x1b[27;5;{code}~").into_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPELLINGS: [&[u8]; 3] = [b"\x1d", b"\x1b[93;5u", b"\x1b[27;5;93~"];

    #[test]
    fn each_encoding_leaves_wherever_it_is_split() {
        for spelling in SPELLINGS {
            for at in 0..=spelling.len() {
                let mut matcher = Matcher::new(DEFAULT).unwrap();
                let (before, after) = spelling.split_at(at);
                let mut first = matcher.feed(&[b"ab", before].concat());
                if !first.leave {
                    let second = matcher.feed(&[after, b"cd"].concat());
                    first.pass.extend(second.pass);
                    first.leave = second.leave;
                }
                assert!(first.leave, "{spelling:?} at {at}");
                assert_eq!(first.pass, b"ab", "{spelling:?} at {at}");
            }
        }
    }

    #[test]
    fn a_sequence_of_keys_may_change_its_encoding_in_the_middle() {
        let mut matcher = Matcher::new("ctrl-p,ctrl-q").unwrap();
        assert!(matcher.feed(b"\x10\x1b[113;5u").leave);
        assert_eq!(matcher.feed(b"\x10x").pass, b"\x10x");
        assert!(matcher.feed(b"\x10\x10\x11").leave);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for keys in ["", "ctrl-", "ctrl-é", "ab", "a,,b", "a,b,c,d", "ctrl-1"] {
            assert!(Matcher::new(keys).is_err(), "{keys}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_added_however_it_is_split(
            pieces in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\x1b[9375;27u~ax\x10".to_vec()), 0..12), 0..12)
        ) {
            let mut matcher = Matcher::new(DEFAULT).unwrap();
            let whole = pieces.concat();
            let mut out = Vec::new();
            let mut left = false;
            for piece in &pieces {
                let fed = matcher.feed(piece);
                out.extend(fed.pass);
                if fed.leave { left = true; break; }
            }
            if left {
                let rest = &whole[out.len()..];
                prop_assert!(SPELLINGS.iter().any(|one| rest.starts_with(one)));
            } else {
                out.extend(matcher.give_up());
            }
            prop_assert!(whole.starts_with(&out));
            prop_assert!(left || out == whole);
        }
    }
}
