//! The lines on the socket on which root changes accounts: one request, one reply.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Where control is asked, in every box. Only root reaches it.
pub const PATH: &str = "/run/cib/control/accounts.sock";

/// What root may ask of control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum AccountsRequest {
    /// Give an account another password, and end all its sign-ins.
    Passwd {
        /// The account; if there is only one, that one.
        #[serde(default)]
        name: Option<String>,
        /// The password.
        password: Secret,
    },
}

/// What control answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountsReply {
    /// Done.
    Done {
        /// The account that it was done to.
        name: String,
    },
    /// Not done.
    Refused {
        /// A sentence for people.
        detail: String,
    },
}
