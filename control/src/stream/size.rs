//! Whose terminal gives a session its size: that of the client that typed last.

use std::collections::HashMap;

/// Columns and rows.
pub type Size = (u16, u16);

/// A client, for as long as it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(pub u64);

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A client's terminal has this size now.
    Resized(Client, Size),
    /// A client sent input.
    Typed(Client),
    /// A client has gone.
    Left(Client),
}

/// The clients of one session and their sizes.
#[derive(Debug, Default)]
pub struct Sizes {
    clients: HashMap<Client, Size>,
    typist: Option<Client>,
    current: Option<Size>,
}

impl Sizes {
    /// Takes up what a client did, and says what size the session is to be given, if another
    /// than it has.
    pub fn apply(&mut self, act: Act) -> Option<Size> {
        let wanted = match act {
            Act::Resized(client, size) => {
                self.clients.insert(client, size);
                self.typist
                    .is_none_or(|typist| typist == client)
                    .then_some(size)
            }
            Act::Typed(client) => {
                self.typist = Some(client);
                self.clients.get(&client).copied()
            }
            Act::Left(client) => {
                self.clients.remove(&client);
                self.typist = self.typist.filter(|typist| *typist != client);
                None
            }
        };
        let wanted = wanted.filter(|size| self.current != Some(*size))?;
        self.current = Some(wanted);
        Some(wanted)
    }

    /// Whether nobody is left whose size would matter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.typist.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Client = Client(1);
    const B: Client = Client(2);

    #[test]
    fn the_size_follows_the_client_that_typed_last() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.apply(Act::Resized(A, (80, 24))), Some((80, 24)));
        assert_eq!(sizes.apply(Act::Resized(B, (40, 12))), Some((40, 12)));
        assert_eq!(sizes.apply(Act::Typed(A)), Some((80, 24)));
        assert_eq!(sizes.apply(Act::Resized(B, (50, 20))), None);
        assert_eq!(sizes.apply(Act::Typed(A)), None);
        assert_eq!(sizes.apply(Act::Typed(B)), Some((50, 20)));
    }

    #[test]
    fn when_the_typist_leaves_the_size_stays_until_somebody_else_says_one() {
        let mut sizes = Sizes::default();
        sizes.apply(Act::Resized(A, (80, 24)));
        sizes.apply(Act::Typed(A));
        sizes.apply(Act::Resized(B, (40, 12)));
        assert_eq!(sizes.apply(Act::Left(A)), None);
        assert_eq!(sizes.apply(Act::Resized(B, (41, 12))), Some((41, 12)));
        assert!(!sizes.is_empty());
        assert_eq!(sizes.apply(Act::Left(B)), None);
        assert!(sizes.is_empty());
    }

    #[test]
    fn a_client_that_never_said_a_size_changes_none() {
        let mut sizes = Sizes::default();
        sizes.apply(Act::Resized(A, (80, 24)));
        assert_eq!(sizes.apply(Act::Typed(B)), None);
    }
}
