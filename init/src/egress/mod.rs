//! Egress: every packet leaves through the upstream, or not at all.
//!
//! `docs/spec/egress.md` is the promise; `cib_nft` holds the rules, `cib_redsocks` the way
//! out. This module puts them in order at boot ([`Egress::close`], [`Egress::open`],
//! [`Egress::configure`], [`Egress::prove`]) and watches afterwards ([`Egress::watch`]).
//!
//! One task owns the rules (`actor`), and a pure function says what follows from what happens
//! to them (`machine`). Everything else here looks at the world and tells them, or asks.

mod actor;
mod host;
pub mod install;
pub mod joined;
pub mod liveness;
mod machine;
pub mod network;
mod path;
mod pins;
mod programs;
pub mod refusals;
mod route;
pub mod rules;
pub mod services;
mod watch;

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use cib_base::errors::chain;
use cib_nft::{Kind, UpstreamsError};
use cib_protocol::init::{Check, EgressStatus};
use cib_redsocks::probe::{self, Depth, Health};
use cib_redsocks::redirector::{ConfigurationFault, Redsocks};
use cib_redsocks::resolve::{Files, ResolveFault, resolve};
use cib_redsocks::selftest::{self, EchoFault};
use cib_redsocks::upstream::Upstream;
use tokio::sync::{mpsc, oneshot};

use crate::egress::actor::{Actor, Found, Message};
use crate::egress::install::InstallError;
use crate::egress::liveness::Liveness;
use crate::egress::machine::{Event, Machine};
use crate::egress::network::Others;
use crate::egress::programs::Held;
pub use crate::egress::programs::Program;
use crate::egress::rules::RulesError;
use crate::environment::EgressSettings;
use crate::logs::{Level, Logs};
use crate::process::Processes;
use crate::sys::memory;

/// The user that redsocks, the resolver and the connect bridge run as.
pub const PROXY_USER: &str = "cib-proxy";
/// Its user and group id in every image (`docs/design/interfaces.md`).
pub const PROXY_UID: u32 = cib_nft::PROXY_UID;

/// Name of egress in the log.
const NAME: &str = "egress";
/// Where a connection to [`selftest::TARGET`] comes out for as long as the box runs, so that
/// the proof can be repeated while redsocks has its own port.
const PROOF_PORT: NonZeroU16 = cib_nft::PROOF_PORT;
/// How long the upstream's name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A redirect happens within the kernel; this is for a box that is busy booting.
const ECHO_TIMEOUT: Duration = Duration::from_secs(3);

/// Why egress is not as it has to be. The box ends with it, and nothing has left.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The rules do not stand.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The network is not the box's alone.
    #[error(
        "CIB_PROXY_URL is set, and the network namespace of this container holds what is not the \
         box's: {0}; the box would cut all of that off. Start it in a network of its own (without \
         --network host or container:NAME), or set CIB_NETWORK_SHARED=1 if that is meant"
    )]
    Shared(Others),
    /// The upstream's name has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveFault),
    /// The upstream's addresses cannot be connected to.
    #[error("CIB_PROXY_URL cannot be used")]
    Upstreams(#[from] UpstreamsError),
    /// The redirector cannot be told what it has to know.
    #[error(transparent)]
    Configuration(#[from] ConfigurationFault),
    /// A configuration file cannot be written.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A configuration cannot be written as JSON.
    #[error("cannot write the configuration of the resolver")]
    Json(#[from] serde_json::Error),
    /// A port of the box's own programs is somebody else's.
    #[error("cannot listen on {address}, which the way out needs")]
    Taken {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The redirect does not redirect.
    #[error("the redirect is not proved")]
    Echo(#[from] EchoFault),
    /// The network that was joined is nobody's to hold.
    #[error(
        "CIB_PROXY_MODE=join, and no container holds this network; start this one with \
         --network container:NAME of one with CIB_PROXY_MODE=hold that is healthy"
    )]
    NotHeld(#[source] EchoFault),
    /// Something that must be refused was not.
    #[error("egress is not closed: {}: {}", .0.claim, .0.detail)]
    Open(Check),
    /// The task that owns the rules is gone.
    #[error("nobody is left who owns the rules")]
    Ownerless,
}

/// What becomes of the redirector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It runs.
    Run,
    /// It is held down.
    Hold,
    /// It and the resolver are started anew, with what is configured now.
    Renew,
}

/// What lets the redirector run, or holds it down.
type Gate = dyn Fn(Turn);

/// The way out of this box. Cheap to clone.
#[derive(Clone)]
pub struct Egress(Rc<Inner>);

struct Inner {
    upstream: Upstream,
    settings: EgressSettings,
    processes: Processes,
    logs: Logs,
    /// `/run/cib`.
    run: PathBuf,
    redirector: Redsocks,
    /// What only the actor changes.
    machine: RefCell<Machine>,
    queue: mpsc::UnboundedSender<Message>,
    held: Held,
    gate: RefCell<Option<Rc<Gate>>>,
    /// Where the box's own programs are, once they were configured.
    bin: RefCell<PathBuf>,
}

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
            gate: RefCell::default(),
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
    pub async fn prove(&self) -> Result<Health, EgressError> {
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

    /// Every check, for `cib-init egress test`.
    pub async fn test(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.is_locked() {
            checks.push(redirected(echo().await));
            checks.extend(refusals::refusals(&self.0.settings.lan).await);
            checks.push(self.drift_check().await);
            checks.push(self.0.redirector_check());
        } else {
            checks.push(Check {
                claim: "every packet is closed in".into(),
                passed: false,
                detail: "CIB_PROXY_MODE=env only asks programs to use the proxy: not leak-proof; \
                         unset it and add --cap-add NET_ADMIN"
                    .into(),
            });
        }
        let health = self.0.probe().await;
        checks.push(Check {
            claim: "the upstream lets the box through".into(),
            passed: health.is_up(),
            detail: self.0.sentence(&health),
        });
        if self.is_locked() && health.is_up() {
            checks.extend(self.0.walked().await);
        }
        checks
    }

    /// Egress as `cib-init status` shows it.
    pub async fn status(&self) -> EgressStatus {
        let endpoint = self.0.upstream.endpoint();
        let blocked = match self.is_locked() {
            true => self.ask(Message::Counted).await.unwrap_or_default(),
            false => cib_nft::Counters::default(),
        };
        let machine = self.0.machine.borrow();
        let health = match machine.liveness() {
            Liveness::Unknown => "not yet probed".to_owned(),
            Liveness::Up => machine
                .walked_into()
                .map_or_else(|| "reachable".to_owned(), str::to_owned),
            Liveness::Down { health } => self.0.sentence(health),
        };
        let stands = machine.applied().map(|applied| self.0.policy(applied));
        EgressStatus {
            summary: match stands {
                Some(Ok(policy)) => policy.to_string(),
                Some(Err(fault)) => fault.to_string(),
                None if self.is_locked() => "egress is not yet closed".to_owned(),
                None => format!("programs are asked to use the proxy {endpoint}: not leak-proof"),
            },
            upstream: Some(endpoint.to_string()),
            upstream_health: Some(health),
            blocked: Kind::ALL
                .into_iter()
                .map(|kind| (kind, blocked.of(kind).packets))
                .filter(|(_, packets)| *packets > 0)
                .map(|(kind, packets)| (kind.counter().to_owned(), packets))
                .collect(),
        }
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
    /// and logs what is refused. `first` is what [`Egress::prove`] found; `gate` lets the
    /// redirector run, holds it down while the upstream is silent, or has it read its
    /// configuration again; `settled` is told when something that comes again and again is over
    /// for now. Must be called within a `LocalSet`.
    pub fn watch(
        &self,
        first: Health,
        gate: impl Fn(Turn) + 'static,
        settled: impl Fn() + 'static,
    ) {
        *self.0.gate.borrow_mut() = Some(Rc::new(gate));
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
    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
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
        self.0.logs.write(Level::Info, NAME, &line);
    }

    async fn drift_check(&self) -> Check {
        let (passed, detail) = match self.ask(Message::Inspected).await.flatten() {
            None => (false, "none were applied".to_owned()),
            Some(Ok(())) => (true, "every rule was read back".to_owned()),
            Some(Err(Found::Drift(drift))) => (
                false,
                format!("{drift}; they are being repaired, see the log for who did it"),
            ),
            Some(Err(Found::Fault(fault))) => (false, chain(&fault)),
        };
        Check {
            claim: "the rules stand as they were applied".to_owned(),
            passed,
            detail,
        }
    }
}

impl Inner {
    /// Tells the actor what happened.
    fn happened(&self, event: Event) {
        // It lives as long as the box.
        let _ = self.queue.send(Message::Happened(event));
    }

    /// Probes the upstream where redsocks finds it. If there is nobody, and another of its
    /// addresses answers, that one is to be used.
    async fn probe(&self) -> Health {
        let addresses = self.machine.borrow().pinned().to_vec();
        let (used, standing_by) = pins::others(&addresses);
        let Some(used) = used else {
            return self.probe_at(&addresses).await;
        };
        let health = self.probe_at(&[used]).await;
        if matches!(health, Health::Unreachable { .. } | Health::TimedOut { .. }) {
            for other in standing_by {
                let found = self.probe_at(&[other]).await;
                if found.is_up() {
                    self.happened(Event::Moved(other));
                    return found;
                }
            }
        }
        health
    }

    async fn probe_at(&self, addresses: &[IpAddr]) -> Health {
        probe::probe(&self.upstream, addresses, Depth::Greeting, probe::DEADLINE).await
    }

    /// Whose socket it is that redirected connections would come to.
    fn listener(&self) -> Option<u32> {
        cib_redsocks::redirector::listener(self.redirect_to()).unwrap_or_default()
    }

    fn redirector_check(&self) -> Check {
        let port = self.settings.redsocks_port;
        let (passed, detail) = match self.listener() {
            Some(PROXY_UID) => (true, format!("redsocks listens on port {port}")),
            Some(uid) => (
                false,
                format!(
                    "a program of uid {uid} listens on port {port}; no connection is let to it; \
                     end that program, and redsocks takes its place"
                ),
            ),
            None => (
                false,
                format!(
                    "nobody listens on port {port}, so every connection is refused; \
                     `cib-init svc logs redsocks` says why"
                ),
            ),
        };
        Check {
            claim: "redirected connections come to redsocks alone".to_owned(),
            passed,
            detail,
        }
    }
}

/// Proves that a connection to nobody's address comes out where it is redirected to.
async fn echo() -> Result<Duration, EchoFault> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, PROOF_PORT.get()));
    selftest::token_echo(listen, selftest::TARGET.into(), ECHO_TIMEOUT).await
}

fn redirected(echo: Result<Duration, EchoFault>) -> Check {
    let claim = "tcp is redirected".to_owned();
    match echo {
        Ok(took) => Check {
            claim,
            passed: true,
            detail: format!("a token came back after {} us", took.as_micros()),
        },
        Err(fault) => Check {
            claim,
            passed: false,
            detail: format!("{}; restart the box", chain(&fault)),
        },
    }
}
