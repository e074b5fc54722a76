//! Which hook events a version of the CLI knows.
//!
//! An unknown event in any settings file opens a dialog at the start, so the list has to be
//! the version's own ([`cib_protocol::hooks`]).

use cib_protocol::hooks::{KNOWN, NEWER, USER_ONLY, is_newer};

/// What a version can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    newer: bool,
}

impl Abilities {
    /// Of the version that `claude --version` prints: `2.1.330 (Claude Code)`. A version that
    /// cannot be read is taken for the oldest.
    #[must_use]
    pub fn of(version: &str) -> Self {
        Self {
            newer: is_newer(version),
        }
    }

    /// Of the newest version that is known. For use without a terminal, where an event that is
    /// not known opens no dialog.
    #[must_use]
    pub fn newest() -> Self {
        Self { newer: true }
    }

    /// The events that the keeper listens to.
    pub fn events(self) -> impl Iterator<Item = &'static str> {
        let newer: &[&str] = if self.newer { &NEWER } else { &[] };
        KNOWN.iter().chain(newer).copied()
    }

    /// Whether a user's hook may have an event.
    #[must_use]
    pub fn knows(self, event: &str) -> bool {
        USER_ONLY.contains(&event) || self.events().any(|known| known == event)
    }

    /// Whether text is told line by line while it appears.
    #[must_use]
    pub fn displays(self) -> bool {
        self.newer
    }

    /// Whether the state file has a state.
    #[must_use]
    pub fn tells_state(self) -> bool {
        self.newer
    }

    /// Whether a batch of calls tells what the model was told.
    #[must_use]
    pub fn batches(self) -> bool {
        self.newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_knows_its_own_events_and_no_others() {
        let new = Abilities::of("2.1.330 (Claude Code)\n");
        let old = Abilities::of("2.1.112 (Claude Code)\n");
        assert!(new.knows("MessageDisplay") && !old.knows("MessageDisplay"));
        assert!(new.knows("WorktreeCreate") && old.knows("WorktreeCreate"));
        assert!(!new.events().any(|event| event == "WorktreeCreate"));
        assert!(!new.knows("FromTheFuture"));
        assert_eq!((new.events().count(), old.events().count()), (31, 25));
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(Abilities::of("2.2.0").displays());
        assert!(Abilities::of("3.0.1-beta.2").displays());
        assert!(!Abilities::of("2.1.99").displays());
        assert!(!Abilities::of("nonsense").displays());
    }
}
