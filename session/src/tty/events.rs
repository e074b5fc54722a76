//! Which hook events a version of the CLI knows.
//!
//! An unknown event in any settings file opens a dialog at the start, so the list has to be
//! the version's own. Both lists were read from the CLIs' own schemas.

/// The version that knows [`NEWER`] as well.
const NEWER_SINCE: [u32; 3] = [2, 1, 330];

/// What 2.1.112 knows. `WorktreeCreate` and `WorktreeRemove` are missing on purpose: a hook
/// for them takes the place of what the CLI would do itself.
const KNOWN: [&str; 25] = [
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "Notification",
    "UserPromptSubmit",
    "SessionStart",
    "SessionEnd",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "PreCompact",
    "PostCompact",
    "PermissionRequest",
    "PermissionDenied",
    "Setup",
    "TeammateIdle",
    "TaskCreated",
    "TaskCompleted",
    "Elicitation",
    "ElicitationResult",
    "ConfigChange",
    "InstructionsLoaded",
    "CwdChanged",
    "FileChanged",
];

/// What 2.1.330 knows besides.
const NEWER: [&str; 6] = [
    "PostToolBatch",
    "UserPromptExpansion",
    "PreModelSwitch",
    "PostModelSwitch",
    "DirectoryAdded",
    "MessageDisplay",
];

/// Events that a user's hooks may have and the keeper's never do.
const USER_ONLY: [&str; 2] = ["WorktreeCreate", "WorktreeRemove"];

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
        let mut numbers = [0; 3];
        let word = version.split_whitespace().next().unwrap_or_default();
        for (number, part) in numbers.iter_mut().zip(word.split('.')) {
            *number = part.parse().unwrap_or(0);
        }
        Self {
            newer: numbers >= NEWER_SINCE,
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
