//! One query to a DNS server, its reply, and why there is none.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use cib_upstream::client::{DialError, Target};
use thiserror::Error;
use tokio::sync::oneshot;

/// Why a server gave no reply.
#[derive(Clone, Debug, Error)]
pub(crate) enum ExchangeError {
    /// There is no connection.
    #[error("{0}")]
    Dial(Arc<DialError>),
    /// There is one, and it does not carry DNS.
    #[error("{0}")]
    Setup(Arc<SetupFault>),
    /// It closed before the reply came.
    #[error("the connection closed")]
    Closed,
    /// Too many wait for it.
    #[error("too many queries wait for this server")]
    Full,
    /// The server answered with something that is no reply.
    #[error("{0}")]
    Answer(&'static str),
}

/// A query that waits for its reply.
pub(crate) struct Request {
    /// The message, with id 0.
    pub(crate) query: Vec<u8>,
    /// Where the reply goes.
    pub(crate) answer: oneshot::Sender<Result<Vec<u8>, ExchangeError>>,
}

/// Why a server cannot be asked over HTTPS.
#[derive(Debug, Error)]
pub(crate) enum SetupFault {
    /// No certificates.
    #[error("cannot read the certificates in {}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// None that can be used.
    #[error("there is no certificate in {}", path.display())]
    NoRoots {
        /// The file.
        path: PathBuf,
    },
    /// rustls does not like its configuration.
    #[error("cannot set TLS up")]
    Tls(#[source] rustls::Error),
    /// The name is no name for TLS.
    #[error("{target} is no name that a certificate can have")]
    Name {
        /// The server.
        target: Target,
    },
    /// The handshake failed, perhaps over the certificate.
    #[error("TLS with {target} failed")]
    Handshake {
        /// The server.
        target: Target,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server does not speak HTTP.
    #[error("HTTP with {target} failed")]
    Http {
        /// The server.
        target: Target,
        /// Why.
        #[source]
        source: hyper::Error,
    },
}
