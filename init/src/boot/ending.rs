//! The plan undone, within a budget that fits into the engine's patience.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::boot::live::{Booted, Parts};
use crate::errors::chain;
use crate::logs::Level;

/// What is kept of the budget for services, once sessions had their share: control drains its
/// streams within two seconds.
const FOR_SERVICES: Duration = Duration::from_millis(2800);

/// Ends sessions, then services, then whatever is left. A second ask hurries.
pub(super) async fn end(
    parts: &Parts,
    booted: &Booted,
    budget: Duration,
    asks: &mut mpsc::UnboundedReceiver<()>,
) {
    parts.logs.write(Level::Info, "init", "the box is ending");
    let deadline = Instant::now() + budget;
    let orderly = async {
        if let Some(keepers) = &booted.keepers {
            keepers.stop(budget.saturating_sub(FOR_SERVICES)).await;
        }
        if let Some(egress) = &booted.egress {
            // Before redsocks goes: what is sent from here on has no way to fall back to.
            if let Err(error) = egress.shut().await {
                parts.logs.write(Level::Error, "egress", &chain(&error));
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        parts.supervisor.stop_all(left.min(FOR_SERVICES)).await;
    };
    let hurried = tokio::select! {
        _ = timeout_at(deadline, orderly) => false,
        _ = asks.recv() => true,
    };
    if hurried {
        parts.logs.write(
            Level::Warn,
            "init",
            "asked again: whatever still runs is killed",
        );
        parts.supervisor.hurry();
    }
}
