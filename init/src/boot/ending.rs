//! Ends the box in time: sessions first, then services, then whatever is left.

use std::time::Duration;

use cib_base::errors::chain;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::boot::life::Booted;
use crate::boot::live::Parts;
use crate::descendants::{KILL_AGAIN, Remaining, UNKILLABLE, WAKE_AFTER};

/// What is left behind by services gets this long to end.
const LAST_SWEEP: Duration = Duration::from_millis(500);

/// The latest ends of what is ended one after the other, counted from the first ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares {
    /// Of sessions. Services get what these leave.
    sessions: Duration,
    /// Of services.
    services: Duration,
}

impl Shares {
    /// Shares a budget out. Services are promised the `graces` that their configuration asks
    /// for, one after the other where one needs another, but never more than half: a session
    /// that is cut off loses work, a service is made to be started again.
    fn of(budget: Duration, graces: Duration) -> Self {
        let services = budget.saturating_sub(LAST_SWEEP.min(budget / 4));
        Self {
            sessions: services - graces.min(services / 2),
            services,
        }
    }
}

/// Ends sessions, then services, then whatever is left. A second ask hurries.
pub(super) async fn end(
    parts: &Parts,
    booted: &Booted,
    budget: Duration,
    asks: &mut mpsc::UnboundedReceiver<()>,
) {
    tracing::info!("the box is ending");
    let began = Instant::now();
    let deadline = began + budget;
    let shares = Shares::of(budget, parts.supervisor.graces());
    let orderly = async {
        if let Some(keepers) = booted.keepers.get() {
            keepers.stop(shares.sessions).await;
        }
        if let Some(egress) = booted.egress.get() {
            // Before redsocks goes: what is sent from here on has no way to fall back to.
            if let Err(error) = egress.shut().await {
                tracing::error!(service = "egress", "{}", chain(&error));
            }
        }
        let left = (began + shares.services).saturating_duration_since(Instant::now());
        parts.supervisor.stop_all(left).await;
    };
    let hurried = tokio::select! {
        _ = timeout_at(deadline, orderly) => false,
        _ = asks.recv() => true,
    };
    if hurried {
        tracing::warn!("asked again: whatever still runs is killed");
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
    let mut wake_at = None;
    loop {
        reaper.drain().await;
        if reaper.is_childless() {
            return;
        }
        let now = Instant::now();
        let look_again = if now < kill_at {
            if remaining.ask() {
                wake_at = Some(now + WAKE_AFTER);
            }
            match wake_at {
                Some(then) if then <= now => {
                    remaining.wake();
                    wake_at = None;
                    kill_at
                }
                Some(then) => kill_at.min(then),
                None => kill_at,
            }
        } else if now < kill_at + UNKILLABLE {
            remaining.kill();
            now + KILL_AGAIN
        } else {
            tracing::warn!("some processes cannot be killed; leaving them");
            return;
        };
        tokio::select! {
            () = reaper.death() => {}
            () = sleep_until(look_again) => {}
            Some(()) = asks.recv() => kill_at = kill_at.min(Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn services_are_promised_their_graces_and_sessions_the_rest() {
        let usual = Shares::of(ms(8000), ms(2500));
        assert_eq!((usual.sessions, usual.services), (ms(5000), ms(7500)));
        let long = Shares::of(ms(60_000), ms(20_000));
        assert_eq!((long.sessions, long.services), (ms(39_500), ms(59_500)));
    }

    proptest! {
        #[test]
        fn nobody_is_left_without_time_and_all_of_it_fits_the_budget(
            budget in 500_u64..3_600_000, graces in 0_u64..3_600_000,
        ) {
            let shares = Shares::of(ms(budget), ms(graces));
            prop_assert!(shares.sessions >= shares.services / 2);
            prop_assert!(shares.services < ms(budget));
            let promised = shares.services - shares.sessions;
            prop_assert!(promised == ms(graces) || promised == shares.services / 2);
        }
    }
}
