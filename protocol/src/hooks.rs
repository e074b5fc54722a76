//! Which hook events Claude Code has.
//!
//! Both lists were read from the CLIs' own schemas. An event that a version does not know opens a
//! dialog at its start on a terminal, so the lists have to be the versions' own.

/// The version that knows [`NEWER`] as well.
pub const NEWER_SINCE: [u32; 3] = [2, 1, 330];

/// What 2.1.112 knows. `WorktreeCreate` and `WorktreeRemove` are in [`USER_ONLY`]: a hook for
/// them takes the place of what the CLI would do itself.
pub const KNOWN: [&str; 25] = [
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
pub const NEWER: [&str; 6] = [
    "PostToolBatch",
    "UserPromptExpansion",
    "PreModelSwitch",
    "PostModelSwitch",
    "DirectoryAdded",
    "MessageDisplay",
];

/// Events that a user's hooks may have and the keeper's never do.
pub const USER_ONLY: [&str; 2] = ["WorktreeCreate", "WorktreeRemove"];

/// Whether a version knows [`NEWER`]: `2.1.330`, or all that `claude --version` prints. One that
/// cannot be read is taken for the oldest.
#[must_use]
pub fn is_newer(version: &str) -> bool {
    let mut numbers = [0; 3];
    let word = version.split_whitespace().next().unwrap_or_default();
    for (number, part) in numbers.iter_mut().zip(word.split('.')) {
        *number = part.parse().unwrap_or(0);
    }
    numbers >= NEWER_SINCE
}

/// The events that hooks of a version may have; of the newest if it is not known.
#[must_use]
pub fn events(version: Option<&str>) -> Vec<&'static str> {
    let newer: &[&str] = if version.is_none_or(is_newer) {
        &NEWER
    } else {
        &[]
    };
    KNOWN
        .iter()
        .chain(newer)
        .chain(&USER_ONLY)
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_newer("2.1.330 (Claude Code)") && is_newer("2.2.0") && is_newer("3.0.1-beta"));
        assert!(!is_newer("2.1.99") && !is_newer("nonsense"));
        assert_eq!(
            (events(None).len(), events(Some("2.1.112")).len()),
            (33, 27)
        );
    }
}
