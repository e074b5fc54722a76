//! The boundary behind which redirected TCP becomes connections through the upstream.
//!
//! Init knows a [`Redirector`] and nothing else of redsocks: what to write, what to start,
//! and how to tell that it is ready. Another program can take redsocks' place here.

mod quote;
mod redsocks;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

pub use redsocks::Redsocks;

use crate::upstream::Upstream;

/// What a redirector has to be told.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The upstream, for its scheme and credentials.
    pub upstream: &'a Upstream,
    /// Where to reach it: a pinned address, or the relay's. See [`next_hop`].
    pub next_hop: SocketAddr,
    /// Where redirected connections come in.
    pub listen: SocketAddrV4,
    /// The hard limit of open files that the process will be started with.
    pub nofile: u64,
}

/// How to tell that a redirector takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// When its port is in the state LISTEN; [`listener`] tells without connecting.
    Listening(SocketAddrV4),
    /// When it writes a newline to the descriptor that its arguments name.
    Descriptor,
}

/// Why a configuration cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigurationFault {
    /// The language of the configuration file has no way to say it.
    #[error(
        "CIB_PROXY_URL has a {part} that {redirector} cannot be given (it is exactly `//`, `/*` \
         or one of {{ }} = ;); ask for another {part}"
    )]
    Inexpressible {
        /// `user` or `password`.
        part: &'static str,
        /// The redirector's name.
        redirector: &'static str,
    },
    /// The redirector cannot speak to such an address.
    #[error("{redirector} cannot connect to the IPv6 address {next_hop}; it needs the relay")]
    Family {
        /// The address.
        next_hop: SocketAddr,
        /// The redirector's name.
        redirector: &'static str,
    },
    /// The process may not open enough files to carry a single connection.
    #[error(
        "the limit of {nofile} open files is too low for {redirector}; \
         raise it (docker run --ulimit nofile=65536)"
    )]
    Files {
        /// The hard limit.
        nofile: u64,
        /// The redirector's name.
        redirector: &'static str,
    },
}

/// A program that carries redirected TCP to the upstream.
pub trait Redirector {
    /// One word, for messages and as the service's name.
    fn name(&self) -> &'static str;

    /// Whether it can connect to `address` itself. If not, it needs the relay.
    fn can_reach(&self, address: IpAddr) -> bool;

    /// Its configuration file. It holds the credentials: mode 0400 and cib-proxy's.
    ///
    /// # Errors
    ///
    /// A [`ConfigurationFault`] that names the variable or limit and the remedy.
    fn configuration(
        &self,
        settings: &Settings<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, ConfigurationFault>;

    /// The command line that runs it in the foreground on the configuration at `path`; the
    /// first word is the program's absolute path. There is never a secret in it.
    fn argv(&self, path: &Path) -> Vec<OsString>;

    /// How to tell that it is ready.
    fn readiness(&self, settings: &Settings<'_>) -> Readiness;
}

/// Where the redirector should connect to, for an upstream pinned at `addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The upstream itself.
    Upstream(SocketAddr),
    /// The relay in the resolver, because the redirector cannot reach any of the addresses.
    Relay(SocketAddrV4),
}

impl NextHop {
    /// The address to connect to.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        match self {
            Self::Upstream(address) => address,
            Self::Relay(address) => address.into(),
        }
    }
}

/// The first pinned address that the redirector can reach, or else the relay on `relay_port`
/// of the box's loopback.
#[must_use]
pub fn next_hop(
    redirector: &dyn Redirector,
    addresses: &[IpAddr],
    port: u16,
    relay_port: u16,
) -> NextHop {
    addresses
        .iter()
        .find(|address| redirector.can_reach(**address))
        .map_or(
            NextHop::Relay(SocketAddrV4::new(Ipv4Addr::LOCALHOST, relay_port)),
            |address| NextHop::Upstream((*address, port).into()),
        )
}

/// The user whose TCP socket listens on `address`, or on its port at every address, if there is
/// one. Connecting to find out would make redsocks complain of a connection that nobody
/// redirected, and could not tell redsocks from somebody else in its place.
///
/// # Errors
///
/// Those of reading `/proc/net/tcp`, which is that of the caller's network namespace.
pub fn listener(address: SocketAddrV4) -> io::Result<Option<u32>> {
    let table = io::BufReader::new(fs::File::open("/proc/net/tcp")?);
    owner(table.lines().skip(1), address)
}

/// The format is that of `proc_pid_net(5)`: addresses as the hexadecimal of their bytes in
/// memory, so in the machine's own order, ports in network order, and 0A for LISTEN. Listeners
/// come first, so of a busy machine's connections one alone is read.
fn owner(
    lines: impl Iterator<Item = io::Result<String>>,
    address: SocketAddrV4,
) -> io::Result<Option<u32>> {
    let memory = |ip: Ipv4Addr| format!("{:08X}", u32::from_ne_bytes(ip.octets()));
    let port = format!(":{:04X}", address.port());
    let wanted = [
        memory(*address.ip()) + &port,
        memory(Ipv4Addr::UNSPECIFIED) + &port,
    ];
    for line in lines {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next();
        if fields.nth(1) != Some(LISTEN) {
            break;
        }
        // The queues, the timer and its count stand between.
        let uid = fields.nth(3).and_then(|uid| uid.parse().ok());
        if local.is_some_and(|local| wanted.iter().any(|wanted| wanted == local)) {
            return Ok(uid);
        }
    }
    Ok(None)
}

const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_with_ipv6_alone_is_reached_over_the_relay() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let hop = |addresses: &[IpAddr]| next_hop(&Redsocks::default(), addresses, 1080, 12347);
        assert_eq!(hop(&[v6, v4]), NextHop::Upstream((v4, 1080).into()));
        assert_eq!(hop(&[v6]).address(), "127.0.0.1:12347".parse().unwrap());
    }

    #[test]
    fn a_listening_socket_is_seen_with_its_owner_and_a_closed_one_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            panic!("IPv4")
        };
        let me = nix::unistd::geteuid().as_raw();
        assert_eq!(super::listener(address).unwrap(), Some(me));
        drop(listener);
        assert_eq!(super::listener(address).unwrap(), None);
    }
}
