//! Scopes: what a token may do.

use std::fmt;

macro_rules! scopes {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// What a device token may be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Scope { $($(#[$doc])+ $variant,)+ }

        impl Scope {
            /// Every scope, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The scope as a client writes it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

scopes! {
    /// List sessions, read their journals, follow them.
    SessionsRead = "sessions:read",
    /// Start and end sessions, change model, driver and permissions, interrupt.
    SessionsWrite = "sessions:write",
    /// Send input, answers and terminal sizes to sessions.
    SessionsInput = "sessions:input",
    /// List shells and follow them.
    ShellsRead = "shells:read",
    /// Start and end shells.
    ShellsWrite = "shells:write",
    /// Type into shells.
    ShellsInput = "shells:input",
    /// List and read files.
    FsRead = "fs:read",
    /// Write and delete files.
    FsWrite = "fs:write",
    /// List third-party providers.
    ProvidersRead = "providers:read",
    /// Add and change third-party providers.
    ProvidersWrite = "providers:write",
    /// Read preferences.
    PrefsRead = "prefs:read",
    /// Change preferences.
    PrefsWrite = "prefs:write",
    /// List exposed ports.
    PortsRead = "ports:read",
    /// Expose ports.
    PortsWrite = "ports:write",
    /// Read hooks.
    HooksRead = "hooks:read",
    /// Change hooks.
    HooksWrite = "hooks:write",
    /// List device tokens.
    TokensRead = "tokens:read",
    /// Mint and revoke device tokens.
    TokensWrite = "tokens:write",
    /// Read the state of egress.
    ProxyRead = "proxy:read",
    /// Read usage and metrics.
    UsageRead = "usage:read",
    /// List tasks, follow them, read their logs.
    TasksRead = "tasks:read",
    /// Submit, cancel and retry tasks, say something to them, change their queue. Who may do that has
    /// commands run in the box.
    TasksWrite = "tasks:write",
}

/// How every scope at once is written.
pub const WILDCARD: &str = "*";

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u32);

/// A word that is no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope `{0}`; the scopes are `*`, {list}", list = known())]
pub struct UnknownScope(pub String);

fn known() -> String {
    let names: Vec<_> = Scope::ALL
        .iter()
        .map(|scope| format!("`{}`", scope.as_str()))
        .collect();
    names.join(", ")
}

impl Scopes {
    /// Every scope there is, and every one that a later version adds.
    pub const ALL: Self = Self(u32::MAX);

    /// Reads the words of a request or of the token file.
    ///
    /// # Errors
    /// Names the first word that is no scope.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, UnknownScope> {
        let mut scopes = Self::default();
        for word in words.iter().map(AsRef::as_ref) {
            if word == WILDCARD {
                return Ok(Self::ALL);
            }
            let scope = Scope::ALL
                .iter()
                .find(|scope| scope.as_str() == word)
                .ok_or_else(|| UnknownScope(word.to_owned()))?;
            scopes.0 |= bit(*scope);
        }
        Ok(scopes)
    }

    /// Every scope of either set.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set covers a scope.
    #[must_use]
    pub fn allows(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }

    /// Whether every scope of `other` is in this set.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words that [`Scopes::parse`] reads.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        if self == Self::ALL {
            return vec![WILDCARD];
        }
        Scope::ALL
            .iter()
            .filter(|scope| self.allows(**scope))
            .map(|scope| scope.as_str())
            .collect()
    }
}

fn bit(scope: Scope) -> u32 {
    1 << scope as u32
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_survives_its_own_spelling_and_allows_only_itself() {
        for scope in Scope::ALL {
            let scopes = Scopes::parse(&[scope.as_str()]).unwrap();
            assert_eq!(scopes.words(), [scope.as_str()]);
            for other in Scope::ALL {
                assert_eq!(scopes.allows(*other), scope == other);
            }
        }
    }

    #[test]
    fn the_wildcard_covers_everything_and_is_covered_by_nothing_less() {
        let all = Scopes::parse(&["*"]).unwrap();
        let every =
            Scopes::parse(&Scope::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>()).unwrap();
        assert!(all.covers(every));
        assert!(!every.covers(all));
        assert_eq!(all.words(), ["*"]);
    }

    #[test]
    fn init_checks_by_the_same_words() {
        let words: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        assert_eq!(words, cib_protocol::scopes::SCOPES);
    }

    #[test]
    fn an_unknown_scope_is_named_with_the_known_ones() {
        let error = Scopes::parse(&["sessions:read", "sessions:reed"]).unwrap_err();
        assert!(error.to_string().contains("`sessions:reed`"));
        assert!(error.to_string().contains("`sessions:read`"));
    }
}
