use std::collections::VecDeque;
use std::time::Duration;

use cib_upstream::Upstream;
use proptest::prelude::*;

use super::*;

const OWN: (u32, u16) = (971, 12345);

fn machine() -> Machine {
    let upstream = Upstream::parse("socks5://proxy.example:1080").unwrap();
    Machine::new(upstream.endpoint().clone(), OWN)
}

fn ip(last: u8) -> IpAddr {
    [203, 0, 113, last].into()
}

/// A kernel that does what it is told, and the machine in front of it: each action is carried
/// out before the next event is taken.
struct World {
    machine: Machine,
    /// What stands, if nobody changed it.
    kernel: Option<Desired>,
    changed: bool,
    generation: u32,
    /// What the kernel told and nobody has heard yet.
    told: VecDeque<u32>,
    met: VecDeque<IpAddr>,
    enforced: Vec<Desired>,
    inspected: usize,
}

impl World {
    fn new() -> Self {
        Self {
            machine: machine(),
            kernel: None,
            changed: false,
            // Soon after the box began, the count wraps around.
            generation: u32::MAX - 3,
            told: VecDeque::new(),
            met: VecDeque::new(),
            enforced: Vec::new(),
            inspected: 0,
        }
    }

    fn booted() -> Self {
        let mut world = Self::new();
        for event in [
            Event::Close(Some([ip(53)].into())),
            Event::Resolved(vec![ip(1)]),
            Event::Open,
        ] {
            world.feed(event);
        }
        world
    }

    fn transact(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.told.push_back(self.generation);
    }

    fn feed(&mut self, event: Event) {
        let mut todo: VecDeque<Action> = self.machine.on(event).into();
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Enforce(desired) => {
                    // One transaction for each table.
                    self.transact();
                    self.transact();
                    self.kernel = Some(desired.clone());
                    self.changed = false;
                    self.enforced.push(desired.clone());
                    let more = self
                        .machine
                        .on(Event::Enforced(desired, Some(self.generation)));
                    assert_eq!(more, []);
                }
                Action::Inspect(by) => {
                    self.inspected += 1;
                    let found = if self.changed || self.kernel.as_ref() != self.machine.applied() {
                        let found = "something".to_owned();
                        Event::Drifted { by, found }
                    } else {
                        Event::Stands(Some(self.generation))
                    };
                    for action in self.machine.on(found).into_iter().rev() {
                        todo.push_front(action);
                    }
                }
                Action::Meet(address) => self.met.push_back(address),
                Action::Renew(_) | Action::Redirector(_) | Action::Say(..) => {}
            }
        }
    }

    /// The oldest thing that the kernel told is heard.
    fn hear(&mut self) {
        if let Some(generation) = self.told.pop_front() {
            self.feed(Event::Changed {
                by: "nft".into(),
                generation: Some(generation),
            });
        }
    }
}

/// What the world may do.
#[derive(Clone, Debug)]
enum Stimulus {
    Happens(Event),
    SomebodyChangesTheRules,
    TheKernelIsHeard,
    ACandidateIsMet(bool),
}

fn stimulus() -> impl Strategy<Value = Stimulus> {
    let address = (1..9_u8).prop_map(ip);
    let silent = Reachability::TimedOut {
        after: Duration::from_secs(4),
    };
    let up = Reachability::Reachable {
        rtt: Duration::from_millis(1),
    };
    prop_oneof![
        Just(Stimulus::SomebodyChangesTheRules),
        Just(Stimulus::TheKernelIsHeard),
        any::<bool>().prop_map(Stimulus::ACandidateIsMet),
        prop_oneof![
            Just(Event::Close(None)),
            Just(Event::Close(Some([ip(53)].into()))),
            prop::collection::vec(address.clone(), 1..3).prop_map(Event::Resolved),
            Just(Event::Open),
            prop::collection::vec(address.clone(), 0..5).prop_map(Event::Names),
            (address.clone(), any::<bool>()).prop_map(|(ip, speaks)| Event::Met(ip, speaks)),
            address.prop_map(Event::Moved),
            Just(Event::Probed(silent)),
            Just(Event::Probed(up)),
            prop::option::of(970..973_u32).prop_map(Event::Listener),
            "[a-z]{3}".prop_map(|name| Event::Devices([name].into())),
            Just(Event::Failed("no process is left".into())),
            Just(Event::Changed {
                by: "nft".into(),
                generation: None
            }),
        ]
        .prop_map(Stimulus::Happens),
    ]
}

impl World {
    fn take(&mut self, stimulus: Stimulus) {
        match stimulus {
            Stimulus::Happens(event) => self.feed(event),
            Stimulus::SomebodyChangesTheRules => {
                self.transact();
                self.changed = true;
            }
            Stimulus::TheKernelIsHeard => self.hear(),
            Stimulus::ACandidateIsMet(speaks) => {
                if let Some(address) = self.met.pop_front() {
                    self.feed(Event::Met(address, speaks));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn once_the_box_is_shut_the_upstream_is_never_opened_again(
        before in prop::collection::vec(stimulus(), 0..30),
        after in prop::collection::vec(stimulus(), 0..30),
    ) {
        let mut world = World::booted();
        for stimulus in before {
            world.take(stimulus);
        }
        world.feed(Event::Shut);
        let shut_at = world.enforced.len();
        for stimulus in after {
            world.take(stimulus);
        }
        for desired in &world.enforced[shut_at.saturating_sub(1)..] {
            prop_assert_eq!(desired, &Desired::Closed);
        }
        prop_assert_eq!(world.machine.desired(), Some(Desired::Closed));
    }

    #[test]
    fn a_change_of_ones_own_is_never_taken_for_an_attack(
        stimuli in prop::collection::vec(stimulus(), 0..40),
    ) {
        let mut world = World::booted();
        for stimulus in stimuli {
            // Nobody else is there, and nothing is lost.
            let alone = !matches!(
                stimulus,
                Stimulus::SomebodyChangesTheRules | Stimulus::Happens(Event::Changed { .. })
            );
            if alone {
                world.take(stimulus);
            }
        }
        while !world.told.is_empty() {
            world.hear();
        }
        prop_assert_eq!(world.inspected, 0);
    }

    #[test]
    fn when_all_was_heard_what_is_desired_stands(
        stimuli in prop::collection::vec(stimulus(), 0..40),
    ) {
        let mut world = World::booted();
        for stimulus in stimuli {
            world.take(stimulus);
        }
        while !world.told.is_empty() {
            world.hear();
        }
        let failed = world.machine.broken.is_some();
        prop_assert!(!world.changed);
        prop_assert!(failed || world.kernel == world.machine.desired());
    }

    #[test]
    fn nothing_is_pinned_that_was_not_met_or_known_at_boot(
        stimuli in prop::collection::vec(stimulus(), 0..40),
    ) {
        let mut world = World::booted();
        let mut known = BTreeSet::from([ip(1)]);
        for stimulus in stimuli {
            match &stimulus {
                Stimulus::Happens(Event::Resolved(addresses)) => known.extend(addresses),
                Stimulus::ACandidateIsMet(true) => known.extend(world.met.front()),
                // A finding that nobody asked for changes nothing.
                Stimulus::Happens(Event::Met(address, true))
                    if world.machine.candidates.first() == Some(address) =>
                {
                    known.insert(*address);
                }
                _ => {}
            }
            world.take(stimulus);
            if let Some(Desired::Open { pinned, candidate, .. }) = &world.kernel {
                prop_assert!(pinned.is_subset(&known), "{pinned:?} {known:?}");
                prop_assert!(candidate.is_none_or(|candidate| !pinned.contains(&candidate)));
            }
        }
    }
}

#[test]
fn an_address_is_inits_alone_until_somebody_there_has_spoken_as_the_upstream_does() {
    let mut world = World::booted();
    world.feed(Event::Names(vec![ip(1), ip(2)]));
    let open = |pinned: &[IpAddr], candidate| Desired::Open {
        pinned: pinned.iter().copied().collect(),
        candidate,
        squatted: false,
    };
    assert_eq!(world.kernel, Some(open(&[ip(1)], Some(ip(2)))));
    assert_eq!(world.met, [ip(2)]);
    world.feed(Event::Met(ip(2), true));
    assert_eq!(world.kernel, Some(open(&[ip(1), ip(2)], None)));
    world.feed(Event::Names(vec![ip(3)]));
    world.feed(Event::Met(ip(3), false));
    assert_eq!(world.kernel, Some(open(&[ip(1), ip(2)], None)));
}

#[test]
fn a_stranger_in_the_redirectors_place_is_named_until_he_is_gone() {
    let mut world = World::booted();
    for owner in [None, Some(971)] {
        world.feed(Event::Listener(owner));
        assert_eq!(world.machine.troubles(), [""; 0]);
    }
    world.feed(Event::Listener(Some(1000)));
    let troubles = world.machine.troubles();
    assert!(
        troubles[0].contains("uid 1000") && troubles[0].contains("12345"),
        "{troubles:?}"
    );
    assert!(matches!(
        world.kernel,
        Some(Desired::Open { squatted: true, .. })
    ));
    world.feed(Event::Listener(Some(971)));
    assert_eq!(world.machine.troubles(), [""; 0]);
    assert!(matches!(
        world.kernel,
        Some(Desired::Open {
            squatted: false,
            ..
        })
    ));
}

#[test]
fn a_proxy_that_stays_away_is_a_trouble_and_one_that_is_started_again_is_none() {
    let mut world = World::booted();
    let gone = || {
        Event::Probed(Reachability::Unreachable {
            reason: "connection refused".into(),
        })
    };
    world.feed(gone());
    assert_eq!(world.machine.troubles(), [""; 0]);
    world.feed(gone());
    world.feed(gone());
    assert_eq!(world.machine.troubles().len(), 1);
    world.feed(Event::Probed(Reachability::Reachable {
        rtt: Duration::from_millis(1),
    }));
    assert_eq!(world.machine.troubles(), [""; 0]);
}

#[test]
fn what_cannot_be_brought_into_force_is_said_and_tried_again() {
    let mut world = World::booted();
    world.feed(Event::Failed("nft is missing".into()));
    assert!(world.machine.troubles()[0].contains("nft is missing"));
    let before = world.enforced.len();
    world.feed(Event::Probed(Reachability::Reachable {
        rtt: Duration::from_millis(1),
    }));
    assert_eq!(world.enforced.len(), before + 1);
    assert_eq!(world.machine.troubles(), [""; 0]);
}
