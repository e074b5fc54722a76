//! `cib-resolver`: DNS for the box, through the upstream.
//!
//! A query that arrives at one of the listeners is judged by the `policy`, answered from the
//! `cache`, or sent on by the `forward`er along the `route` that works: DNS over TCP to port
//! 53, or DNS over HTTPS where that port is closed. Names on the list of local names are asked
//! of Docker, and only for queries that came in at Docker's door.

mod cache;
pub mod config;
mod doh;
mod forward;
mod gate;
mod link;
mod listen;
mod policy;
mod route;
mod serve;
pub mod server;
mod tcp53;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;

pub use config::ResolverConfig;
pub use server::DnsServer;

use crate::client::{Dialer, Timeouts};
use crate::relay;
use crate::service::{Ready, Sockets, log};

/// Why the resolver cannot start.
#[derive(Debug, Error)]
pub enum StartFault {
    /// A port is taken, or may not be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The parent that wants to hear of readiness is gone.
    #[error("cannot report readiness")]
    Ready(#[source] io::Error),
}

/// How long a link to a DNS server may take to come about. Queries wait less; a slow upstream
/// (Tor) is given the time to be ready for the next one, but not to say that it is there.
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
    log::set(config.log);
    let dialer = Arc::new(Dialer::new(
        config.upstream.clone(),
        config.addresses.iter().copied(),
        DIAL,
    ));
    let mut doors = Vec::new();
    for (addresses, door) in [
        (&config.listen_docker, policy::Door::Docker),
        (&config.listen_any, policy::Door::Any),
    ] {
        for &address in addresses {
            match listen::Listener::bind(address, door, &mut sockets).await {
                Ok(listener) => doors.push(listener),
                // A box without IPv6 has nobody who could ask there.
                Err(error) if address.is_ipv6() && lacks_family(&error) => {
                    log::info(format_args!(
                        "there is no IPv6 here; not listening on {address}"
                    ));
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
    let service = Arc::new(serve::Service::new(config, dialer));
    for door in doors {
        door.spawn(&service);
    }
    ready.report().map_err(StartFault::Ready)?;
    std::future::pending().await
}

fn lacks_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32)
}
