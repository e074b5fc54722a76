//! Claude's own login, by which a subscription or a console account pays.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::time::Timestamp;

/// Answer of every route under `/api/auth/claude`: what is stored, and how the login that was
/// begun last stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaudeLogin {
    /// Whether a login is stored. Keys in the box's environment are none.
    pub logged_in: bool,
    /// What kind of login, in the CLI's own words: `claude.ai`, `console`.
    #[serde(default)]
    pub method: Option<String>,
    /// Whose it is.
    #[serde(default)]
    pub email: Option<String>,
    /// The organisation that it belongs to.
    #[serde(default)]
    pub organization: Option<String>,
    /// The subscription: `pro`, `max`.
    #[serde(default)]
    pub subscription: Option<String>,
    /// Variables of the box that Claude takes a credential from as well, where no session
    /// says otherwise.
    #[serde(default)]
    pub environment: Vec<String>,
    /// The login that was begun last, if that was not long ago.
    #[serde(default)]
    pub flow: Option<LoginFlow>,
}

/// A login on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoginFlow {
    /// How far it is.
    pub state: LoginState,
    /// The address that a person opens in any browser. It leads to the code.
    #[serde(default)]
    pub url: Option<String>,
    /// The CLI's own words, where a login failed.
    #[serde(default)]
    pub detail: Option<String>,
    /// When it was begun.
    pub started_at: Timestamp,
}

/// How far a login is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoginState {
    /// The CLI has not yet said where to go.
    Starting,
    /// A person has to open `url` and bring back the code.
    AwaitingCode,
    /// The code is being looked at.
    Verifying,
    /// Logged in.
    Done,
    /// It did not work; `detail` says why.
    Failed,
    /// It was given up.
    Cancelled,
    /// Nobody brought a code.
    TimedOut,
}

impl LoginState {
    /// Whether something may still come of it.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Starting | Self::AwaitingCode | Self::Verifying)
    }
}

/// Whose account a login is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoginMethod {
    /// A subscription at claude.ai.
    #[default]
    Claudeai,
    /// A console account, which is billed by usage.
    Console,
}

/// Body of `POST /api/auth/claude/start`; an empty body means the same as `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StartLogin {
    /// Whose account it is for.
    #[serde(default)]
    pub method: LoginMethod,
    /// Address to fill in on the login page.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = 254),
            regex(pattern = r"^[^\s\u0000-\u001f\u007f-\u009f-][^\s\u0000-\u001f\u007f-\u009f]*$")
        )
    )]
    pub email: Option<String>,
    /// Log in by the organisation's single sign-on.
    #[serde(default)]
    pub sso: bool,
    /// An older spelling of `method`: true means `console`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub console: bool,
}

/// Body of `POST /api/auth/claude/code`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginCode {
    /// What the login page showed, whole.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 4096)))]
    pub code: Secret,
    /// Which login it is for, as an older client says it; only one is on its way, so it counts for
    /// nothing.
    #[serde(default, skip_serializing)]
    pub flow_id: Option<String>,
}
