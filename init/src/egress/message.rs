//! What the actor is asked for.

use cib_nft::{Counters, VerifyError};
use tokio::sync::oneshot;

use super::error::EgressError;
use super::machine::Event;
use super::rules::RulesError;

/// What the actor is asked for.
pub(super) enum Message {
    /// Something happened.
    Happened(Event),
    /// Something is wanted, and whoever wants it waits: for what the kernel could not do, or
    /// why it is not so.
    Wanted(Event, oneshot::Sender<Result<Vec<String>, EgressError>>),
    /// Whether the rules stand as they were applied.
    Inspected(oneshot::Sender<Option<Result<(), Found>>>),
    /// What was refused since the boot.
    Counted(oneshot::Sender<Counters>),
}

/// What was found in place of what was applied.
pub(super) enum Found {
    /// Something else.
    Drift(VerifyError),
    /// Nobody can tell.
    Fault(RulesError),
}
