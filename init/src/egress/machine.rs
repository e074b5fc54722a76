//! What follows from what happens to the way out: a function of its state and an event, and
//! nothing else.
//!
//! Three things are kept apart: what is *desired*, which follows from the state alone; what was
//! *applied* to the kernel; and the generation of the kernel's rules up to which that was
//! *verified*. One event is carried out before the next one is looked at, so nothing is ever
//! applied for a state that is over.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cib_upstream::Endpoint;
use cib_upstream::probe::Reachability;

use super::liveness::{Liveness, Reaction, sentence};
use super::pins;
use crate::logs::Level;

/// So many probes in a row have to fail before it is a trouble: a proxy may be started again.
const PATIENT: u32 = 3;

/// What is to stand in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Desired {
    /// Nothing but the proxy's name may be asked for.
    Closing(BTreeSet<IpAddr>),
    /// Nothing may leave.
    Closed,
    /// Everything leaves through the upstream.
    Open {
        /// Where it is.
        pinned: BTreeSet<IpAddr>,
        /// Where it may be as well, which init alone is looking at.
        candidate: Option<IpAddr>,
        /// Whether somebody else listens in the redirector's place.
        squatted: bool,
    },
}

/// How far the box has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Fresh,
    Closing(BTreeSet<IpAddr>),
    Closed,
    Open,
    /// The sessions have ended. Nothing leads back.
    Over,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The boot begins; with the name servers that may be asked for the upstream's name.
    Close(Option<BTreeSet<IpAddr>>),
    /// The upstream is there.
    Resolved(Vec<IpAddr>),
    /// The boot may open the way.
    Open,
    /// The last session has ended.
    Shut,
    /// What was desired stands, and was read back at this generation.
    Enforced(Desired, Option<u32>),
    /// It does not.
    Failed(String),
    /// Somebody changed rules.
    Changed {
        /// The name of the process.
        by: String,
        /// The generation that came of it, if nothing was lost.
        generation: Option<u32>,
    },
    /// What was applied stands as it was applied, at this generation.
    Stands(Option<u32>),
    /// It does not.
    Drifted {
        /// The name of the process that changed something last.
        by: String,
        /// What is different.
        found: String,
    },
    /// These devices are there now.
    Devices(BTreeSet<String>),
    /// The upstream's name has these addresses now.
    Names(Vec<IpAddr>),
    /// Whether somebody at this address speaks as the upstream does.
    Met(IpAddr, bool),
    /// The upstream answers at this one of its addresses, and not at the one that was used.
    Moved(IpAddr),
    /// What a probe of the upstream found.
    Probed(Reachability),
    /// Whether a connection by address gets through the upstream; if not, what a person is told.
    Path(Option<String>),
    /// Whose socket listens at the redirector's port.
    Listener(Option<u32>),
}

/// What is to become of the redirector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectorCommand {
    /// It is to run.
    Start,
    /// It is to be down until it may start.
    Stop,
    /// It and the resolver are started anew, with what is configured now.
    Restart,
}

/// What is to be done, in order. If enforcing fails, the rest is left undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Bring this into force, and read it back.
    Enforce(Desired),
    /// Compare what was applied with what stands; this process changed something.
    Inspect(String),
    /// Find out whether this address is the upstream's.
    Meet(IpAddr),
    /// Write the configuration of redsocks and the resolver anew, and start them anew.
    Renew(IpAddr),
    /// Command the redirector.
    Redirector(RedirectorCommand),
    /// Tell a person.
    Say(Level, String),
}

/// The state of the way out.
#[derive(Debug)]
pub(super) struct Machine {
    endpoint: Endpoint,
    /// The redirector's user and port.
    redirector: (u32, u16),
    phase: Phase,
    /// The upstream's addresses; the first that redsocks can use is used.
    pinned: Vec<IpAddr>,
    candidates: Vec<IpAddr>,
    squatter: Option<u32>,
    devices: BTreeSet<String>,
    applied: Option<Desired>,
    verified: Option<u32>,
    broken: Option<String>,
    liveness: Liveness,
    /// Probes that failed in a row.
    failures: u32,
    path: Option<String>,
}

impl Machine {
    pub(super) fn new(endpoint: Endpoint, redirector: (u32, u16)) -> Self {
        Self {
            endpoint,
            redirector,
            phase: Phase::Fresh,
            pinned: Vec::new(),
            candidates: Vec::new(),
            squatter: None,
            devices: BTreeSet::new(),
            applied: None,
            verified: None,
            broken: None,
            liveness: Liveness::default(),
            failures: 0,
            path: None,
        }
    }

    /// What is to stand now.
    pub(super) fn desired(&self) -> Option<Desired> {
        Some(match &self.phase {
            Phase::Fresh => return None,
            Phase::Closing(resolvers) => Desired::Closing(resolvers.clone()),
            Phase::Closed | Phase::Over => Desired::Closed,
            Phase::Open => Desired::Open {
                pinned: self.pinned.iter().copied().collect(),
                candidate: self.candidates.first().copied(),
                squatted: self.squatter.is_some(),
            },
        })
    }

    /// The upstream's addresses, the used one first.
    pub(super) fn pinned(&self) -> &[IpAddr] {
        &self.pinned
    }

    pub(super) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// What was wrong with the path when it was last checked.
    pub(super) fn path_trouble(&self) -> Option<&str> {
        self.path.as_deref()
    }

    pub(super) fn is_squatted(&self) -> bool {
        self.squatter.is_some()
    }

    pub(super) fn applied(&self) -> Option<&Desired> {
        self.applied.as_ref()
    }

    /// The devices that are known.
    pub(super) fn devices(&self) -> &BTreeSet<String> {
        &self.devices
    }

    /// The devices that the rules were made for.
    pub(super) fn covers(&mut self, devices: BTreeSet<String>) {
        self.devices = devices;
    }

    /// What is wrong now, each in a sentence.
    pub(super) fn troubles(&self) -> Vec<String> {
        if self.phase == Phase::Over {
            return Vec::new();
        }
        let mut troubles: Vec<String> = self.broken.iter().cloned().collect();
        if let Some(uid) = self.squatter {
            troubles.push(self.squatting(uid));
        }
        match &self.liveness {
            Liveness::Down { health } if self.failures >= PATIENT => {
                troubles.push(sentence(health, &self.endpoint));
            }
            _ => troubles.extend(self.path.clone()),
        }
        troubles
    }

    /// Takes an event in.
    pub(super) fn on(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Close(resolvers) => self.advance(
                &Phase::Fresh,
                match resolvers {
                    Some(resolvers) => Phase::Closing(resolvers),
                    None => Phase::Closed,
                },
            ),
            Event::Resolved(addresses) => {
                if matches!(self.phase, Phase::Open | Phase::Over) {
                    return Vec::new();
                }
                self.pinned = addresses;
                match self.phase {
                    Phase::Closing(_) => self.become_phase(Phase::Closed),
                    _ => Vec::new(),
                }
            }
            Event::Open => self.advance(&Phase::Closed, Phase::Open),
            Event::Shut => {
                self.candidates.clear();
                // Where nothing was applied, nothing could leave or everything may.
                let closes = self.applied.is_some() || self.phase != Phase::Fresh;
                self.phase = Phase::Over;
                if closes { self.enforce() } else { Vec::new() }
            }
            Event::Enforced(desired, generation) => {
                self.applied = Some(desired);
                self.verified = generation;
                self.broken = None;
                Vec::new()
            }
            Event::Failed(why) => {
                self.broken = Some(format!("the rules cannot be brought into force: {why}"));
                self.candidates.clear();
                vec![Action::Say(Level::Error, why)]
            }
            Event::Changed { by, generation } => self.changed(by, generation),
            Event::Stands(generation) => {
                self.verified = generation;
                Vec::new()
            }
            Event::Drifted { by, found } => self.drifted(&by, &found),
            Event::Devices(devices) => self.cover(devices),
            Event::Names(fresh) => self.named(&fresh),
            Event::Met(address, speaks) => self.met(address, speaks),
            Event::Moved(address) => self.moved(address),
            Event::Probed(health) => self.probed(health),
            Event::Path(trouble) => self.path_checked(trouble),
            Event::Listener(owner) => self.listened(owner),
        }
    }

    fn advance(&mut self, from: &Phase, to: Phase) -> Vec<Action> {
        if self.phase == *from {
            self.become_phase(to)
        } else {
            Vec::new()
        }
    }

    fn become_phase(&mut self, phase: Phase) -> Vec<Action> {
        self.phase = phase;
        self.enforce()
    }

    fn enforce(&self) -> Vec<Action> {
        self.desired().map(Action::Enforce).into_iter().collect()
    }

    /// A generation that was verified already is one of our own.
    fn changed(&self, by: String, generation: Option<u32>) -> Vec<Action> {
        if self.applied.is_none() {
            return Vec::new();
        }
        let known = match (generation, self.verified) {
            (Some(told), Some(verified)) => is_after(told, verified),
            _ => true,
        };
        if known {
            vec![Action::Inspect(by)]
        } else {
            Vec::new()
        }
    }

    fn drifted(&self, by: &str, found: &str) -> Vec<Action> {
        let line = format!("{by} changed the rules: {found}");
        let mut actions = vec![Action::Say(Level::Error, line)];
        actions.extend(self.enforce());
        let line = "the rules were repaired".to_owned();
        actions.push(Action::Say(Level::Warn, line));
        actions
    }

    /// The chains for all devices stand at once; those of the egress hook are made for each.
    fn cover(&mut self, devices: BTreeSet<String>) -> Vec<Action> {
        if self.applied.is_none() || self.devices == devices {
            return Vec::new();
        }
        let names = devices.iter().cloned().collect::<Vec<_>>().join(", ");
        let line = format!("the box's devices are now: {names}");
        self.devices = devices;
        let mut actions = vec![Action::Say(Level::Info, line)];
        actions.extend(self.enforce());
        actions
    }

    fn named(&mut self, fresh: &[IpAddr]) -> Vec<Action> {
        if self.phase != Phase::Open || !self.candidates.is_empty() {
            return Vec::new();
        }
        let mut actions = Vec::new();
        for address in pins::unknown(&self.pinned, fresh) {
            if pins::same_kind(&self.pinned, address) {
                self.candidates.push(address);
            } else {
                let line = format!(
                    "the proxy {} is said to have the address {address}, which is of another \
                     kind than those that it had when the box started: not looked at",
                    self.endpoint.host
                );
                actions.push(Action::Say(Level::Warn, line));
            }
        }
        actions.extend(self.look());
        actions
    }

    /// Opens the next candidate to init, and has it looked at.
    fn look(&self) -> Vec<Action> {
        let Some(&candidate) = self.candidates.first() else {
            return Vec::new();
        };
        let mut actions = self.enforce();
        actions.push(Action::Meet(candidate));
        actions
    }

    fn met(&mut self, address: IpAddr, speaks: bool) -> Vec<Action> {
        if self.phase != Phase::Open || self.candidates.first() != Some(&address) {
            return Vec::new();
        }
        self.candidates.remove(0);
        let name = &self.endpoint.host;
        let line = if speaks {
            self.pinned.push(address);
            format!("the proxy {name} has the address {address} as well: pinned")
        } else {
            format!("the proxy {name} does not answer at {address}")
        };
        let mut actions = vec![Action::Say(Level::Info, line)];
        if self.candidates.is_empty() {
            actions.extend(self.enforce());
        } else {
            actions.extend(self.look());
        }
        actions
    }

    fn moved(&mut self, address: IpAddr) -> Vec<Action> {
        if self.phase != Phase::Open || !self.pinned.contains(&address) {
            return Vec::new();
        }
        self.pinned = pins::preferring(&self.pinned, address);
        vec![Action::Renew(address)]
    }

    fn probed(&mut self, health: Reachability) -> Vec<Action> {
        self.failures = if health.is_up() {
            0
        } else {
            self.failures.saturating_add(1)
        };
        let said = sentence(&health, &self.endpoint);
        let reaction = self.liveness.observe(health);
        let mut actions = Vec::new();
        match reaction {
            Reaction::None => {}
            Reaction::Recovered => actions.push(Action::Say(Level::Info, said)),
            Reaction::Lost | Reaction::Silent => actions.push(Action::Say(Level::Warn, said)),
        }
        if self.phase != Phase::Over {
            match reaction {
                Reaction::Recovered => actions.push(Action::Redirector(RedirectorCommand::Start)),
                Reaction::Silent => actions.push(Action::Redirector(RedirectorCommand::Stop)),
                Reaction::None | Reaction::Lost => {}
            }
        }
        // What failed once is tried again as often as the upstream is looked at.
        if self.broken.is_some() {
            actions.extend(self.enforce());
        }
        actions
    }

    fn path_checked(&mut self, trouble: Option<String>) -> Vec<Action> {
        if trouble == self.path {
            return Vec::new();
        }
        let line = match &trouble {
            Some(trouble) => Action::Say(Level::Warn, trouble.clone()),
            None => Action::Say(
                Level::Info,
                "connections get through the proxy again".to_owned(),
            ),
        };
        self.path = trouble;
        vec![line]
    }

    /// A redirector that is down is nobody's doing, and its port refuses by itself.
    fn listened(&mut self, owner: Option<u32>) -> Vec<Action> {
        let squatter = owner.filter(|uid| *uid != self.redirector.0);
        if self.phase != Phase::Open || squatter == self.squatter {
            return Vec::new();
        }
        self.squatter = squatter;
        let line = match squatter {
            Some(uid) => Action::Say(Level::Error, self.squatting(uid)),
            None => Action::Say(
                Level::Info,
                format!("port {} is free of strangers again", self.redirector.1),
            ),
        };
        let mut actions = vec![line];
        actions.extend(self.enforce());
        actions
    }

    fn squatting(&self, uid: u32) -> String {
        format!(
            "a program of uid {uid} listens on port {}, which is redsocks's: nothing is redirected \
             there, and every connection is refused until that program has ended",
            self.redirector.1
        )
    }
}

/// Generations wrap around.
fn is_after(told: u32, verified: u32) -> bool {
    told.wrapping_sub(verified).cast_signed() > 0
}

#[cfg(test)]
mod tests;
