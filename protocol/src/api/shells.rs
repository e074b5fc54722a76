//! Shells: plain terminals in the box.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::purge::Purged;
use crate::secret::Secret;
use crate::session::{SessionId, SessionMeta, State};
use crate::time::Timestamp;

/// Body of `POST /api/shells`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateShell {
    /// Absolute directory in the box; `/workspace` if absent.
    #[serde(default, alias = "cwd")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    pub workdir: Option<String>,
    /// Columns of the terminal; 120 if absent. Comes with `rows`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub cols: Option<u16>,
    /// Rows of the terminal; 32 if absent. Comes with `cols`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub rows: Option<u16>,
    /// Variables for the shell.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// What the shell may use. Turns and cost are Claude's and mean nothing here.
    #[serde(default, deserialize_with = "crate::object::option")]
    pub limits: Option<Limits>,
    /// A name for people.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 200),
            regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")
        )
    )]
    pub title: Option<String>,
}

/// What a shell is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shell {
    /// The shell's id.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: SessionId,
    /// Where it began.
    pub workdir: String,
    /// A name for people.
    #[serde(default)]
    pub title: Option<String>,
    /// `idle` while it lives, else how it ended.
    pub state: State,
    /// Why it ended: `exit`, `exit N`, `limit NAME`, `shutdown`.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
    /// Its exit code; 128+n if signal n ended it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Seq of the last frame in its journal.
    pub last_seq: u64,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

impl From<SessionMeta> for Shell {
    fn from(meta: SessionMeta) -> Self {
        Self {
            id: meta.id,
            workdir: meta.workdir.display().to_string(),
            title: meta.title,
            state: meta.state,
            reason: meta.reason,
            created_at: meta.created_at,
            stopped_at: meta.stopped_at,
            exit_code: meta.exit_code,
            last_seq: meta.last_seq,
            limits: meta.limits,
        }
    }
}

/// Answer to `DELETE /api/shells/{id}`: what the shell is then, or was until it was purged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndedShell {
    /// The shell.
    #[serde(flatten)]
    pub shell: Shell,
    /// What was removed, with `purge`; the shell is gone then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged: Option<Purged>,
}

/// `GET /api/shells`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShellList {
    /// The shells that the box remembers, the newest first.
    pub shells: Vec<Shell>,
    /// What `after` takes for the next part of the list; absent behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether more are being looked at and not in it yet; absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}
