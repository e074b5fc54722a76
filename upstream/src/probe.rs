//! Asks the upstream whether it is alive and accepts us.
//!
//! redsocks accepts a client before it connects to the upstream, and holds the client for two
//! minutes when the upstream never answers. So init probes the upstream: with a pause of
//! [`INTERVAL`] and a limit of [`DEADLINE`] it notices a dead upstream within 10 seconds.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::client::{DialError, Dialer, Refusal, Target, Timeouts};
use crate::url::{Endpoint, Upstream};

/// How long to wait between the end of a probe and the next one.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How long one probe may take.
pub const DEADLINE: Duration = Duration::from_secs(4);

/// How much is asked of the upstream.
#[derive(Clone, Copy, Debug)]
pub enum Depth<'a> {
    /// Does something at this address speak the upstream's protocol? The probe sends no user and
    /// no password: for SOCKS5 it only offers the methods, for the others it asks for this target
    /// without credentials. For an address of which nothing is known yet.
    Anonymous(&'a Target),
    /// TCP, and for SOCKS5 the user and password: cheap, and invisible to third parties.
    Greeting,
    /// A connection to a target, closed again at once. The only proof that an `http` or
    /// `socks4` upstream accepts the credentials.
    Through(&'a Target),
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// It answers and accepts us.
    Reachable {
        /// From the first packet to the last answer of the handshake.
        rtt: Duration,
    },
    /// It answers and wants other credentials, or some at all.
    AuthRefused,
    /// It answers and would not connect to the target of [`Depth::Through`].
    Refused(Refusal),
    /// There is nobody, or something that is no proxy.
    Unreachable {
        /// Why, as a fragment without the upstream's name.
        reason: String,
    },
    /// It keeps silent.
    TimedOut {
        /// How long it was given.
        after: Duration,
    },
}

impl Reachability {
    /// Whether traffic can flow. A refused target is the target's affair.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Reachable { .. } | Self::Refused(_))
    }

    /// The finding as a sentence for a person, with the upstream's `host:port` and what to
    /// do, and without credentials.
    #[must_use]
    pub fn sentence(&self, upstream: &Endpoint) -> String {
        match self {
            Self::Reachable { rtt } => {
                format!("the proxy {upstream} answers in {} ms", rtt.as_millis())
            }
            Self::AuthRefused => format!(
                "the proxy {upstream} refuses the user or password; correct them in CIB_PROXY_URL"
            ),
            Self::Refused(refusal) => {
                format!("the proxy {upstream} answers, and did not connect: {refusal}")
            }
            Self::Unreachable { reason } => format!(
                "proxy unreachable: {upstream}: {reason}; is it running, and is CIB_PROXY_URL right?"
            ),
            Self::TimedOut { after } => format!(
                "proxy unreachable: {upstream} did not answer within {} s; \
                 is it running, and does a firewall drop what the box sends there?",
                after.as_secs_f32()
            ),
        }
    }
}

/// Probes the upstream at its pinned addresses within `deadline`.
pub async fn probe(
    upstream: &Upstream,
    addresses: &[IpAddr],
    depth: Depth<'_>,
    deadline: Duration,
) -> Reachability {
    let limits = Timeouts {
        connect: deadline,
        greeting: deadline,
        handshake: deadline,
    };
    let dialer = Dialer::new(upstream.clone(), addresses.iter().copied(), limits);
    let start = Instant::now();
    let work = async {
        match depth {
            Depth::Anonymous(target) => dialer.greet_anonymously(target).await,
            Depth::Greeting => dialer.greet().await,
            Depth::Through(target) => dialer.connect(target).await.map(drop),
        }
    };
    match timeout(deadline, work).await {
        Ok(Ok(())) => Reachability::Reachable {
            rtt: start.elapsed(),
        },
        Ok(Err(error)) => judge(error),
        Err(_) => Reachability::TimedOut { after: deadline },
    }
}

fn judge(error: DialError) -> Reachability {
    match error {
        DialError::AuthRefused { .. } | DialError::AuthRequired { .. } => Reachability::AuthRefused,
        DialError::Refused { refusal, .. } => Reachability::Refused(refusal),
        DialError::Inexpressible { .. } => Reachability::Refused(Refusal::AddressUnsupported),
        DialError::TimedOut { after, .. } => Reachability::TimedOut { after },
        DialError::Unreachable { source, .. } => Reachability::Unreachable {
            reason: source.kind().to_string(),
        },
        DialError::Broken { stage, .. } => Reachability::Unreachable {
            reason: format!("it closed the connection {stage}"),
        },
        DialError::NotAProxy { scheme, .. } => Reachability::Unreachable {
            reason: format!("what answers does not speak {scheme}"),
        },
    }
}
