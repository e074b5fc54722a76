//! What a command ends with when it does not do what it was asked for.

use std::error::Error;

use crate::text;

/// Exit codes, as `sysexits` and the field's other commands have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something failed.
    Failed,
    /// The command line is wrong, or an answer is needed and nobody can be asked.
    Usage,
    /// A credential is missing.
    Credential,
    /// No container engine answers.
    Engine,
    /// The configuration is wrong, or the box refuses it.
    Configuration,
    /// Interrupted from the keyboard.
    Interrupted,
}

impl Exit {
    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Credential => 4,
            Self::Engine => 69,
            Self::Configuration => 78,
            Self::Interrupted => 130,
        }
    }
}

/// A failure with its exit code and what a person can do about it.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What went wrong, with its causes.
    pub error: Box<dyn Error + Send + Sync>,
    /// What helps, if that is known: a sentence, or a command to type.
    pub remedy: Option<String>,
}

impl Failure {
    /// A failure of some kind.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit,
            error: error.into(),
            remedy: None,
        }
    }

    /// One of no particular kind.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Failed, error)
    }

    /// A wrong command line.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// What went wrong and why, in one line of text that no terminal obeys.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = text::plain(&self.error.to_string());
        let mut cause: Option<&dyn Error> = self.error.source();
        while let Some(error) = cause {
            words.push_str(": ");
            words.push_str(&text::plain(&error.to_string()));
            cause = error.source();
        }
        words
    }

    /// With what helps.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Operations whose errors are of no particular kind for a caller of `cib`.
macro_rules! plain {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::failed(error)
            }
        })*
    };
}

plain!(
    std::io::Error,
    crate::process::RunError,
    crate::api::ApiError,
    crate::git::snapshot::SnapshotError,
    crate::git::pack::PackError,
);
