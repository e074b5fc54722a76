//! What happens to egress while the box runs.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use cib_nft::watch::{Changes, Links, Refusals};
use cib_redsocks::probe::{DEADLINE, Health, INTERVAL};
use cib_redsocks::upstream::Host;
use tokio::time::{Instant, sleep};

use super::liveness::{Liveness, Reaction};
use super::{Egress, Turn, lost, rules};
use crate::errors::chain;
use crate::logs::Level;
use crate::pause::Timer;

/// Name of egress in the log.
const NAME: &str = "egress";
/// A failed watch is begun again after this long.
const AGAIN: Duration = Duration::from_secs(5);
/// One user's refused packets to one port are told once in so long.
const QUIET: Duration = Duration::from_secs(60);
/// How often the upstream's name is looked up again.
const NAMES: Duration = Duration::from_secs(300);
/// So many different ones are remembered for that; beyond, the counters tell.
const REMEMBERED: usize = 64;

/// What lets the redirector run, or holds it down.
type Gate = dyn Fn(Turn);
/// What is told that something that comes again and again is over for now.
type Settled = dyn Fn();

pub(super) fn start(egress: &Egress, first: Health, gate: Rc<Gate>, settled: Rc<Settled>) {
    tokio::task::spawn_local(probe(egress.clone(), first, gate, Rc::clone(&settled)));
    if egress.is_locked() {
        tokio::task::spawn_local(changes(egress.clone()));
        tokio::task::spawn_local(links(egress.clone()));
        tokio::task::spawn_local(refused(egress.clone(), settled));
        tokio::task::spawn_local(names(egress.clone()));
    }
}

async fn probe(egress: Egress, first: Health, gate: Rc<Gate>, settled: Rc<Settled>) {
    debug_assert!(DEADLINE + INTERVAL <= Duration::from_secs(10));
    let mut health = first;
    let mut timer = Timer::new();
    loop {
        egress.observe(health, &*gate);
        if egress.moved() {
            gate(Turn::Renew);
        }
        settled();
        timer.pause(INTERVAL).await;
        health = egress.probe().await;
    }
}

impl Egress {
    /// Takes a probe's finding in and says or does what follows from it.
    fn observe(&self, health: Health, gate: &Gate) {
        let sentence = health.sentence(self.0.upstream.endpoint());
        let reaction = self.0.state.borrow_mut().liveness.observe(health);
        let level = match reaction {
            Reaction::None => return,
            Reaction::Recovered => Level::Info,
            Reaction::Lost | Reaction::Silent => Level::Warn,
        };
        self.0.logs.write(level, NAME, &sentence);
        match reaction {
            Reaction::Recovered => gate(Turn::Run),
            Reaction::Silent => gate(Turn::Hold),
            Reaction::None | Reaction::Lost => {}
        }
    }

    /// Compares the rules with what was applied, and applies them again if they differ.
    async fn mend(&self, who: &str) {
        let (enforced, policy) = {
            let state = self.0.state.borrow();
            (state.enforced.clone(), state.policy.clone())
        };
        let (Some(enforced), Some(policy)) = (enforced, policy) else {
            return;
        };
        let found = match rules::drift(&self.0.processes, &enforced).await {
            Ok(None) => return,
            Ok(Some(drift)) => chain(&drift),
            Err(fault) => chain(&fault),
        };
        self.0.logs.write(
            Level::Error,
            NAME,
            &format!("{who} changed the rules: {found}"),
        );
        match self.enforce(policy).await {
            Ok(_) => self
                .0
                .logs
                .write(Level::Warn, NAME, "the rules were repaired"),
            Err(fault) => {
                let line = format!("the rules could not be repaired: {}", chain(&fault));
                self.0.logs.write(Level::Error, NAME, &line);
            }
        }
    }
}

impl Egress {
    /// Makes the rules anew if the devices are not those that they were made for.
    async fn cover(&self, devices: &BTreeSet<String>) {
        if self.0.state.borrow().covered == *devices {
            return;
        }
        let names = devices.iter().cloned().collect::<Vec<_>>().join(", ");
        let line = format!("the box's devices are now: {names}");
        self.0.logs.write(Level::Info, NAME, &line);
        let policy = self.0.state.borrow().policy.clone();
        if let Some(policy) = policy
            && let Err(fault) = self.enforce(policy).await
        {
            self.0.logs.write(Level::Error, NAME, &chain(&fault));
        }
    }
}

/// Looks the upstream's name up again and again, while the upstream is there to ask through.
async fn names(egress: Egress) {
    let Host::Name(name) = egress.0.upstream.host().clone() else {
        return;
    };
    let mut timer = Timer::new();
    loop {
        if egress.0.state.borrow().liveness == Liveness::Up {
            egress.look_again(&name).await;
        }
        timer.pause(NAMES).await;
    }
}

async fn changes(egress: Egress) {
    loop {
        match Changes::open() {
            Ok(mut changes) => {
                // Whatever changed while nobody watched.
                egress.mend("somebody").await;
                let error = loop {
                    match changes.next().await {
                        Ok(change) if change.own_table || change.overrun => {
                            let who = change.process.as_deref().unwrap_or("somebody");
                            egress.mend(who).await;
                        }
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                };
                egress
                    .0
                    .logs
                    .write(Level::Warn, NAME, &lost("the ruleset", &error));
            }
            Err(error) => egress
                .0
                .logs
                .write(Level::Warn, NAME, &lost("the ruleset", &error)),
        }
        sleep(AGAIN).await;
    }
}

/// The chains for all devices stand at once; those of the egress hook are made for each.
async fn links(egress: Egress) {
    loop {
        let error = match Links::open().await {
            Ok(mut links) => loop {
                // Also what came while nobody watched.
                egress.cover(&links.devices()).await;
                if let Err(error) = links.next().await {
                    break error;
                }
            },
            Err(error) => error,
        };
        egress
            .0
            .logs
            .write(Level::Warn, NAME, &lost("the network devices", &error));
        sleep(AGAIN).await;
    }
}

async fn refused(egress: Egress, settled: Rc<Settled>) {
    // Without the kernel's packet log the counters have to do; enforcing already said so.
    let Ok(mut refusals) = Refusals::open().await else {
        return;
    };
    let mut told: Vec<(Instant, Option<u32>, Option<u16>)> = Vec::new();
    while let Ok(batch) = refusals.next().await {
        told.retain(|(at, ..)| at.elapsed() < QUIET);
        for refusal in batch {
            let known = told
                .iter()
                .any(|(_, uid, port)| *uid == refusal.uid && *port == refusal.port);
            // A packet of the kernel's own is nobody's attempt.
            let Some(uid) = refusal.uid.filter(|_| !known && told.len() < REMEMBERED) else {
                continue;
            };
            told.push((Instant::now(), Some(uid), refusal.port));
            let port = refusal
                .port
                .map(|port| format!(" port {port}"))
                .unwrap_or_default();
            let line = format!(
                "refused: uid {uid} to {}{port} ({})",
                refusal.destination,
                protocol(refusal.protocol)
            );
            egress.0.logs.write(Level::Info, NAME, &line);
        }
        settled();
    }
}

/// A protocol's name, by its number at IANA.
fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        136 => "udplite".to_owned(),
        other => format!("protocol {other}"),
    }
}
