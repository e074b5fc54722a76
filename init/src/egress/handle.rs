//! The handle by which the boot closes, opens, proves and watches egress.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use cib_redsocks::Redsocks;
use cib_resolver::stub::{Files, resolve};
use cib_upstream::probe::Reachability;
use tokio::sync::{mpsc, oneshot};

use super::actor::Actor;
use super::echo::echo;
use super::error::EgressError;
use super::inner::{Inner, RESOLVE_TIMEOUT};
use super::machine::{Event, Machine, RedirectorCommand};
use super::message::Message;
use super::network::Others;
use super::programs::Program;
use super::services::PROXY_UID;
use super::sockets::Held;
use super::{host, refusals, route, watch};
use crate::environment::EgressSettings;
use crate::logs::{Level, Logs};
use crate::process::Processes;
use crate::sys::memory;

/// The way out of this box. Cheap to clone.
#[derive(Clone)]
pub struct Egress(pub(super) Rc<Inner>);

impl Egress {
    /// The way out for these settings, or `None` without an upstream. Must be called within a
    /// `LocalSet`.
    #[must_use]
    pub fn new(
        settings: &EgressSettings,
        processes: Processes,
        logs: Logs,
        run: &Path,
    ) -> Option<Self> {
        let upstream = settings.upstream.clone()?;
        let redirector = (PROXY_UID, settings.redsocks_port);
        let machine = Machine::new(upstream.endpoint().clone(), redirector);
        let (queue, messages) = mpsc::unbounded_channel();
        let inner = Rc::new(Inner {
            upstream,
            settings: settings.clone(),
            processes,
            logs,
            run: run.to_owned(),
            redirector: Redsocks::default(),
            machine: RefCell::new(machine),
            queue,
            held: Held::default(),
            redirector_control: RefCell::default(),
            bin: RefCell::default(),
        });
        tokio::task::spawn_local(Actor::new(Rc::clone(&inner)).run(messages));
        Some(Self(inner))
    }

    /// Whether the kernel takes every packet to the upstream, rather than asking programs to
    /// go there.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.0.settings.mode.locks()
    }

    /// Closes egress, and finds out where the upstream is. A name is looked up while nothing
    /// but DNS may leave; then nothing may. What closing said that is worth a warning.
    ///
    /// # Errors
    /// An [`EgressError`]; whatever rules stand by then stay. Where the network is not the
    /// box's alone, nothing was changed.
    pub async fn close(&self) -> Result<Vec<String>, EgressError> {
        let host = self.0.upstream.host();
        let mut warnings = Vec::new();
        if self.is_locked() {
            if !self.0.settings.shared
                && let Some(others) = Others::look().await
            {
                return Err(EgressError::Shared(others));
            }
            let resolvers = host.address().is_none().then(host::resolvers);
            warnings = self.want(Event::Close(resolvers)).await?;
        }
        let addresses = resolve(host, &Files::default(), RESOLVE_TIMEOUT).await?;
        warnings.extend(self.want(Event::Resolved(addresses)).await?);
        Ok(warnings)
    }

    /// Opens the way through the upstream, and proves that a connection takes it.
    ///
    /// # Errors
    /// An [`EgressError`]; then nothing may leave.
    pub async fn open(&self) -> Result<Vec<String>, EgressError> {
        if !self.is_locked() {
            return Ok(Vec::new());
        }
        self.give_route().await;
        let warnings = self.want(Event::Open).await?;
        echo().await?;
        Ok(warnings)
    }

    /// Writes the configuration of the processes that the way out needs, makes their sockets,
    /// and returns them in start order.
    ///
    /// # Errors
    /// A file cannot be written, a port is taken, or redsocks cannot be told what the URL says.
    pub fn configure(&self, bin: &Path) -> Result<Vec<Program>, EgressError> {
        bin.clone_into(&mut self.0.bin.borrow_mut());
        self.0.programs(bin)
    }

    /// Proves both sides: what must be refused is refused at once, and whether the upstream
    /// lets us through. An upstream that does not is no error: the box is closed, not broken.
    ///
    /// # Errors
    /// Something got out, or would hang.
    pub async fn prove(&self) -> Result<Reachability, EgressError> {
        if self.is_locked()
            && let Some(leak) = refusals::refusals(&self.0.settings.lan)
                .await
                .into_iter()
                .find(|check| !check.passed)
        {
            return Err(EgressError::Open(leak));
        }
        Ok(self.0.probe().await)
    }

    /// What keeps the way out from working, or from being what it has to be: each in a
    /// sentence, and nothing if all is well.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.0.machine.borrow().troubles()
    }

    /// Closes egress for good, when the last session has ended. The rules are never undone:
    /// they go with the network namespace.
    ///
    /// # Errors
    /// The rules cannot be replaced; those that stand stay.
    pub async fn shut(&self) -> Result<(), EgressError> {
        if self.is_locked() {
            self.want(Event::Shut).await?;
        }
        Ok(())
    }

    /// Keeps the promise while the box runs: repairs rules that somebody changed, hooks
    /// devices that appear, probes the upstream, looks who listens in the redirector's place,
    /// and logs what is refused. `first` is what [`Egress::prove`] found; `control` lets the
    /// redirector run, holds it down while the upstream is silent, or has it read its
    /// configuration again; `settled` is told when something that comes again and again is over
    /// for now. Must be called within a `LocalSet`.
    pub fn watch(
        &self,
        first: Reachability,
        control: impl Fn(RedirectorCommand) + 'static,
        settled: impl Fn() + 'static,
    ) {
        *self.0.redirector_control.borrow_mut() = Some(Rc::new(control));
        // Each watch holds a buffer for the largest message, and the boot has left much free.
        memory::give_back();
        watch::start(&self.0, first, Rc::new(settled));
    }

    /// Has something done, in its turn, and waits until it is.
    async fn want(&self, event: Event) -> Result<Vec<String>, EgressError> {
        let asked = self.ask(|reply| Message::Wanted(event, reply)).await;
        asked.unwrap_or(Err(EgressError::Ownerless))
    }

    /// Asks the actor. It lives as long as the box, and answers in its turn.
    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.queue.send(message(reply)).ok()?;
        answer.await.ok()
    }

    /// A packet is routed before the rules see it, and a network without a way out, which is
    /// the safest there is, has no default route: every connection would fail before it could
    /// be redirected. So it gets one, to the device that leads to the upstream's network; what
    /// takes it and is not redirected is refused like everything else.
    async fn give_route(&self) {
        let upstream = self.0.machine.borrow().pinned().to_vec();
        let line = match route::give_default(&upstream).await {
            Ok(None) => return,
            Ok(Some(device)) => {
                format!("this network has no way out; connections start at device {device}")
            }
            Err(error) => format!("this network has no way out, and none can be added: {error}"),
        };
        self.0.log(Level::Info, &line);
    }
}
