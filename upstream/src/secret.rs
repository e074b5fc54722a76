//! Bytes that are never printed and are wiped when they go.

use std::fmt;

use zeroize::Zeroizing;

/// A user name or a password of the upstream, as the octets that go on the wire.
///
/// It has no `Display`, its `Debug` shows nothing, and its memory is overwritten on drop.
/// Not a `String`: RFC 1929 carries octets, and `%FF` in a URL is one.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over without copying them.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves. Whoever calls this answers for where they go.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its length in octets; RFC 1929 has room for 255.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let shown = format!("{:?}", Secret::new(b"hunter2".to_vec()));
        assert_eq!(shown, "[redacted]");
    }
}
