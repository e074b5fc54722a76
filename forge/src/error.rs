//! What can be wrong with a call.

use cib_https::HttpsError;
use cib_protocol::forge::ForgeKind;

/// What a [`ForgeError`] means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The token does not hold: a person has to give another.
    AuthExpired,
    /// The token may not do this.
    NoRight,
    /// There is no such thing, or the token does not see it.
    NotFound,
    /// Not now: see [`ForgeError::retry_at`].
    Limited,
    /// The forge does not answer, or fails: the same call may work later.
    ForgeDown,
    /// The forge does not want this, and says why.
    Refused,
    /// The forge has no such thing.
    Unsupported,
    /// What it answered cannot be understood.
    Unknown,
}

impl ErrorKind {
    /// The spelling on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthExpired => "auth_expired",
            Self::NoRight => "no_right",
            Self::NotFound => "not_found",
            Self::Limited => "rate_limited",
            Self::ForgeDown => "forge_down",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a call came to nothing. What the forge said stands in it in its words, at most 300
/// characters of them on one line, and never the token.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// 401.
    #[error("{host} does not take the token: {words}")]
    Auth {
        /// The forge.
        host: String,
        /// What it says.
        words: String,
    },
    /// 403.
    #[error("{host} does not let the token do this: {words}")]
    NoRight {
        /// The forge.
        host: String,
        /// What it says.
        words: String,
    },
    /// 404, or 410.
    #[error("{host} has no {what}, or the token does not see it")]
    NotFound {
        /// The forge.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// Too many calls.
    #[error("{host} takes no more calls until {until} s after 1970")]
    Limited {
        /// The forge.
        host: String,
        /// When it does again: seconds since 1970.
        until: u64,
    },
    /// Nobody answered.
    #[error("{host} does not answer")]
    Unreachable {
        /// The forge.
        host: String,
        /// Why not.
        #[source]
        source: HttpsError,
    },
    /// A status of 500 or above.
    #[error("{host} fails with {status}: {words}")]
    Down {
        /// The forge.
        host: String,
        /// The status.
        status: u16,
        /// What it says.
        words: String,
    },
    /// Any other status that is no success; 409 and 422 above all.
    #[error("{host} refuses with {status}: {words}")]
    Refused {
        /// The forge.
        host: String,
        /// The status.
        status: u16,
        /// What it says.
        words: String,
    },
    /// Nothing differs between head and base, so there is nothing to ask for.
    #[error("{host} sees no commit between {base} and {head}")]
    NoCommits {
        /// The forge.
        host: String,
        /// The base.
        base: String,
        /// The branch.
        head: String,
    },
    /// The answer has not the fields that it must have.
    #[error("{host} answers without a usable `{field}`")]
    Answer {
        /// The forge.
        host: String,
        /// The field.
        field: &'static str,
    },
    /// What was made cannot be used yet, after all the time that it was given.
    #[error("{host} has not finished {what} in time")]
    Unfinished {
        /// The forge.
        host: String,
        /// What.
        what: &'static str,
    },
    /// A forge of this kind has nothing like it.
    #[error("{} has no {what}", kind.as_str())]
    Unsupported {
        /// The kind.
        kind: ForgeKind,
        /// What.
        what: &'static str,
    },
}

impl ForgeError {
    /// What it means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Auth { .. } => ErrorKind::AuthExpired,
            Self::NoRight { .. } => ErrorKind::NoRight,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Limited { .. } => ErrorKind::Limited,
            Self::Unreachable { .. } | Self::Down { .. } | Self::Unfinished { .. } => {
                ErrorKind::ForgeDown
            }
            Self::Refused { .. } | Self::NoCommits { .. } => ErrorKind::Refused,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Answer { .. } => ErrorKind::Unknown,
        }
    }

    /// Whether the same call may work later, without anybody doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.is_passing(),
            _ => matches!(self.kind(), ErrorKind::Limited | ErrorKind::ForgeDown),
        }
    }

    /// When the forge takes calls again, in seconds since 1970, if it says so.
    #[must_use]
    pub fn retry_at(&self) -> Option<u64> {
        match self {
            Self::Limited { until, .. } => Some(*until),
            _ => None,
        }
    }
}
