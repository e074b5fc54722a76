//! Egress: every packet leaves through the upstream, or not at all.
//!
//! `docs/spec/egress.md` is the promise; `cib_nft` holds the rules, `cib_redsocks` the way
//! out. This module puts them in order at boot ([`Egress::close`], [`Egress::open`],
//! [`Egress::configure`], [`Egress::prove`]) and watches afterwards ([`Egress::watch`]).

mod host;
pub mod install;
pub mod joined;
pub mod liveness;
mod pins;
pub mod refusals;
mod route;
pub mod rules;
pub mod services;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use cib_nft::{Counters, EgressPolicy, Enforced, Kind, Upstreams, UpstreamsError, Wiring};
use cib_protocol::init::{Check, EgressStatus};
use cib_redsocks::connect::ConnectConfig;
use cib_redsocks::probe::{self, Depth, Health};
use cib_redsocks::redirector::{
    ConfigurationFault, NextHop, Redirector, Redsocks, Settings as RedirectorSettings, next_hop,
};
use cib_redsocks::relay::{RELAY_PORT, RelayConfig};
use cib_redsocks::resolve::{Files, ResolveFault, resolve, resolve_through};
use cib_redsocks::resolver::ResolverConfig;
use cib_redsocks::selftest::{self, EchoFault};
use cib_redsocks::upstream::Upstream;

use crate::config::Service;
use crate::egress::install::{InstallError, install};
use crate::egress::liveness::Liveness;
use crate::egress::rules::RulesError;
use crate::environment::EgressSettings;
use crate::errors::chain;
use crate::logs::{Level, Logs};
use crate::process::Processes;

/// The user that redsocks, the resolver and the connect bridge run as.
pub const PROXY_USER: &str = "cib-proxy";
/// Its user and group id in every image (`docs/design/interfaces.md`).
pub const PROXY_UID: u32 = 971;

/// Where a connection to [`selftest::TARGET`] comes out for as long as the box runs, so that
/// the proof can be repeated while redsocks has its own port.
const PROOF_PORT: NonZeroU16 = NonZeroU16::new(12348).unwrap();
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
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    addresses: Vec<IpAddr>,
    policy: Option<EgressPolicy>,
    enforced: Option<Enforced>,
    /// The devices that the rules were made for.
    covered: BTreeSet<String>,
    /// What was refused under rules that were replaced since.
    refused_before: Counters,
    liveness: Liveness,
    /// Where the box's own programs are, once they were configured.
    bin: PathBuf,
    /// Another address than the configured one is to be used.
    moved: bool,
}

impl Egress {
    /// The way out for these settings, or `None` without an upstream.
    #[must_use]
    pub fn new(
        settings: &EgressSettings,
        processes: Processes,
        logs: Logs,
        run: &Path,
    ) -> Option<Self> {
        let upstream = settings.upstream.clone()?;
        Some(Self(Rc::new(Inner {
            upstream,
            settings: settings.clone(),
            processes,
            logs,
            run: run.to_owned(),
            redirector: Redsocks::default(),
            state: RefCell::default(),
        })))
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
    /// An [`EgressError`]; whatever rules stand by then stay.
    pub async fn close(&self) -> Result<Vec<String>, EgressError> {
        let host = self.0.upstream.host();
        if self.is_locked() && host.address().is_none() {
            self.enforce(EgressPolicy::Closing {
                resolvers: host::resolvers(),
            })
            .await?;
        }
        let addresses = resolve(host, &Files::default(), RESOLVE_TIMEOUT).await?;
        self.0.state.borrow_mut().addresses = addresses;
        if self.is_locked() {
            self.enforce(EgressPolicy::Closed).await
        } else {
            Ok(Vec::new())
        }
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
        let warnings = self
            .enforce(EgressPolicy::Open {
                wiring: self.wiring()?,
            })
            .await?;
        self.echo().await?;
        Ok(warnings)
    }

    /// Writes the configuration of the processes that the way out needs, and returns them as
    /// services in start order.
    ///
    /// # Errors
    /// A file cannot be written, or redsocks cannot be told what the URL says.
    pub fn configure(&self, bin: &Path) -> Result<Vec<Service>, EgressError> {
        self.0.state.borrow_mut().bin = bin.to_owned();
        let addresses = self.0.state.borrow().addresses.clone();
        if !self.is_locked() {
            let path = self.0.run.join("connect/connect.json");
            let config = ConnectConfig::new(self.0.upstream.clone(), addresses);
            install(&path, &serde_json::to_vec(&config)?, PROXY_UID, PROXY_UID)?;
            return Ok(vec![services::connect(&bin.join("cib-connect"), &path)]);
        }
        let hop = next_hop(
            &self.0.redirector,
            &addresses,
            self.0.upstream.port(),
            RELAY_PORT,
        );
        let settings = RedirectorSettings {
            upstream: &self.0.upstream,
            next_hop: hop.address(),
            listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.0.settings.redsocks_port),
            nofile: host::hard_limit_of_files(),
        };
        let redirector_path = self.0.run.join("redsocks/redsocks.conf");
        let text = self.0.redirector.configuration(&settings)?;
        install(&redirector_path, &text, PROXY_UID, PROXY_UID)?;
        let resolver_path = self.0.run.join("resolver/resolver.json");
        let config = self.resolver_config(addresses, hop);
        install(
            &resolver_path,
            &serde_json::to_vec(&config)?,
            PROXY_UID,
            PROXY_UID,
        )?;
        let resolver = services::resolver(&bin.join("cib-resolver"), &resolver_path);
        let redirector = services::redirector(&self.0.redirector, &settings, &redirector_path);
        // The relay, if there is one, is in the resolver.
        Ok(vec![resolver, redirector])
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
        Ok(self.probe().await)
    }

    /// Every check, for `cib-init egress test`.
    pub async fn test(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.is_locked() {
            checks.push(redirected(self.echo().await));
            checks.extend(refusals::refusals(&self.0.settings.lan).await);
            checks.push(self.drift_check().await);
        } else {
            checks.push(Check {
                claim: "every packet is closed in".into(),
                passed: false,
                detail: "CIB_PROXY_MODE=env only asks programs to use the proxy: not leak-proof; \
                         unset it and add --cap-add NET_ADMIN"
                    .into(),
            });
        }
        let health = self.probe().await;
        checks.push(Check {
            claim: "the upstream lets the box through".into(),
            passed: health.is_up(),
            detail: health.sentence(self.0.upstream.endpoint()),
        });
        checks
    }

    /// Egress as `cib-init status` shows it.
    pub async fn status(&self) -> EgressStatus {
        let endpoint = self.0.upstream.endpoint();
        let (health, policy, mut blocked) = {
            let state = self.0.state.borrow();
            let health = match &state.liveness {
                Liveness::Unknown => "not yet probed".to_owned(),
                Liveness::Up => "reachable".to_owned(),
                Liveness::Down { health } => health.sentence(endpoint),
            };
            (health, state.policy.clone(), state.refused_before.clone())
        };
        if self.is_locked()
            && let Ok(now) = rules::counters(&self.0.processes).await
        {
            blocked.add(&now);
        }
        EgressStatus {
            summary: match policy {
                Some(policy) => policy.to_string(),
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

    /// Closes egress for good, when the last session has ended. The rules are never undone:
    /// they go with the network namespace.
    ///
    /// # Errors
    /// The rules cannot be replaced; those that stand stay.
    pub async fn shut(&self) -> Result<(), EgressError> {
        if self.is_locked() && self.0.state.borrow().enforced.is_some() {
            self.enforce(EgressPolicy::Closed).await?;
        }
        Ok(())
    }

    /// Keeps the promise while the box runs: repairs rules that somebody changed, hooks
    /// devices that appear, probes the upstream, and logs what is refused. `first` is what
    /// [`Egress::prove`] found; `gate` lets the redirector run, holds it down while the
    /// upstream is silent, or has it read its configuration again; `settled` is told when
    /// something that comes again and again is over for now. Must be called within a
    /// `LocalSet`.
    pub fn watch(
        &self,
        first: Health,
        gate: impl Fn(Turn) + 'static,
        settled: impl Fn() + 'static,
    ) {
        watch::start(self, first, Rc::new(gate), Rc::new(settled));
    }

    async fn enforce(&self, policy: EgressPolicy) -> Result<Vec<String>, EgressError> {
        let devices = host::devices();
        let before = rules::counters(&self.0.processes).await.unwrap_or_default();
        let enforced = rules::enforce(&self.0.processes, policy.clone(), &devices).await?;
        let warnings = enforced.warnings.iter().map(ToString::to_string).collect();
        let mut state = self.0.state.borrow_mut();
        state.refused_before.add(&before);
        state.policy = Some(policy);
        state.enforced = Some(enforced);
        state.covered = devices;
        Ok(warnings)
    }

    /// A packet is routed before the rules see it, and a network without a way out, which is
    /// the safest there is, has no default route: every connection would fail before it could
    /// be redirected. So it gets one, to the device that leads to the upstream's network; what
    /// takes it and is not redirected is refused like everything else.
    async fn give_route(&self) {
        let upstream = self.0.state.borrow().addresses.clone();
        let line = match route::give_default(&upstream).await {
            Ok(None) => return,
            Ok(Some(device)) => {
                format!("this network has no way out; connections start at device {device}")
            }
            Err(error) => format!("this network has no way out, and none can be added: {error}"),
        };
        self.0.logs.write(Level::Info, "egress", &line);
    }

    fn wiring(&self) -> Result<Wiring, EgressError> {
        let settings = &self.0.settings;
        let port = self.0.upstream.port();
        let addresses = self.0.state.borrow().addresses.clone();
        let upstreams = Upstreams::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)))?;
        let mut wiring = Wiring::through(upstreams);
        wiring.lan = settings.lan.clone();
        if let Some(port) = NonZeroU16::new(settings.redsocks_port) {
            wiring.redirect_port = port;
        }
        wiring.docker_dns_uid = (!settings.local_names.is_empty()).then_some(PROXY_UID);
        wiring.proof_port = Some(PROOF_PORT);
        Ok(wiring)
    }

    fn resolver_config(&self, addresses: Vec<IpAddr>, hop: NextHop) -> ResolverConfig {
        let settings = &self.0.settings;
        let mut config = ResolverConfig::new(self.0.upstream.clone(), addresses);
        if !settings.dns_servers.is_empty() {
            config.servers.clone_from(&settings.dns_servers);
        }
        config.local_names.clone_from(&settings.local_names);
        if let NextHop::Relay(listen) = hop {
            config.relay = Some(RelayConfig {
                listen: listen.into(),
                connections: 1024,
            });
        }
        config
    }

    async fn echo(&self) -> Result<Duration, EchoFault> {
        echo().await
    }

    /// Probes the upstream where redsocks finds it. If there is nobody, and another of its
    /// addresses answers, that one is to be used: see [`Egress::moved`].
    async fn probe(&self) -> Health {
        let addresses = self.0.state.borrow().addresses.clone();
        let (used, standing_by) = pins::others(&addresses);
        let Some(used) = used else {
            return self.probe_at(&addresses).await;
        };
        let health = self.probe_at(&[used]).await;
        if matches!(health, Health::Unreachable { .. } | Health::TimedOut { .. }) {
            for other in standing_by {
                let found = self.probe_at(&[other]).await;
                if found.is_up() {
                    let mut state = self.0.state.borrow_mut();
                    state.addresses = pins::preferring(&state.addresses, other);
                    state.moved = true;
                    return found;
                }
            }
        }
        health
    }

    async fn probe_at(&self, addresses: &[IpAddr]) -> Health {
        let upstream = &self.0.upstream;
        probe::probe(upstream, addresses, Depth::Greeting, probe::DEADLINE).await
    }

    /// Whether another address is to be used since this was last asked. Its configuration is
    /// then written, and redsocks and the resolver have to be started anew.
    fn moved(&self) -> bool {
        if !std::mem::take(&mut self.0.state.borrow_mut().moved) || !self.is_locked() {
            return false;
        }
        let address = self.0.state.borrow().addresses.first().copied();
        let told = address.map(|address| address.to_string());
        let bin = self.0.state.borrow().bin.clone();
        let (level, line) = match self.configure(&bin) {
            Ok(_) => (
                Level::Warn,
                format!(
                    "the proxy {} is used at its address {} from now on: the one before does \
                     not answer",
                    self.0.upstream.endpoint(),
                    told.unwrap_or_default()
                ),
            ),
            Err(fault) => (Level::Error, chain(&fault)),
        };
        self.0.logs.write(level, "egress", &line);
        level == Level::Warn
    }

    /// Asks through the upstream for the addresses that its name has now, and pins those that
    /// answer as it does.
    async fn look_again(&self, name: &str) {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, cib_nft::DNS_PORT.get()));
        let Ok(fresh) = resolve_through(server, name, RESOLVE_TIMEOUT).await else {
            // A name that only the system knew at boot, or a proxy that is away just now.
            return;
        };
        let unknown = pins::unknown(&self.0.state.borrow().addresses, &fresh);
        for address in unknown {
            let unpin = || {
                let mut state = self.0.state.borrow_mut();
                state.addresses.retain(|pinned| *pinned != address);
            };
            self.0.state.borrow_mut().addresses.push(address);
            // It has to be pinned before it can be asked.
            let pinned = self.pin().await;
            let health = self.probe_at(&[address]).await;
            let line = match pinned {
                Ok(()) if health.is_up() => {
                    format!("the proxy {name} has the address {address} as well: pinned")
                }
                Ok(()) => {
                    unpin();
                    match self.pin().await {
                        Ok(()) => format!("the proxy {name} does not answer at {address}"),
                        Err(fault) => chain(&fault),
                    }
                }
                Err(fault) => {
                    unpin();
                    chain(&fault)
                }
            };
            self.0.logs.write(Level::Info, "egress", &line);
        }
    }

    /// Brings the rules into force for the addresses as they are, if the box is open.
    async fn pin(&self) -> Result<(), EgressError> {
        let open = matches!(
            self.0.state.borrow().policy,
            Some(EgressPolicy::Open { .. })
        );
        if open {
            let wiring = self.wiring()?;
            self.enforce(EgressPolicy::Open { wiring }).await?;
        }
        Ok(())
    }

    async fn drift_check(&self) -> Check {
        let claim = "the rules stand as they were applied".to_owned();
        let enforced = self.0.state.borrow().enforced.clone();
        let Some(enforced) = enforced else {
            return Check {
                claim,
                passed: false,
                detail: "none were applied".into(),
            };
        };
        match rules::drift(&self.0.processes, &enforced).await {
            Ok(None) => Check {
                claim,
                passed: true,
                detail: "every rule was read back".into(),
            },
            Ok(Some(drift)) => Check {
                claim,
                passed: false,
                detail: format!("{drift}; they are being repaired, see the log for who did it"),
            },
            Err(fault) => Check {
                claim,
                passed: false,
                detail: chain(&fault),
            },
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

/// Turns an I/O error of a watch into the line that says what no longer works.
fn lost(what: &str, error: &io::Error) -> String {
    format!("{what} can no longer be watched: {error}")
}
