//! `cib-connect`: an HTTP proxy on the box's loopback that passes requests to the upstream,
//! whatever protocol the upstream has.
//!
//! It is for a box without NET_ADMIN, where nothing can be redirected (`CIB_PROXY_MODE=env`). The
//! proxy variables tell programs of it. A program that ignores them connects directly. Claude
//! Code obeys them, and cannot speak SOCKS.

mod bridge;
mod plain;
mod serve;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use cib_base::log::{self, Format, LevelFilter};
use serde::{Deserialize, Serialize};

use crate::client::{Dialer, Timeouts};
use crate::service::{Program, Ready, Sockets, StartFault, level};
use crate::url::{Upstream, as_url};

/// The program, as its `--help` describes it.
pub const PROGRAM: Program = Program {
    name: "cib-connect",
    about: "An HTTP proxy on the box's loopback that speaks to the upstream of CIB_PROXY_URL.",
};

/// The port that it listens on unless told otherwise.
pub const CONNECT_PORT: u16 = 12346;

/// Everything `cib-connect` has to know, as JSON. It holds the upstream's credentials: mode
/// 0400 and cib-proxy's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectConfig {
    /// The upstream, as a URL with its credentials.
    #[serde(with = "as_url")]
    pub upstream: Upstream,
    /// The upstream's pinned addresses, in order of preference.
    pub addresses: Vec<IpAddr>,
    /// Where clients connect.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// How many clients at once; the others wait in the kernel. Each takes two files.
    #[serde(default = "default_clients")]
    pub clients: usize,
    /// Whether to ask the upstream for loopback, private and link-local addresses, which are
    /// those of its own machine and network.
    #[serde(default)]
    pub allow_special: bool,
    /// What is logged.
    #[serde(default = "level::default", with = "level")]
    pub log: LevelFilter,
}

impl ConnectConfig {
    /// The configuration with every default, for an upstream and its pinned addresses.
    #[must_use]
    pub fn new(upstream: Upstream, addresses: Vec<IpAddr>) -> Self {
        Self {
            upstream,
            addresses,
            listen: default_listen(),
            clients: default_clients(),
            allow_special: false,
            log: level::default(),
        }
    }
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, CONNECT_PORT).into()
}

fn default_clients() -> usize {
    512
}

/// Binds what is not among `sockets`, reports readiness, and serves until dropped.
///
/// # Errors
///
/// A [`StartFault`] before readiness was reported, nothing after.
pub async fn run(
    config: ConnectConfig,
    ready: Ready,
    mut sockets: Sockets,
) -> Result<(), StartFault> {
    log::begin(Format::Text, config.log);
    let address = config.listen;
    let listener = sockets
        .tcp(address)
        .await
        .map_err(|source| StartFault::Listen { address, source })?;
    let dialer = Dialer::new(
        config.upstream,
        config.addresses.iter().copied(),
        Timeouts::default(),
    );
    let bridge = Arc::new(bridge::Bridge {
        dialer,
        allow_special: config.allow_special,
    });
    ready.report().map_err(StartFault::Ready)?;
    serve::serve(listener, bridge, config.clients).await;
    Ok(())
}
