//! Services that need each other, in every order of luck: what becomes ready late or never,
//! dies at any moment, or does not listen when it is asked to stop. The processes are
//! pretended, the time is not real, the decisions are the box's own.

use std::collections::BTreeSet;
use std::path::Path;

use cib_cgroup::Hierarchy;
use proptest::prelude::*;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::machine::{Action, Machine, Timer};
use super::*;
use crate::config::{Restart, RestartPolicy};
use crate::logs::{Level, Logs};
use crate::process::Processes;

const GRACE: Duration = Duration::from_millis(500);
const BUDGET: Duration = Duration::from_secs(10);

/// What the world does to the runs of one service; the last entry is repeated.
#[derive(Clone, Debug)]
struct Luck {
    needs: Vec<usize>,
    policy: RestartPolicy,
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    CannotStart,
    Runs {
        /// Milliseconds until it is ready; never, if it dies before.
        ready: u64,
        /// Milliseconds that it lives.
        dies: Option<u64>,
        /// Milliseconds from the ask to its end; `None` if it does not listen.
        stops: Option<u64>,
        success: bool,
    },
}

/// What was seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Began(usize),
    Ready(usize),
    /// By somebody: one that is asked because it was not ready in time is not told.
    Asked(usize),
    Ended {
        who: usize,
        well: bool,
    },
}

type Record = Rc<RefCell<Vec<Happened>>>;

fn name(number: usize) -> String {
    format!("s{number}")
}

/// What an actor does, with a process that is only a clock.
struct Pretender {
    who: usize,
    luck: Luck,
    machine: Machine,
    record: Record,
    publish: watch::Sender<Seen>,
    runs: usize,
    run: Option<Run>,
    ready: Option<u64>,
    end: Option<(u64, bool)>,
    timer: Option<Duration>,
    last_exit: Option<Exit>,
}

impl Pretender {
    async fn live(mut self, mut wishes: mpsc::UnboundedReceiver<Event>) {
        // Deadlines, so that an event does not start a clock anew.
        let mut clock = tokio::time::Instant::now();
        loop {
            let since = clock.elapsed();
            clock = tokio::time::Instant::now();
            let millis = u64::try_from(since.as_millis()).unwrap();
            self.timer = self.timer.map(|left| left.saturating_sub(since));
            self.ready = self.ready.map(|left| left.saturating_sub(millis));
            self.end = self
                .end
                .map(|(left, well)| (left.saturating_sub(millis), well));
            let after = |left: Option<u64>| async move {
                match left {
                    Some(left) => sleep(Duration::from_millis(left)).await,
                    None => std::future::pending().await,
                }
            };
            let timer = self
                .timer
                .map(|left| u64::try_from(left.as_millis()).unwrap());
            let event = tokio::select! {
                biased;
                () = after(self.end.map(|(left, _)| left)) => {
                    let well = self.end.take().is_some_and(|(_, well)| well);
                    self.over(well)
                }
                wish = wishes.recv() => match wish {
                    Some(wish) => wish,
                    None => return,
                },
                () = after(self.ready) => {
                    self.ready = None;
                    self.happened(Happened::Ready(self.who));
                    Event::Ready
                }
                () = after(timer) => {
                    self.timer = None;
                    Event::Timer
                }
            };
            let late = matches!(event, Event::Timer);
            let mut next = Some(event);
            while let Some(event) = next.take() {
                for action in self.machine.on(event) {
                    if matches!(action, Action::AskToStop) && !late {
                        self.happened(Happened::Asked(self.who));
                    }
                    next = self.act(action).or(next);
                }
            }
            self.publish.send_replace(Seen {
                state: self.machine.state(),
                pid: self.run.map(|_| 1),
                restarts: self.machine.restarts(),
                failures: self.machine.failures(),
                ready_since: None,
                last_exit: self.last_exit,
            });
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn => return self.spawn(),
            Action::AskToStop => {
                if let Some(Run::Runs {
                    stops: Some(after),
                    success,
                    ..
                }) = self.run
                {
                    self.end = Some((after, success));
                }
            }
            Action::Kill => self.end = Some((0, false)),
            Action::ArmTimer(timer) => {
                self.timer = Some(match timer {
                    Timer::Readiness | Timer::Steady | Timer::Proof => Duration::from_secs(1),
                    Timer::Grace => GRACE,
                    Timer::Backoff(pause) => pause,
                });
            }
            Action::DisarmTimer => self.timer = None,
            Action::GiveUp => {}
        }
        None
    }

    fn spawn(&mut self) -> Option<Event> {
        assert!(self.run.is_none(), "a second process of {}", self.who);
        let run = self.luck.runs[self.runs.min(self.luck.runs.len() - 1)];
        self.runs += 1;
        let Run::Runs {
            ready,
            dies,
            success,
            ..
        } = run
        else {
            return Some(Event::SpawnFailed);
        };
        self.happened(Happened::Began(self.who));
        self.run = Some(run);
        self.ready = Some(ready);
        self.end = dies.map(|after| (after, success));
        None
    }

    fn over(&mut self, well: bool) -> Event {
        self.run = None;
        self.ready = None;
        let exit = if well { Exit::Code(0) } else { Exit::Code(1) };
        self.last_exit = Some(exit);
        let who = self.who;
        self.happened(Happened::Ended { who, well });
        Event::Exited { success: well }
    }

    fn happened(&self, what: Happened) {
        self.record.borrow_mut().push(what);
    }
}

fn supervisor() -> Supervisor {
    let logs = Logs::new(crate::logs::Format::Text, Level::Error, true);
    let runtime = Runtime {
        processes: Processes::new(Rc::new(logs)),
        hierarchy: Hierarchy::detect(Path::new("/nonexistent")),
        dir: "/nonexistent".into(),
        ids: Rc::new(|_, _| Ok(None)),
    };
    Supervisor::new(runtime).0
}

/// Starts everything as the boot does, lets it run for so long, and stops everything.
/// What happened, and from where on it was being stopped.
fn life(all: &[Luck], millis: u64) -> (Vec<Happened>, usize, Vec<State>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let record = Record::default();
    let work = async {
        let supervisor = supervisor();
        for (who, luck) in all.iter().enumerate() {
            let machine = Machine::new(Restart {
                policy: luck.policy,
                backoff_min: Duration::from_millis(50),
                backoff_max: Duration::from_millis(200),
                give_up_after: Some(3),
            });
            let needs = luck.needs.iter().copied().map(name).collect();
            let (luck, record) = (luck.clone(), Rc::clone(&record));
            supervisor.enrol(name(who), needs, GRACE, move |wishes, publish| {
                let pretender = Pretender {
                    who,
                    luck,
                    machine,
                    record,
                    publish,
                    runs: 0,
                    run: None,
                    ready: None,
                    end: None,
                    timer: None,
                    last_exit: None,
                };
                pretender.live(wishes)
            });
        }
        for who in 0..all.len() {
            let supervisor = supervisor.clone();
            tokio::task::spawn_local(async move { supervisor.start(&name(who)).await });
        }
        sleep(Duration::from_millis(millis)).await;
        let stopping = record.borrow().len();
        let began = tokio::time::Instant::now();
        supervisor.stop_all(BUDGET).await;
        assert!(
            began.elapsed() <= BUDGET,
            "shutdown took {:?}",
            began.elapsed()
        );
        // Whatever a stop could let loose would have begun by then.
        sleep(Duration::from_secs(5)).await;
        let services = supervisor.0.services.borrow();
        let states = services.values().map(|handle| handle.seen.borrow().state);
        (stopping, states.collect())
    };
    let (stopping, states) = LocalSet::new().block_on(&runtime, work);
    let happened = record.borrow().clone();
    (happened, stopping, states)
}

fn run() -> impl Strategy<Value = Run> {
    let runs = (
        0..1500_u64,
        prop::option::of(0..2000_u64),
        prop::option::of(0..700_u64),
        any::<bool>(),
    );
    prop_oneof![
        1 => Just(Run::CannotStart),
        9 => runs.prop_map(|(ready, dies, stops, success)| Run::Runs { ready, dies, stops, success }),
    ]
}

fn lucks() -> impl Strategy<Value = Vec<Luck>> {
    let policy = prop::sample::select(vec![
        RestartPolicy::Always,
        RestartPolicy::OnFailure,
        RestartPolicy::Never,
    ]);
    let one = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        policy,
        prop::collection::vec(run(), 1..4),
    );
    prop::collection::vec(one, 1..6).prop_map(|all| {
        let luck = |(who, (needs, policy, runs)): (usize, (Vec<prop::sample::Index>, _, _))| {
            let needs: BTreeSet<usize> = needs
                .into_iter()
                .filter(|_| who > 0)
                .map(|need| need.index(who))
                .collect();
            Luck {
                needs: needs.into_iter().collect(),
                policy,
                runs,
            }
        };
        all.into_iter().enumerate().map(luck).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn none_runs_before_its_needs_none_is_lost_and_a_shutdown_ends_in_order(
        all in lucks(), millis in 0..4000_u64,
    ) {
        let (happened, stopping, states) = life(&all, millis);
        let mut running = BTreeSet::new();
        let mut served = BTreeSet::new();
        let mut begun = BTreeSet::new();
        for (at, what) in happened.iter().enumerate() {
            match *what {
                Happened::Began(who) => {
                    prop_assert!(running.insert(who), "{} runs twice", who);
                    if begun.insert(who) {
                        let early = all[who].needs.iter().find(|need| !served.contains(*need));
                        prop_assert_eq!(early, None, "{} began before it: {:?}", who, &happened);
                    }
                }
                Happened::Ready(who) => { served.insert(who); }
                Happened::Ended { who, well } => {
                    prop_assert!(running.remove(&who));
                    if well { served.insert(who); }
                }
                Happened::Asked(who) if at >= stopping => {
                    let user = (0..all.len())
                        .find(|user| all[*user].needs.contains(&who) && running.contains(user));
                    prop_assert_eq!(user, None, "still needs {}: {:?}", who, &happened);
                }
                Happened::Asked(_) => {}
            }
        }
        prop_assert!(running.is_empty(), "left: {:?} of {:?}", running, &happened);
        prop_assert!(states.iter().all(|state| at_rest(*state)), "{:?}", states);
    }
}

#[test]
fn a_service_that_waited_for_another_is_not_started_by_the_others_stop() {
    let run = |ready| {
        vec![Run::Runs {
            ready,
            dies: None,
            stops: Some(10),
            success: true,
        }]
    };
    let all = [
        Luck {
            needs: vec![],
            policy: RestartPolicy::Always,
            runs: run(900),
        },
        Luck {
            needs: vec![0],
            policy: RestartPolicy::Always,
            runs: run(0),
        },
    ];
    let (happened, _, _) = life(&all, 100);
    assert!(!happened.contains(&Happened::Began(1)), "{happened:?}");
}

#[test]
fn graces_add_up_along_the_longest_chain() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let supervisor = supervisor();
        let add = |name: &str, needs: &[&str], seconds| {
            let needs = needs.iter().map(|need| (*need).to_owned()).collect();
            let grace = Duration::from_secs(seconds);
            supervisor.enrol(name.to_owned(), needs, grace, |_, _| std::future::pending());
        };
        assert_eq!(supervisor.graces(), Duration::ZERO);
        add("control", &[], 2);
        add("database", &["control"], 5);
        add("cache", &["control"], 1);
        add("web", &["database", "cache"], 3);
        add("alone", &[], 9);
        assert_eq!(supervisor.graces(), Duration::from_secs(10));
    });
}
