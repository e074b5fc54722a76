//! Why there is no answer.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why a request has no answer. None of them has anything of the request in it but the host.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The address is none of `http` or `https` with a host.
    #[error("the address is no absolute one of http or https")]
    Address,
    /// The name has no address that could be found.
    #[error("cannot look up `{host}`")]
    Name {
        /// The name.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No address of the host may be connected to.
    #[error("`{host}` has the address {address}, which may not be connected to")]
    Forbidden {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// Nobody listens, or nobody is reached.
    #[error("cannot connect to `{host}`")]
    Connect {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The proxy does not connect there.
    #[error("the proxy does not connect to `{host}`: {status}")]
    Bridge {
        /// The host.
        host: String,
        /// The status line of the proxy, at most 200 bytes of it.
        status: String,
    },
    /// The certificates that are trusted cannot be read, or there are none.
    #[error("cannot read the trusted certificates in {}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The certificate that is to be shown, or its key, cannot be used.
    #[error("the certificate to show cannot be used with its key")]
    Identity(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// TLS cannot be set up at all.
    #[error("cannot set TLS up")]
    Setup(#[source] rustls::Error),
    /// The handshake failed, perhaps over the certificate.
    #[error("TLS with `{host}` failed")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What came is no HTTP, or broke off.
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    /// The body broke off.
    #[error("the answer broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is larger than may be read.
    #[error("the answer is larger than {0} bytes")]
    Large(usize),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

impl HttpsError {
    /// Whether the same request may have an answer a little later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Name { .. }
            | Self::Connect { .. }
            | Self::Bridge { .. }
            | Self::Tls { .. }
            | Self::Http(_)
            | Self::Broken(_)
            | Self::Late(_) => true,
            Self::Address
            | Self::Forbidden { .. }
            | Self::Trust { .. }
            | Self::Identity(_)
            | Self::Setup(_)
            | Self::Large(_) => false,
        }
    }
}
