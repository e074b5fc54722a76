//! The upstream and the parts of its URL.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::secret::Secret;

/// What the upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `socks5://` and `socks5h://`, which are the same here: names resolve on the far side.
    Socks5,
    /// `socks4://` and `socks4a://`, the same again.
    Socks4,
    /// `http://`: a proxy that takes `CONNECT`.
    Http,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socks5 => "socks5",
            Self::Socks4 => "socks4",
            Self::Http => "http",
        })
    }
}

/// Where the upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A host name in lower case, of letters, digits, hyphens and underscores; a trailing
    /// dot is kept, because it switches the search list off.
    Name(String),
    /// An IPv4 address; also what `[::ffff:a.b.c.d]` becomes.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

impl Host {
    /// The address, unless the host is a name that has to be looked up first.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some((*address).into()),
            Self::V6(address) => Some((*address).into()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// `host:port` as a person writes it, brackets included. Never holds a credential, so it may
/// go into every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A user and a password, percent-decoded. The password is empty when the URL has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user, 1 to 255 octets.
    pub user: Secret,
    /// The password, 0 to 255 octets.
    pub password: Secret,
}

/// A parsed `CIB_PROXY_URL`.
///
/// `Debug` and `Display` show that there are credentials and never what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub(super) scheme: Scheme,
    pub(super) endpoint: Endpoint,
    pub(super) credentials: Option<Credentials>,
}

impl Upstream {
    /// What it speaks.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.endpoint.host
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.endpoint.port
    }

    /// Its user and password, if the URL had any.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The same upstream for somebody who has no user and no password.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self {
            credentials: None,
            ..self.clone()
        }
    }

    /// Whether the host is a loopback address or `localhost`: the box itself, which is rarely
    /// what a person means who has a proxy on the machine outside. Worth a warning, no fault:
    /// a container that shares the box's network can run the proxy there.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.endpoint.host {
            Host::Name(name) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            Host::V4(address) => address.is_loopback(),
            Host::V6(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = if self.credentials.is_some() {
            "***@"
        } else {
            ""
        };
        write!(f, "{}://{hidden}{}", self.scheme, self.endpoint)
    }
}
