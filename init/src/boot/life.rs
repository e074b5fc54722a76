//! Where a box is in its life, and what of it has been brought up.

use std::cell::{OnceCell, RefCell};

use crate::egress::Egress;
use crate::egress::joined::Joined;
use crate::session::Keepers;

/// Where the box is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The plan is being carried out.
    Booting,
    /// The plan was carried out.
    Up,
    /// The plan is undone.
    ShuttingDown,
}

/// What has been brought up so far, for whoever looks at it and whoever takes it down.
#[derive(Default)]
pub(super) struct Booted {
    pub(super) keepers: OnceCell<Keepers>,
    pub(super) egress: OnceCell<Egress>,
    pub(super) joined: OnceCell<Joined>,
    pub(super) warnings: RefCell<Vec<String>>,
}

impl Booted {
    /// Notes what a person has to know, and says it.
    pub(super) fn warn(&self, line: String) {
        tracing::warn!("{line}");
        self.warnings.borrow_mut().push(line);
    }
}
