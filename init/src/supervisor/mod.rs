//! Services: one actor each, which alone owns its process.
//!
//! [`machine`] decides, [`actor`] does, [`readiness`] looks. What others see of a service is
//! a [`Seen`] that its actor publishes; what they want of it is an event in its queue. So
//! nothing is shared, and nothing is locked.

pub mod actor;
pub mod machine;
pub mod readiness;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use cib_protocol::init::ServiceStatus;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::{ListenAddress, Probe, Service};
use crate::exit::Exit;
use crate::supervisor::actor::{Actor, Runtime};
use crate::supervisor::machine::{Event, State};

/// A service that is ready takes a connection within this.
const LISTENS: Duration = Duration::from_millis(300);

/// All services of the box. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor(Rc<Inner>);

struct Inner {
    runtime: Runtime,
    services: RefCell<BTreeMap<String, Handle>>,
    /// Names in the order in which they were added, which is a start order.
    order: RefCell<Vec<String>>,
    given_up: mpsc::UnboundedSender<GivenUp>,
    /// Whether everything is being stopped for good: then nothing is started any more.
    closing: Cell<bool>,
}

/// Descriptors that init keeps, and the numbers under which a service gets them.
pub type Lent = Vec<(RawFd, Rc<OwnedFd>)>;

/// How a service is reached and seen.
#[derive(Clone)]
struct Handle {
    needs: Vec<String>,
    /// Where it promises to listen and as which user, if that is how it shows that it is ready.
    listens: Option<(ListenAddress, String)>,
    grace: Duration,
    wishes: mpsc::UnboundedSender<Event>,
    seen: watch::Receiver<Seen>,
}

/// What everybody may know of a service.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Where it stands.
    pub state: State,
    /// Its process while there is one.
    pub pid: Option<u32>,
    /// How often it was started again without anybody's asking.
    pub restarts: u64,
    /// How many runs in a row ended without having been ready for long enough.
    pub failures: u32,
    /// Since when it is ready.
    pub ready_since: Option<Instant>,
    /// How its last run ended.
    pub last_exit: Option<Exit>,
}

/// A service that will not be started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its name.
    pub service: String,
    /// Whether the box has to end with it.
    pub essential: bool,
}

/// No service has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no service `{0}`")]
pub struct NoSuchService(pub String);

impl Supervisor {
    /// No services yet. Those that are given up come out of the receiver.
    #[must_use]
    pub fn new(runtime: Runtime) -> (Self, mpsc::UnboundedReceiver<GivenUp>) {
        let (given_up, receiver) = mpsc::unbounded_channel();
        let inner = Inner {
            runtime,
            services: RefCell::default(),
            order: RefCell::default(),
            given_up,
            closing: Cell::new(false),
        };
        (Self(Rc::new(inner)), receiver)
    }

    /// Says that the box cannot go on, for want of something that is no service.
    pub fn lose(&self, what: &str) {
        // Nobody listens any more once the box is ending.
        let _ = self.0.given_up.send(GivenUp {
            service: what.to_owned(),
            essential: true,
        });
    }

    /// Takes a service in, down. Its needs are taken in before it. Must be called within a
    /// `LocalSet`.
    pub fn add(&self, service: Service) {
        self.add_lending(service, Vec::new());
    }

    /// As [`Supervisor::add`], for a service that gets descriptors of init's, each under a
    /// number, at every start.
    pub fn add_lending(&self, service: Service, lent: Lent) {
        let (name, needs, grace) = (service.name.clone(), service.needs.clone(), service.grace);
        let listens = match &service.readiness.probe {
            Probe::Listening { address } => Some((address.clone(), service.user.clone())),
            _ => None,
        };
        let promised = name.clone();
        let (runtime, given_up) = (self.0.runtime.clone(), self.0.given_up.clone());
        self.enrol(name, needs, grace, |queue, publish| {
            Actor::new(service, runtime, queue, publish, given_up)
                .lending(lent)
                .run()
        });
        if let Some(handle) = self.0.services.borrow_mut().get_mut(&promised) {
            handle.listens = listens;
        }
    }

    fn enrol<A: Future<Output = ()> + 'static>(
        &self,
        name: String,
        needs: Vec<String>,
        grace: Duration,
        actor: impl FnOnce(mpsc::UnboundedReceiver<Event>, watch::Sender<Seen>) -> A,
    ) {
        let (wishes, queue) = mpsc::unbounded_channel();
        let (publish, seen) = watch::channel(Seen {
            state: State::Down,
            pid: None,
            restarts: 0,
            failures: 0,
            ready_since: None,
            last_exit: None,
        });
        let handle = Handle {
            needs,
            listens: None,
            grace,
            wishes,
            seen,
        };
        tokio::task::spawn_local(actor(queue, publish));
        self.0.services.borrow_mut().insert(name.clone(), handle);
        self.0.order.borrow_mut().push(name);
    }

    /// Starts a service as soon as everything it needs is ready, and waits until it is ready
    /// itself or given up; says which. Once everything is being stopped, nothing is started.
    ///
    /// # Errors
    /// There is no such service, or one that it needs.
    pub async fn start(&self, name: &str) -> Result<bool, NoSuchService> {
        let handle = self.handle(name)?;
        for need in &handle.needs {
            let mut seen = self.handle(need)?.seen;
            if !served(&mut seen).await {
                return Ok(false);
            }
        }
        if self.0.closing.get() {
            return Ok(false);
        }
        // The actor lives as long as the box.
        let _ = handle.wishes.send(Event::Start);
        let mut seen = handle.seen;
        let _ = seen.wait_for(|seen| seen.state != State::Down).await;
        Ok(settled(&mut seen).await)
    }

    /// Stops a service and waits until its process is gone.
    ///
    /// # Errors
    /// There is no such service.
    pub async fn stop(&self, name: &str) -> Result<(), NoSuchService> {
        let mut handle = self.handle(name)?;
        let _ = handle.wishes.send(Event::Stop);
        let _ = handle.seen.wait_for(|seen| at_rest(seen.state)).await;
        Ok(())
    }

    /// Stops a service if it runs and starts it; does not wait.
    ///
    /// # Errors
    /// There is no such service.
    pub fn restart(&self, name: &str) -> Result<(), NoSuchService> {
        let handle = self.handle(name)?;
        if !self.0.closing.get() {
            let _ = handle.wishes.send(Event::Restart);
        }
        Ok(())
    }

    /// Stops everything for good, each service after all that need it, and kills after
    /// `budget` what is left.
    pub async fn stop_all(&self, budget: Duration) {
        self.0.closing.set(true);
        let names: Vec<String> = self.0.order.borrow().iter().rev().cloned().collect();
        let stops: Vec<_> = names
            .into_iter()
            .map(|name| {
                let supervisor = self.clone();
                tokio::task::spawn_local(async move { supervisor.stop_after_users(&name).await })
            })
            .collect();
        let all = async {
            for stop in stops {
                let _ = stop.await;
            }
        };
        if timeout(budget, all).await.is_err() {
            self.hurry();
        }
    }

    /// The longest that services may take to stop by their own configuration: each has its
    /// grace, after all that need it had theirs.
    #[must_use]
    pub fn graces(&self) -> Duration {
        let services = self.0.services.borrow();
        let mut until = BTreeMap::<&str, Duration>::new();
        // Users come after what they need in the order of starts, so before it in this one.
        for name in self.0.order.borrow().iter().rev() {
            let Some((name, handle)) = services.get_key_value(name) else {
                continue;
            };
            let done = until.get(name.as_str()).copied().unwrap_or_default() + handle.grace;
            for need in &handle.needs {
                let users = until.entry(need.as_str()).or_default();
                *users = done.max(*users);
            }
            until.insert(name, done);
        }
        until.into_values().max().unwrap_or_default()
    }

    /// Stops everything for good, and kills it at once.
    pub fn hurry(&self) {
        self.0.closing.set(true);
        for handle in self.0.services.borrow().values() {
            if !at_rest(handle.seen.borrow().state) {
                let _ = handle.wishes.send(Event::Stop);
                let _ = handle.wishes.send(Event::Timer);
            }
        }
    }

    /// What does not work of the services that are wanted up, one fragment each: they are not
    /// ready, or no longer do what they became ready by.
    pub async fn faults(&self) -> Vec<String> {
        let (mut faults, mut listeners) = (Vec::new(), Vec::new());
        for (name, handle) in &*self.0.services.borrow() {
            let seen = handle.seen.borrow();
            let ended = || {
                let ended = seen.last_exit.map(|exit| format!(", last {exit}"));
                ended.unwrap_or_default()
            };
            match seen.state {
                State::Starting => faults.push(format!("`{name}` is not ready yet")),
                State::Backoff => faults.push(format!(
                    "`{name}` ends again and again ({} times in a row{})",
                    seen.failures,
                    ended()
                )),
                State::GivenUp => faults.push(format!("`{name}` was given up{}", ended())),
                State::Ready => {
                    let promise = handle.listens.clone();
                    listeners.extend(promise.map(|promise| (name.clone(), promise)));
                }
                State::Down | State::Stopping { .. } => {}
            }
        }
        for (name, (address, user)) in listeners {
            let ids = (self.0.runtime.ids)(&user, None).ok().flatten();
            let owner = ids.map(|ids| ids.uid).filter(|uid| *uid != 0);
            let listens = timeout(LISTENS, readiness::listens(&address, owner)).await;
            if !listens.unwrap_or(false) {
                faults.push(format!("`{name}` no longer listens"));
            }
        }
        faults
    }

    /// Every service as `cib-init status` shows it, in start order.
    #[must_use]
    pub fn status(&self) -> Vec<ServiceStatus> {
        let services = self.0.services.borrow();
        let order = self.0.order.borrow();
        order
            .iter()
            .filter_map(|name| {
                services
                    .get(name)
                    .map(|handle| status(name, &handle.seen.borrow()))
            })
            .collect()
    }

    /// What is known of one service.
    ///
    /// # Errors
    /// There is no such service.
    pub fn seen(&self, name: &str) -> Result<Seen, NoSuchService> {
        Ok(self.handle(name)?.seen.borrow().clone())
    }

    async fn stop_after_users(&self, name: &str) {
        let users: Vec<Handle> = {
            let services = self.0.services.borrow();
            services
                .values()
                .filter(|h| h.needs.iter().any(|n| n == name))
                .cloned()
                .collect()
        };
        for mut user in users {
            let _ = user.seen.wait_for(|seen| at_rest(seen.state)).await;
        }
        let _ = self.stop(name).await;
    }

    fn handle(&self, name: &str) -> Result<Handle, NoSuchService> {
        let services = self.0.services.borrow();
        services
            .get(name)
            .cloned()
            .ok_or_else(|| NoSuchService(name.to_owned()))
    }
}

/// Whether no process is there and none will come by itself.
fn at_rest(state: State) -> bool {
    matches!(state, State::Down | State::GivenUp)
}

/// Waits until those that need a service can have it, or never will; says which. One that ran
/// and ended well has done what it was needed for; one that somebody stopped has not.
async fn served(seen: &mut watch::Receiver<Seen>) -> bool {
    let done = |seen: &Seen| match seen.state {
        State::Ready | State::GivenUp => true,
        State::Down => seen.last_exit.is_some_and(Exit::success),
        State::Starting | State::Stopping { .. } | State::Backoff => false,
    };
    seen.wait_for(done)
        .await
        .is_ok_and(|seen| seen.state != State::GivenUp)
}

/// Waits until a service is ready, or will not be; says which. One that ran and ended is as
/// good as ready.
async fn settled(seen: &mut watch::Receiver<Seen>) -> bool {
    let done = |seen: &Seen| match seen.state {
        State::Ready | State::GivenUp => true,
        State::Down => seen.last_exit.is_some(),
        State::Starting | State::Stopping { .. } | State::Backoff => false,
    };
    seen.wait_for(done)
        .await
        .is_ok_and(|seen| seen.state != State::GivenUp)
}

fn status(name: &str, seen: &Seen) -> ServiceStatus {
    let millis = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    ServiceStatus {
        name: name.to_owned(),
        state: match seen.state {
            State::Down => "down",
            State::Starting => "starting",
            State::Ready => "ready",
            State::Stopping { .. } => "stopping",
            State::Backoff => "backoff",
            State::GivenUp => "given_up",
        }
        .to_owned(),
        pid: seen.pid,
        restarts: seen.restarts,
        uptime_ms: seen.ready_since.map(millis),
        last_exit: seen.last_exit.map(|exit| exit.to_string()),
    }
}

#[cfg(test)]
mod tests;
