//! What a step changed, and what it warns of.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that a step changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was changed, as programs in the box name it.
    pub subject: PathBuf,
    /// How.
    pub what: String,
}

/// What a step did, and what somebody should know about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was changed; nothing if everything was right already.
    pub changes: Vec<Change>,
    /// What is odd, one sentence each.
    pub warnings: Vec<String>,
}

impl Outcome {
    pub(crate) fn changed(&mut self, subject: &Path, what: impl Into<String>) {
        self.changes.push(Change {
            subject: subject.to_owned(),
            what: what.into(),
        });
    }

    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Adds what another step has to say.
    pub fn extend(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.warnings.extend(other.warnings);
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject.display(), self.what)
    }
}
