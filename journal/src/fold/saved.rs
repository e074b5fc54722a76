//! A fold outside of memory.

use std::borrow::Cow;
use std::sync::Arc;

use cib_protocol::session::SessionMeta;
use serde::{Deserialize, Serialize};

use super::Fold;
use super::spent::Spent;
use crate::line::Owner;

/// What has to be kept of a [`Fold`] so that it can go on later. Whoever keeps it has to know
/// whether the journal is still the one that it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved<'a> {
    /// Offset behind the last line that was taken up.
    pub offset: u64,
    /// Whether a keeper has said what the session was asked to be.
    pub is_opened: bool,
    /// Whether the last frame says that the session has ended.
    pub is_closed: bool,
    /// What the frames say.
    pub meta: Cow<'a, SessionMeta>,
    /// What was used, by day and model.
    pub spent: Cow<'a, Spent>,
}

impl Fold {
    /// What has to be kept; `None` before the first frame.
    #[must_use]
    pub fn saved(&self) -> Option<Saved<'_>> {
        Some(Saved {
            offset: self.offset,
            is_opened: self.is_opened,
            is_closed: self.is_closed,
            meta: Cow::Borrowed(self.meta()?),
            spent: Cow::Borrowed(&*self.spent),
        })
    }

    /// Goes on where a fold was kept.
    #[must_use]
    pub fn restored(saved: Saved<'_>) -> Self {
        let meta = saved.meta.into_owned();
        Self {
            owner: Owner::new(meta.id),
            flaw: meta.damage.clone(),
            is_opened: saved.is_opened,
            is_closed: saved.is_closed,
            offset: saved.offset,
            searched: 0,
            spent: Arc::new(saved.spent.into_owned()),
            meta: Some(Arc::new(meta)),
        }
    }
}
