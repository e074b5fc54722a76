//! Watches egress while the box runs, and tells the actor what happens.

use std::rc::Rc;
use std::time::Duration;

use cib_nft::watch::{Changes, Links, Refusals};
use cib_resolver::stub::resolve_through;
use cib_upstream::Host;
use cib_upstream::probe::{DEADLINE, INTERVAL, Reachability};
use tokio::time::{Instant, sleep};

use super::inner::{Inner, RESOLVE_TIMEOUT};
use super::liveness::Liveness;
use super::machine::Event;
use crate::logs::Level;
use crate::pause::Timer;

/// A watch that failed is started again after this long.
const RETRY: Duration = Duration::from_secs(5);
/// The log reports one user's refused packets to one port once in this time.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How often the path is checked, and the upstream's name looked up again.
const PATH_INTERVAL: Duration = Duration::from_secs(300);
/// The same while the path does not work.
const PATH_RETRY: Duration = Duration::from_secs(30);
/// How often the redirector's port is looked at while it is somebody else's.
const SQUATTED_INTERVAL: Duration = Duration::from_secs(1);
/// The log remembers so many pairs of user and port. The counters count the others.
const REMEMBERED: usize = 64;

/// Called when a watch has handled what happened and waits again.
type Settled = dyn Fn();

pub(super) fn start(inner: &Rc<Inner>, first: Reachability, settled: Rc<Settled>) {
    let egress = || Rc::clone(inner);
    let up = first.is_up();
    tokio::task::spawn_local(probe(egress(), first, Rc::clone(&settled)));
    if inner.settings.mode.locks() {
        tokio::task::spawn_local(changes(egress()));
        tokio::task::spawn_local(links(egress()));
        tokio::task::spawn_local(refused(egress(), settled));
        tokio::task::spawn_local(path(egress(), up));
    }
}

async fn probe(egress: Rc<Inner>, first: Reachability, settled: Rc<Settled>) {
    debug_assert!(DEADLINE + INTERVAL <= Duration::from_secs(10));
    let mut health = first;
    let mut timer = Timer::new();
    loop {
        egress.happened(Event::Probed(health));
        if egress.settings.mode.locks() {
            egress.happened(Event::Listener(egress.listener()));
        }
        settled();
        let squatted = egress.machine.borrow().is_squatted();
        timer
            .pause(if squatted {
                SQUATTED_INTERVAL
            } else {
                INTERVAL
            })
            .await;
        health = egress.probe().await;
    }
}

/// Checks the path and looks the upstream's name up again, both only while the upstream answers:
/// the look-up goes through it.
async fn path(egress: Rc<Inner>, first: bool) {
    let mut timer = Timer::new();
    let mut up = first;
    loop {
        let mut pause = PATH_RETRY;
        if up {
            let trouble = egress.trouble(&egress.take_path().await);
            if trouble.is_none() {
                pause = PATH_INTERVAL;
            }
            egress.happened(Event::Path(trouble));
            look_up_name(&egress).await;
        }
        timer.pause(pause).await;
        up = *egress.machine.borrow().liveness() == Liveness::Up;
    }
}

/// Asks through the upstream for the addresses that its name has now.
async fn look_up_name(egress: &Inner) {
    let Host::Name(name) = egress.upstream.host() else {
        return;
    };
    let server = ([127, 0, 0, 1], cib_nft::DNS_PORT.get()).into();
    // A name that only the system knew at boot, or a proxy that is away just now, has none.
    if let Ok(fresh) = resolve_through(server, name, RESOLVE_TIMEOUT).await {
        egress.happened(Event::Names(fresh));
    }
}

async fn changes(egress: Rc<Inner>) {
    loop {
        let error = match Changes::open() {
            Ok(mut changes) => {
                // Whatever changed while nobody watched.
                egress.happened(Event::Changed {
                    by: "somebody".to_owned(),
                    generation: cib_nft::watch::generation().await.ok(),
                });
                loop {
                    match changes.next().await {
                        Ok(change) if change.own_table || change.overrun => {
                            egress.happened(Event::Changed {
                                by: change.process.unwrap_or_else(|| "somebody".to_owned()),
                                generation: change.generation.filter(|_| !change.overrun),
                            });
                        }
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                }
            }
            Err(error) => error,
        };
        lost(&egress, "the ruleset", &error);
        sleep(RETRY).await;
    }
}

async fn links(egress: Rc<Inner>) {
    loop {
        let error = match Links::open().await {
            Ok(mut links) => loop {
                // Also what came while nobody watched.
                egress.happened(Event::Devices(links.devices()));
                if let Err(error) = links.next().await {
                    break error;
                }
            },
            Err(error) => error,
        };
        lost(&egress, "the network devices", &error);
        sleep(RETRY).await;
    }
}

/// Says which watch no longer works.
fn lost(egress: &Inner, what: &str, error: &std::io::Error) {
    let line = format!("{what} can no longer be watched: {error}");
    egress.log(Level::Warn, &line);
}

async fn refused(egress: Rc<Inner>, settled: Rc<Settled>) {
    // Without the kernel's packet log the counters have to do; enforcing already said so.
    let Ok(mut refusals) = Refusals::open().await else {
        return;
    };
    let mut told: Vec<(Instant, Option<u32>, Option<u16>)> = Vec::new();
    while let Ok(batch) = refusals.next().await {
        told.retain(|(at, ..)| at.elapsed() < REPORT_INTERVAL);
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
            egress.log(Level::Info, &line);
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
