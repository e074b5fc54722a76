//! One service's task: it feeds the [`Machine`] and does what comes out.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cib_base::errors::chain;
use cib_cgroup::{Bounds, Cgroup, Hierarchy};
use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep};

use crate::config::Service;
use crate::exit::Exit;
use crate::logs::{Level, say};
use crate::process::{Child, Processes};
use crate::spawn::{Capabilities, Command, Ids, Resource, Rlimit};
use crate::supervisor::machine::{Action, Event, Machine, State, Timer};
use crate::supervisor::readiness::Readying;
use crate::supervisor::{GivenUp, Lent, Seen};

/// What was ready for so long is started again at once when it ends.
const STEADY: Duration = Duration::from_secs(2);
/// What was ready for so much longer is known to work: its earlier failures are forgotten.
const PROOF: Duration = Duration::from_secs(8);

/// What every actor needs of the box.
#[derive(Clone)]
pub struct Runtime {
    /// The way to start processes.
    pub processes: Processes,
    /// Groups for those that have limits.
    pub hierarchy: Hierarchy,
    /// `/run/cib`, for the sockets of `sd_notify`.
    pub dir: PathBuf,
    /// Turns a user's and a group's name into ids.
    pub ids: Rc<LookUpIds>,
}

/// Looks up a user and, if one is named, a group: `None` where init cannot become anybody
/// else. The message says what is missing.
pub type LookUpIds = dyn Fn(&str, Option<&str>) -> Result<Option<Ids>, String>;

/// The owner of one service's process.
pub(super) struct Actor {
    service: Service,
    lent: Lent,
    runtime: Runtime,
    machine: Machine,
    wishes: mpsc::UnboundedReceiver<Event>,
    publish: watch::Sender<Seen>,
    given_up: mpsc::UnboundedSender<GivenUp>,
    child: Option<Child>,
    group: Option<Rc<Cgroup>>,
    readying: Option<Pin<Box<dyn Future<Output = ()>>>>,
    timer: Option<Pin<Box<Sleep>>>,
    ready_since: Option<Instant>,
    last_exit: Option<Exit>,
}

impl Actor {
    pub(super) fn new(
        service: Service,
        runtime: Runtime,
        wishes: mpsc::UnboundedReceiver<Event>,
        publish: watch::Sender<Seen>,
        given_up: mpsc::UnboundedSender<GivenUp>,
    ) -> Self {
        let machine = Machine::new(service.restart.clone());
        Self {
            service,
            lent: Lent::new(),
            runtime,
            machine,
            wishes,
            publish,
            given_up,
            child: None,
            group: None,
            readying: None,
            timer: None,
            ready_since: None,
            last_exit: None,
        }
    }

    /// Gives the process these at every start.
    pub(super) fn lending(mut self, lent: Lent) -> Self {
        self.lent = lent;
        self
    }

    pub(super) async fn run(mut self) {
        loop {
            let event = tokio::select! {
                biased;
                exit = ended(&mut self.child) => self.take_exit(exit),
                wish = self.wishes.recv() => match wish {
                    Some(wish) => wish,
                    None => return,
                },
                () = rung(&mut self.readying) => {
                    self.readying = None;
                    Event::Ready
                }
                () = rung(&mut self.timer) => {
                    self.timer = None;
                    Event::Timer
                }
            };
            self.step(event);
        }
    }

    /// Feeds one event, and what follows from it at once.
    fn step(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let before = self.machine.state();
            for action in self.machine.on(event) {
                next = self.act(action).or(next);
            }
            self.note(before);
        }
        self.publish.send_replace(Seen {
            state: self.machine.state(),
            pid: self.child.as_ref().map(Child::pid),
            restarts: self.machine.restarts(),
            failures: self.machine.failures(),
            ready_since: self.ready_since,
            last_exit: self.last_exit,
        });
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn => return self.spawn(),
            Action::AskToStop => self.signal(self.service.stop_signal),
            Action::Kill => self.kill(),
            Action::ArmTimer(timer) => {
                let after = match timer {
                    Timer::Readiness => self.service.readiness.timeout,
                    Timer::Steady => STEADY,
                    Timer::Proof => PROOF,
                    Timer::Grace => self.service.grace,
                    Timer::Backoff(pause) => pause,
                };
                self.timer = Some(Box::pin(sleep(after)));
            }
            Action::DisarmTimer => self.timer = None,
            Action::GiveUp => {
                let told = GivenUp {
                    service: self.service.name.clone(),
                    essential: self.service.essential,
                };
                let _ = self.given_up.send(told);
            }
        }
        None
    }

    fn spawn(&mut self) -> Option<Event> {
        match self.try_spawn() {
            Ok(()) => None,
            Err(fault) => {
                self.log(Level::Error, &format!("cannot be started: {fault}"));
                Some(Event::SpawnFailed)
            }
        }
    }

    fn try_spawn(&mut self) -> Result<(), String> {
        let service = &self.service;
        let ids = (self.runtime.ids)(&service.user, service.group.as_deref())?;
        let (program, args) = service.command.split_first().ok_or("it has no command")?;
        let root = ids
            .as_ref()
            .map_or(nix::unistd::geteuid().is_root(), |ids| ids.uid == 0);
        let mut command = Command::new(program)
            .args(args.iter().cloned())
            .env(
                service
                    .environment
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            )
            .workdir(&service.workdir)
            .log(&service.name)
            .capabilities(if root {
                Capabilities::Reduced
            } else {
                Capabilities::None
            });
        command.ids = ids;
        command.umask = service.umask;
        command.rlimits = rlimits(service);
        self.group = self.group();
        command.cgroup = self.group.clone();
        command.fds.clone_from(&self.lent);
        let again = self.machine.failures() > 0;
        let readying = Readying::prepare(service, &mut command, &self.runtime, again)?;
        let child = self
            .runtime
            .processes
            .spawn(command)
            .map_err(|e| chain(&e))?;
        self.child = Some(child);
        self.readying = Some(Box::pin(readying.wait()));
        Ok(())
    }

    /// A group for a service with limits of its own; one without stays with init.
    fn group(&self) -> Option<Rc<Cgroup>> {
        let limits = &self.service.limits;
        let bounds = Bounds {
            memory: limits.memory_bytes,
            cpu_milli: limits.cpu_milli,
            tasks: limits.tasks,
        };
        if bounds.is_empty() {
            return None;
        }
        let fault = match self.runtime.hierarchy.create(&self.service.name, &bounds) {
            Ok(Some(group)) => return Some(Rc::new(group)),
            Ok(None) => "the container may not write to its cgroup".to_owned(),
            Err(error) => chain(&error),
        };
        self.log(
            Level::Warn,
            &format!("its limits are not enforced: {fault}"),
        );
        None
    }

    fn take_exit(&mut self, exit: Exit) -> Event {
        // What it left behind in its group must not meet its successor. Its process group is
        // left alone: the number may be another's by now.
        if let Some(group) = &self.group {
            let _ = group.kill();
        }
        self.child = None;
        self.group = None;
        self.readying = None;
        self.ready_since = None;
        self.last_exit = Some(exit);
        Event::Exited {
            success: exit.success(),
        }
    }

    fn signal(&self, signal: i32) {
        if let Some(child) = &self.child {
            self.runtime.processes.signal(child.id(), signal);
        }
    }

    fn kill(&self) {
        if let Some(child) = &self.child {
            self.kill_group();
            self.runtime.processes.signal(child.id(), libc::SIGKILL);
        }
    }

    fn kill_group(&self) {
        let killed = self.group.as_ref().is_some_and(|group| group.kill());
        if let Some(child) = self.child.as_ref().filter(|_| !killed) {
            self.runtime
                .processes
                .signal_group(child.id(), libc::SIGKILL);
        }
    }

    /// Says what a person wants to know of a change.
    fn note(&mut self, before: State) {
        let after = self.machine.state();
        if before == after {
            return;
        }
        let ended = self
            .last_exit
            .map_or_else(|| "never started".to_owned(), |e| e.to_string());
        match (before, after) {
            (_, State::Ready) => {
                self.ready_since = Some(Instant::now());
                self.log(Level::Info, "ready");
            }
            (State::Ready, State::Starting) => {
                self.log(Level::Warn, &format!("ended ({ended}), started again"));
            }
            (State::Ready, State::Backoff) => {
                let line = format!("ended soon after it was ready ({ended}), will retry");
                self.log(Level::Warn, &line);
            }
            (_, State::Backoff) => {
                self.log(
                    Level::Warn,
                    &format!("ended before it was ready ({ended}), will retry"),
                );
            }
            (_, State::GivenUp) => {
                self.log(Level::Error, &format!("ended ({ended}) and is given up"));
            }
            (State::Stopping { .. }, State::Down) => {
                self.log(Level::Debug, &format!("stopped ({ended})"));
            }
            _ => {}
        }
    }

    fn log(&self, level: Level, line: &str) {
        say(level, &self.service.name, line);
    }
}

fn rlimits(service: &Service) -> Vec<Rlimit> {
    let limits = &service.limits;
    [
        (Resource::OpenFiles, limits.open_files),
        (Resource::Processes, limits.processes),
        (Resource::CoreBytes, limits.core_bytes),
    ]
    .into_iter()
    .filter_map(|(resource, bound)| bound.map(|bound| Rlimit { resource, bound }))
    .collect()
}

async fn ended(child: &mut Option<Child>) -> Exit {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

async fn rung<F: Future<Output = ()> + ?Sized>(bell: &mut Option<Pin<Box<F>>>) {
    match bell {
        Some(bell) => bell.await,
        None => std::future::pending().await,
    }
}

/// How often something is looked at that cannot ring a bell: soon at first, because most
/// services take milliseconds, then ever more seldom.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    (0..).map(|turn| Duration::from_millis(1 << turn.min(7)))
}
