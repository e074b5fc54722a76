//! Accounts of people, and where they are signed in.

use serde::{Deserialize, Serialize};

use super::InfoCaller;
use crate::secret::Secret;
use crate::time::Timestamp;

/// Body of `POST /api/auth/setup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The administrator's name.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub username: String,
    /// Its password: 8 to 1,024 bytes.
    pub password: Secret,
}

/// Body of `POST /api/auth/login`: a name and a password, or a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// An account's name.
    #[serde(default)]
    pub username: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The master token, or a device token, instead of both.
    #[serde(default)]
    pub token: Option<Secret>,
}

/// Answer to a sign-in. The cookie is in the answer's headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignedIn {
    /// What has to come with the cookie, as `X-CIB-Proof`. It is shown this once.
    pub proof: Secret,
    /// When the sign-in ends whatever happens.
    pub expires_at: Timestamp,
    /// Who is signed in.
    pub caller: InfoCaller,
}

/// Where somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignInInfo {
    /// Its id: 16 hexadecimal digits.
    pub id: String,
    /// Who: `account "ann"`, `device token 0123456789abcdef` or `master`.
    pub who: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last used. Written to disk only now and then.
    pub last_used_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// Where it was made from.
    pub address: String,
    /// What its browser calls itself; empty if it says nothing.
    pub device: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// `GET /api/auth/sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignInList {
    /// Those of the caller, or for an administrator everybody's; the latest used first.
    pub sessions: Vec<SignInInfo>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountInfo {
    /// Its name.
    pub name: String,
    /// What it may do; `*` is an administrator.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its password was set.
    pub password_set_at: Timestamp,
}

/// `GET /api/auth/accounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountList {
    /// Every account, oldest first.
    pub accounts: Vec<AccountInfo>,
}

/// Body of `POST /api/auth/accounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    /// Its name: letters, digits and `.`, `_`, `-`, `@`, `+`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub name: String,
    /// Its password: 8 to 1,024 bytes.
    pub password: Secret,
    /// What it may do; `*` is everything.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub scopes: Vec<String>,
}

/// Body of `PATCH /api/auth/accounts/{name}`. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeAccount {
    /// Another password. Every sign-in of the account ends, but the one that asks.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The password until now, which is wanted of whoever is signed in to that account.
    #[serde(default)]
    pub current_password: Option<Secret>,
    /// Other scopes, which an administrator may give.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}
