//! What init knows of a redirector: what to write, what to start, and how to tell that it is
//! ready. Another program can take redsocks' place behind this trait.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::path::Path;

use cib_upstream::Upstream;
use thiserror::Error;
use zeroize::Zeroizing;

/// What a redirector has to be told.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The upstream, for its scheme and credentials.
    pub upstream: &'a Upstream,
    /// Where to reach it: a pinned address, or the relay's. See [`next_hop`](crate::next_hop).
    pub next_hop: SocketAddr,
    /// Where redirected connections come in.
    pub listen: SocketAddrV4,
    /// The hard limit of open files that the process will be started with.
    pub nofile: u64,
}

/// How to tell that a redirector takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// When its port is in the state LISTEN; [`listener`](crate::listener) tells without
    /// connecting.
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
