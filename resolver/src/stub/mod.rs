//! Looking a host name up without libc: `/etc/hosts`, `/etc/resolv.conf` and DNS.
//!
//! It is needed once at boot, for the upstream's own name, before the box is closed. What
//! glibc does and this does not: mDNS, `nsswitch.conf`, `sortlist`, link-local servers with
//! a zone, and DNS servers over IPv6 when the box has no IPv6.

mod hosts;
mod query;
mod resolv_conf;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use cib_foreign::own;
use cib_upstream::Host;
use thiserror::Error;
use tokio::time::Instant;

use query::QueryError;
pub use query::Transport;
pub(crate) use query::{exchange, question, random_id};
pub use resolv_conf::ResolvConf;

/// Where the system resolver's files are.
#[derive(Clone, Debug)]
pub struct Files {
    /// Names that need no server; `/etc/hosts`.
    pub hosts: PathBuf,
    /// The servers and search domains; `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

/// Why the upstream's name has no address.
#[derive(Debug, Error)]
pub enum ResolveFault {
    /// `hosts` or `resolv.conf` is there and cannot be read.
    #[error("cannot read {} to look up the host of CIB_PROXY_URL", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Every server that answered says that there is no such name.
    #[error(
        "CIB_PROXY_URL names the host `{name}`, which does not exist; \
         correct it, add it to /etc/hosts (docker run --add-host), or use an address"
    )]
    NotFound {
        /// The name.
        name: String,
    },
    /// Servers answered that they failed.
    #[error(
        "CIB_PROXY_URL names the host `{name}`, and no name server of {} could look it up; \
         correct that file (docker run --dns) or use an address",
        path.display()
    )]
    Failed {
        /// The name.
        name: String,
        /// The `resolv.conf` with those servers.
        path: PathBuf,
    },
    /// Nobody answered.
    #[error(
        "CIB_PROXY_URL names the host `{name}`, and no name server of {} answered within \
         {} s; correct that file (docker run --dns) or use an address",
        path.display(),
        after.as_secs_f32()
    )]
    TimedOut {
        /// The name.
        name: String,
        /// The `resolv.conf` with those servers.
        path: PathBuf,
        /// How long was waited.
        after: Duration,
    },
}

/// All addresses of the upstream's host: the IPv4 ones first, each once, never none.
///
/// An address is returned as it is. A name is looked for in `files.hosts` first, then asked
/// of the servers in `files.resolv_conf` through its search list, A and AAAA side by side.
///
/// # Errors
///
/// A [`ResolveFault`] that names the variable, the host and the remedy.
pub async fn resolve(
    host: &Host,
    files: &Files,
    within: Duration,
) -> Result<Vec<IpAddr>, ResolveFault> {
    let name = match host {
        Host::V4(address) => return Ok(vec![(*address).into()]),
        Host::V6(address) => return Ok(vec![(*address).into()]),
        Host::Name(name) => name,
    };
    let miss = match look_up(name, files, within).await? {
        Ok(found) => return Ok(found),
        Err(miss) => miss,
    };
    Err(match miss {
        Miss::NoSuchName => ResolveFault::NotFound { name: name.clone() },
        Miss::Failed => ResolveFault::Failed {
            name: name.clone(),
            path: files.resolv_conf.clone(),
        },
        Miss::Silent => ResolveFault::TimedOut {
            name: name.clone(),
            path: files.resolv_conf.clone(),
            after: within,
        },
    })
}

/// All addresses of a name, as [`resolve`] finds those of the upstream.
///
/// # Errors
///
/// `NotFound`, `Other` or `TimedOut` as [`resolve_through`] has them, or that of a file that
/// cannot be read.
pub async fn addresses(name: &str, files: &Files, within: Duration) -> io::Result<Vec<IpAddr>> {
    match look_up(name, files, within).await {
        Ok(found) => found.map_err(Miss::into_io),
        Err(ResolveFault::Read { source, .. }) => Err(source),
        Err(fault) => Err(io::Error::other(fault)),
    }
}

async fn look_up(
    name: &str,
    files: &Files,
    within: Duration,
) -> Result<Result<Vec<IpAddr>, Miss>, ResolveFault> {
    let found = hosts::look_up(&read(&files.hosts)?, name);
    if !found.is_empty() {
        return Ok(Ok(in_order(found)));
    }
    let conf = ResolvConf::parse(&read(&files.resolv_conf)?);
    Ok(ask_all(name, &conf, within).await.map(in_order))
}

/// All addresses of `name` according to one server, without files or search list.
///
/// With the box's own resolver as `server` this is how a pinned name is refreshed: the query
/// goes through the upstream. That resolver gives IPv4 addresses only.
///
/// # Errors
///
/// `NotFound`, `Failed` or `TimedOut` as an [`io::Error`] of the kinds `NotFound`, `Other`
/// and `TimedOut`.
pub async fn resolve_through(
    server: SocketAddr,
    name: &str,
    within: Duration,
) -> io::Result<Vec<IpAddr>> {
    let conf = ResolvConf {
        servers: vec![server],
        ..ResolvConf::default()
    };
    let absolute = format!("{}.", name.trim_end_matches('.'));
    let found = ask_all(&absolute, &conf, within)
        .await
        .map_err(Miss::into_io)?;
    Ok(in_order(found))
}

/// A file that is not there says nothing, as in glibc.
fn read(path: &PathBuf) -> Result<String, ResolveFault> {
    match own::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(ResolveFault::Read {
            path: path.clone(),
            source,
        }),
    }
}

fn in_order(mut found: Vec<IpAddr>) -> Vec<IpAddr> {
    // Stable, so that each family keeps the server's order.
    found.sort_by_key(IpAddr::is_ipv6);
    let mut once: Vec<IpAddr> = Vec::with_capacity(found.len());
    found.retain(|address| {
        let new = !once.contains(address);
        once.push(*address);
        new
    });
    found
}

/// Ordered from the most to the least that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Miss {
    NoSuchName,
    Failed,
    Silent,
}

impl Miss {
    fn into_io(self) -> io::Error {
        match self {
            Self::NoSuchName => io::Error::new(io::ErrorKind::NotFound, "there is no such name"),
            Self::Failed => io::Error::other("the name server failed"),
            Self::Silent => {
                io::Error::new(io::ErrorKind::TimedOut, "the name server did not answer")
            }
        }
    }
}

async fn ask_all(name: &str, conf: &ResolvConf, within: Duration) -> Result<Vec<IpAddr>, Miss> {
    let deadline = Instant::now() + within;
    let mut worst = Miss::NoSuchName;
    for candidate in conf.candidates(name) {
        let miss = match ask(&candidate, conf, deadline).await {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => Miss::NoSuchName,
            Err(miss) => miss,
        };
        worst = worst.max(miss);
    }
    Err(worst)
}

/// One name, every server, as often as `attempts` says.
async fn ask(name: &str, conf: &ResolvConf, deadline: Instant) -> Result<Vec<IpAddr>, Miss> {
    let mut worst = Miss::Silent;
    for _ in 0..conf.attempts {
        for &server in &conf.servers {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(worst);
            }
            let within = conf.timeout.min(left);
            match query::addresses(server, name, conf.transport, within).await {
                Ok(found) => return Ok(found),
                Err(QueryError::NoSuchName) => return Err(Miss::NoSuchName),
                Err(QueryError::TimedOut | QueryError::Io(_)) => {}
                Err(QueryError::Failed | QueryError::Malformed) => worst = Miss::Failed,
            }
        }
    }
    Err(worst)
}

#[cfg(test)]
mod tests;
