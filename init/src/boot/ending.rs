//! The plan undone, within a budget that fits into the engine's patience.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::bare::{KILL_AGAIN, Remaining, UNKILLABLE};
use crate::boot::live::{Booted, Parts};
use crate::errors::chain;
use crate::logs::Level;

/// What is kept of the budget for services, once sessions had their share: control drains its
/// streams within two seconds.
const FOR_SERVICES: Duration = Duration::from_millis(2800);

/// What is left behind by services gets at least this long to end.
const LAST_SWEEP: Duration = Duration::from_millis(500);
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
    let kill_at = if hurried {
        Instant::now()
    } else {
        deadline.max(Instant::now() + LAST_SWEEP)
    };
    sweep(parts, kill_at, asks).await;
}

/// Asks whoever is left to end, waits until nobody is, and kills from `kill_at` or a further
/// ask on: those who made themselves daemons, and what sessions left behind. Their lines are
/// read until they are gone.
async fn sweep(parts: &Parts, mut kill_at: Instant, asks: &mut mpsc::UnboundedReceiver<()>) {
    let reaper = parts.processes.reaper();
    let mut remaining = Remaining::of_this_process();
    loop {
        reaper.drain().await;
        if reaper.is_childless() {
            return;
        }
        let now = Instant::now();
        let look_again = if now < kill_at {
            remaining.ask();
            kill_at
        } else if now < kill_at + UNKILLABLE {
            remaining.kill();
            now + KILL_AGAIN
        } else {
            let line = "some processes cannot be killed; leaving them";
            parts.logs.write(Level::Warn, "init", line);
            return;
        };
        tokio::select! {
            () = reaper.death() => {}
            () = sleep_until(look_again) => {}
            Some(()) = asks.recv() => kill_at = kill_at.min(Instant::now()),
        }
    }
}
