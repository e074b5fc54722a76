//! Decides what one service does next, from its state and what happened alone.

use std::time::Duration;

use crate::config::{Restart, RestartPolicy};

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running, and nobody wants it to.
    Down,
    /// Running, and not ready yet.
    Starting,
    /// Running and ready.
    Ready,
    /// Asked to stop.
    Stopping {
        /// What happens once it has.
        then: Then,
    },
    /// Ended, and started again when the pause is over.
    Backoff,
    /// Ended so often that it is left alone.
    GivenUp,
}

/// What follows a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It stays down.
    StayDown,
    /// It starts again.
    StartAgain,
    /// It counts as a failed run: it was stopped because it did not become ready.
    Fail,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants it up.
    Start,
    /// Somebody wants it down.
    Stop,
    /// Somebody wants it down and up again.
    Restart,
    /// It could not even be started.
    SpawnFailed,
    /// It says that it is ready.
    Ready,
    /// It ended.
    Exited {
        /// Whether with code 0.
        success: bool,
    },
    /// The clock that [`Action::ArmTimer`] wound has run down.
    Timer,
}

/// What is to be done, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the process and watch for its readiness.
    Spawn,
    /// Ask it to stop.
    AskToStop,
    /// Kill it and all of its group.
    Kill,
    /// Wind the clock; a former setting is forgotten.
    ArmTimer(Timer),
    /// Stop the clock.
    DisarmTimer,
    /// Tell the supervisor that it is given up.
    GiveUp,
}

/// How long the clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The service's own time to become ready.
    Readiness,
    /// As long as a service has to be ready to be started again without a pause.
    Steady,
    /// As long as it has to be ready after that before earlier failures are forgotten.
    Proof,
    /// The service's own time to stop.
    Grace,
    /// This pause.
    Backoff(Duration),
}

/// What the present run has shown so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// At most that it becomes ready.
    None,
    /// That it stays so for a while.
    Steady,
    /// That it works.
    Proven,
}

/// The state of one service with what it takes to decide.
#[derive(Clone, Debug)]
pub struct Machine {
    restart: Restart,
    state: State,
    /// Runs in a row that ended without having been ready for long enough.
    failures: u32,
    trust: Trust,
    restarts: u64,
}

impl Machine {
    /// A service that is down.
    #[must_use]
    pub fn new(restart: Restart) -> Self {
        Self {
            restart,
            state: State::Down,
            failures: 0,
            trust: Trust::None,
            restarts: 0,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// How often it was started again without anybody's asking.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Runs in a row that ended without having been ready for long enough.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes an event in.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        match (self.state, event) {
            (State::Down | State::GivenUp | State::Backoff, Event::Start | Event::Restart) => {
                self.failures = 0;
                self.spawn()
            }
            (State::Backoff | State::GivenUp, Event::Stop) => {
                self.state = State::Down;
                vec![Action::DisarmTimer]
            }
            (State::Starting | State::Ready, Event::Stop) => self.stop(Then::StayDown),
            (State::Starting | State::Ready, Event::Restart) => self.stop(Then::StartAgain),
            // The last wish counts; the clock of the first one goes on.
            (State::Stopping { .. }, Event::Stop) => self.change_then(Then::StayDown),
            (State::Stopping { .. }, Event::Start | Event::Restart) => {
                self.change_then(Then::StartAgain)
            }
            (State::Starting, Event::Ready) => {
                self.state = State::Ready;
                vec![Action::ArmTimer(Timer::Steady)]
            }
            (State::Ready, Event::Timer) if self.trust == Trust::None => {
                self.trust = Trust::Steady;
                vec![Action::ArmTimer(Timer::Proof)]
            }
            (State::Ready, Event::Timer) => {
                self.trust = Trust::Proven;
                self.failures = 0;
                Vec::new()
            }
            (State::Starting, Event::Timer) => self.stop(Then::Fail),
            (State::Stopping { .. }, Event::Timer) => vec![Action::Kill],
            (State::Starting | State::Ready, Event::Exited { success }) => self.ended(success),
            (State::Starting, Event::SpawnFailed) => self.ended(false),
            (State::Stopping { then }, Event::Exited { .. } | Event::SpawnFailed) => match then {
                Then::StayDown => {
                    self.state = State::Down;
                    vec![Action::DisarmTimer]
                }
                Then::StartAgain => {
                    self.failures = 0;
                    self.spawn()
                }
                Then::Fail => self.ended(false),
            },
            (State::Backoff, Event::Timer) => {
                self.restarts += 1;
                self.spawn()
            }
            // Everything else came too late, or says what is known.
            _ => Vec::new(),
        }
    }

    fn spawn(&mut self) -> Vec<Action> {
        self.state = State::Starting;
        self.trust = Trust::None;
        vec![Action::ArmTimer(Timer::Readiness), Action::Spawn]
    }

    fn stop(&mut self, then: Then) -> Vec<Action> {
        self.state = State::Stopping { then };
        vec![Action::AskToStop, Action::ArmTimer(Timer::Grace)]
    }

    fn change_then(&mut self, then: Then) -> Vec<Action> {
        self.state = State::Stopping { then };
        Vec::new()
    }

    fn ended(&mut self, success: bool) -> Vec<Action> {
        let again = match self.restart.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !success,
            RestartPolicy::Never => false,
        };
        if !again {
            self.state = if success { State::Down } else { State::GivenUp };
            let told = if success {
                Vec::new()
            } else {
                vec![Action::GiveUp]
            };
            return [vec![Action::DisarmTimer], told].concat();
        }
        if self.trust == Trust::Proven {
            // It worked until now: whatever happened, the next run will most likely work too.
            self.restarts += 1;
            return self.spawn();
        }
        self.failures += 1;
        if self
            .restart
            .give_up_after
            .is_some_and(|most| self.failures >= most)
        {
            self.state = State::GivenUp;
            return vec![Action::DisarmTimer, Action::GiveUp];
        }
        if self.trust == Trust::Steady {
            self.restarts += 1;
            return self.spawn();
        }
        self.state = State::Backoff;
        vec![Action::ArmTimer(Timer::Backoff(self.pause()))]
    }

    /// Doubles with each failure in a row, up to the most.
    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(31);
        let pause = self.restart.backoff_min.checked_mul(1 << doublings);
        pause
            .unwrap_or(self.restart.backoff_max)
            .min(self.restart.backoff_max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machine(policy: RestartPolicy, give_up_after: Option<u32>) -> Machine {
        Machine::new(Restart {
            policy,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
            give_up_after,
        })
    }

    fn pauses(machine: &mut Machine, failures: usize) -> Vec<Duration> {
        machine.on(Event::Start);
        let mut pauses = Vec::new();
        for _ in 0..failures {
            for action in machine.on(Event::Exited { success: false }) {
                if let Action::ArmTimer(Timer::Backoff(pause)) = action {
                    pauses.push(pause);
                }
            }
            machine.on(Event::Timer);
        }
        pauses
    }

    #[test]
    fn pauses_double_up_to_the_most() {
        let mut machine = machine(RestartPolicy::Always, None);
        let millis: Vec<_> = pauses(&mut machine, 6)
            .iter()
            .map(Duration::as_millis)
            .collect();
        assert_eq!(millis, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(machine.restarts(), 6);
    }

    #[test]
    fn a_service_that_was_ready_for_a_while_is_back_without_a_pause() {
        let mut machine = machine(RestartPolicy::Always, Some(1));
        machine.on(Event::Start);
        assert_eq!(
            machine.on(Event::Ready),
            [Action::ArmTimer(Timer::Steady)],
            "it is not taken at its word"
        );
        machine.on(Event::Timer);
        machine.on(Event::Timer);
        let actions = machine.on(Event::Exited { success: false });
        assert_eq!(actions, [Action::ArmTimer(Timer::Readiness), Action::Spawn]);
    }

    #[test]
    fn a_service_that_never_becomes_ready_is_given_up_after_its_count() {
        let mut machine = machine(RestartPolicy::Always, Some(3));
        assert_eq!(pauses(&mut machine, 3).len(), 2);
        assert_eq!(machine.state(), State::GivenUp);
    }

    #[test]
    fn one_that_was_ready_for_some_seconds_is_back_at_once_and_yet_counted() {
        let mut machine = machine(RestartPolicy::Always, Some(2));
        machine.on(Event::Start);
        machine.on(Event::Ready);
        machine.on(Event::Timer);
        let actions = machine.on(Event::Exited { success: false });
        assert_eq!(actions, [Action::ArmTimer(Timer::Readiness), Action::Spawn]);
        machine.on(Event::Ready);
        machine.on(Event::Timer);
        let actions = machine.on(Event::Exited { success: false });
        assert!(actions.contains(&Action::GiveUp), "{actions:?}");
    }

    #[test]
    fn a_service_that_is_ready_only_for_a_moment_is_given_up_like_one_that_never_is() {
        let mut machine = machine(RestartPolicy::Always, Some(3));
        machine.on(Event::Start);
        let mut pauses = Vec::new();
        for _ in 0..3 {
            machine.on(Event::Ready);
            pauses.extend(machine.on(Event::Exited { success: true }));
            machine.on(Event::Timer);
        }
        let backoff = |millis| Action::ArmTimer(Timer::Backoff(Duration::from_millis(millis)));
        let expected = [
            backoff(100),
            backoff(200),
            Action::DisarmTimer,
            Action::GiveUp,
        ];
        assert_eq!(pauses, expected);
        assert_eq!(machine.state(), State::GivenUp);
    }

    #[test]
    fn a_service_that_is_not_ready_in_time_has_failed() {
        let mut machine = machine(RestartPolicy::Always, Some(1));
        machine.on(Event::Start);
        assert_eq!(
            machine.on(Event::Timer),
            [Action::AskToStop, Action::ArmTimer(Timer::Grace)]
        );
        assert_eq!(machine.on(Event::Timer), [Action::Kill]);
        assert!(
            machine
                .on(Event::Exited { success: false })
                .contains(&Action::GiveUp)
        );
    }

    #[test]
    fn a_oneshot_that_succeeds_is_down_and_one_that_fails_is_given_up() {
        for (success, state) in [(true, State::Down), (false, State::GivenUp)] {
            let mut machine = machine(RestartPolicy::Never, None);
            machine.on(Event::Start);
            machine.on(Event::Exited { success });
            assert_eq!(machine.state(), state);
        }
    }

    #[test]
    fn the_last_wish_counts_while_it_stops() {
        let mut machine = machine(RestartPolicy::Always, None);
        machine.on(Event::Start);
        machine.on(Event::Stop);
        machine.on(Event::Start);
        machine.on(Event::Exited { success: false });
        assert_eq!(machine.state(), State::Starting);
    }

    /// What the world may do to a service, given whether its process runs.
    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Start),
            Just(Event::Stop),
            Just(Event::Restart),
            Just(Event::Ready),
            Just(Event::Timer),
            Just(Event::SpawnFailed),
            any::<bool>().prop_map(|success| Event::Exited { success }),
        ]
    }

    proptest! {
        /// Whatever becomes of its runs, a service that has not been ready for long enough
        /// since its last start by somebody is started so often and not once more.
        #[test]
        fn runs_without_proof_are_paused_ever_longer_and_counted(
            ready in prop::collection::vec(any::<bool>(), 1..40),
            give_up in 1_u32..10,
        ) {
            let mut machine = machine(RestartPolicy::Always, Some(give_up));
            let mut spawns = machine.on(Event::Start);
            spawns.retain(|action| *action == Action::Spawn);
            let mut last = Duration::ZERO;
            for ready in ready {
                if ready {
                    machine.on(Event::Ready);
                }
                for action in machine.on(Event::Exited { success: ready }) {
                    prop_assert_ne!(action, Action::Spawn, "without a pause");
                    if let Action::ArmTimer(Timer::Backoff(pause)) = action {
                        prop_assert!(pause >= last && !pause.is_zero());
                        last = pause;
                    }
                }
                spawns.extend(machine.on(Event::Timer));
            }
            let spawns = spawns.iter().filter(|action| **action == Action::Spawn).count();
            prop_assert!(spawns <= give_up as usize, "{} runs", spawns);
        }

        #[test]
        fn there_is_never_a_second_process_and_a_stop_always_ends(
            events in prop::collection::vec(event(), 0..60),
            give_up in prop::option::of(1_u32..4),
        ) {
            let mut machine = machine(RestartPolicy::Always, give_up);
            let mut running = false;
            let feed = |machine: &mut Machine, running: &mut bool, event| {
                // A process that does not run cannot end, and one that runs was started.
                let possible = match event {
                    Event::Exited { .. } | Event::Ready => *running,
                    Event::SpawnFailed => false,
                    _ => true,
                };
                if !possible {
                    return Ok(());
                }
                if matches!(event, Event::Exited { .. }) {
                    *running = false;
                }
                for action in machine.on(event) {
                    match action {
                        Action::Spawn => {
                            prop_assert!(!*running, "a second process");
                            *running = true;
                        }
                        Action::AskToStop | Action::Kill => prop_assert!(*running),
                        _ => {}
                    }
                }
                let active = matches!(
                    machine.state(),
                    State::Starting | State::Ready | State::Stopping { .. }
                );
                prop_assert_eq!(active, *running);
                Ok(())
            };
            for event in events {
                feed(&mut machine, &mut running, event)?;
            }
            feed(&mut machine, &mut running, Event::Stop)?;
            feed(&mut machine, &mut running, Event::Timer)?;
            feed(&mut machine, &mut running, Event::Exited { success: false })?;
            prop_assert!(!running);
            prop_assert!(matches!(machine.state(), State::Down | State::GivenUp));
        }
    }
}
