//! DNS for the box: the program `cib-resolver`, and the stub resolver that init calls.
//!
//! A socket of `listen` receives a query, and `handler` decides what happens to it: `policy`
//! answers it at once, `cache` has the answer, or `forward` sends it through the upstream.
//! `selection` says which server gets it and by which protocol: DNS over TCP to port 53, or DNS
//! over HTTPS where the upstream does not let port 53 through. The names on the list of local
//! names are asked of Docker, and only for queries that arrived at Docker's door.
//!
//! [`stub`] looks up the upstream's own name. Init calls it, so it starts no process and no
//! thread, never blocks on the network, and writes no log.
#![forbid(unsafe_code)]

mod breaker;
mod cache;
pub mod config;
mod connection;
mod doh;
mod exchange;
mod forward;
mod handler;
mod listen;
mod policy;
mod selection;
pub mod server;
pub mod stub;
mod tcp53;
mod wire;

use std::io;
use std::sync::Arc;

use cib_base::log::{self, Format};
use cib_upstream::client::{Dialer, Timeouts};
use cib_upstream::relay;
use cib_upstream::service::{Ready, Sockets, StartFault};

pub use config::ResolverConfig;
pub use server::DnsServer;

/// How long a connection to a DNS server may take. A query waits for less: a slow upstream (Tor)
/// may still finish in time for the next query. It has less time to prove that it is there.
const DIAL: Timeouts = Timeouts {
    connect: std::time::Duration::from_secs(3),
    greeting: std::time::Duration::from_millis(2500),
    handshake: std::time::Duration::from_secs(10),
};

/// Binds everything that is not among `sockets`, reports readiness, and serves until dropped.
///
/// # Errors
///
/// A [`StartFault`] before readiness was reported, nothing after.
pub async fn run(
    config: ResolverConfig,
    ready: Ready,
    mut sockets: Sockets,
) -> Result<(), StartFault> {
    log::begin(Format::Text, config.log);
    let dialer = Arc::new(Dialer::new(
        config.upstream.clone(),
        config.addresses.iter().copied(),
        DIAL,
    ));
    let mut listeners = Vec::new();
    for (addresses, door) in [
        (&config.listen_docker, policy::Door::Docker),
        (&config.listen_any, policy::Door::Any),
    ] {
        for &address in addresses {
            match listen::Listener::bind(address, door, &mut sockets).await {
                Ok(listener) => listeners.push(listener),
                // A box without IPv6 has nobody who could ask there.
                Err(error) if address.is_ipv6() && lacks_family(&error) => {
                    tracing::info!("there is no IPv6 here; not listening on {address}");
                }
                Err(source) => return Err(StartFault::Listen { address, source }),
            }
        }
    }
    if let Some(relay) = &config.relay {
        let address = relay.listen;
        let listener = sockets
            .tcp(address)
            .await
            .map_err(|source| StartFault::Listen { address, source })?;
        tokio::spawn(relay::serve(
            listener,
            Arc::clone(&dialer),
            relay.connections,
        ));
    }
    let handler = Arc::new(handler::Handler::new(config, dialer));
    for listener in listeners {
        listener.spawn(&handler);
    }
    ready.report().map_err(StartFault::Ready)?;
    std::future::pending().await
}

fn lacks_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32)
}
