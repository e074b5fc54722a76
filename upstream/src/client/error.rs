//! Why a connection through the upstream did not come about.

use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::url::{Endpoint, Scheme};

/// How far a dial had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for TCP to the upstream.
    Connect,
    /// Agreeing on how to authenticate.
    Greeting,
    /// Waiting for a verdict on the user and password.
    Authentication,
    /// Waiting for the upstream to reach the target.
    Request,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "while connecting to it",
            Self::Greeting => "during its greeting",
            Self::Authentication => "while it checked the user and password",
            Self::Request => "while it reached for the target",
        })
    }
}

/// The upstream's own reason for not connecting to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// SOCKS5 reply 1.
    #[error("general failure")]
    General,
    /// SOCKS5 reply 2.
    #[error("its rules do not allow it")]
    Ruleset,
    /// SOCKS5 reply 3.
    #[error("the network is unreachable from there")]
    NetworkUnreachable,
    /// SOCKS5 reply 4.
    #[error("the host is unreachable from there")]
    HostUnreachable,
    /// SOCKS5 reply 5.
    #[error("the target refused the connection")]
    ConnectionRefused,
    /// SOCKS5 reply 6.
    #[error("the time to live ran out on the way")]
    TtlExpired,
    /// SOCKS5 reply 7.
    #[error("it does not know CONNECT")]
    CommandUnsupported,
    /// SOCKS5 reply 8.
    #[error("it does not take this kind of address")]
    AddressUnsupported,
    /// SOCKS4 reply 91: rejected or failed, it does not say which.
    #[error("rejected or failed")]
    Socks4,
    /// An HTTP status that is neither success nor a demand for credentials.
    #[error("HTTP status {0}")]
    Http(u16),
    /// The connection was closed in place of an answer.
    #[error("it closed the connection instead of answering")]
    Closed,
    /// A reply code that no document gives a meaning.
    #[error("reply code {0}")]
    Unknown(u8),
}

/// Why there is no connection. Names the upstream by `host:port` and holds no credential.
#[derive(Debug, Error)]
pub enum DialError {
    /// No address of the upstream took a connection.
    #[error("cannot reach the proxy {upstream}")]
    Unreachable {
        /// The upstream.
        upstream: Endpoint,
        /// What the last address said.
        #[source]
        source: io::Error,
    },
    /// The upstream kept silent.
    #[error("the proxy {upstream} kept silent for {} s {stage}", after.as_secs_f32())]
    TimedOut {
        /// The upstream.
        upstream: Endpoint,
        /// What it was asked last.
        stage: Stage,
        /// How long it was given.
        after: Duration,
    },
    /// The user or password is wrong.
    #[error("the proxy {upstream} refused the user or password in CIB_PROXY_URL")]
    AuthRefused {
        /// The upstream.
        upstream: Endpoint,
    },
    /// There is no user, or the upstream wants another kind of proof.
    #[error("the proxy {upstream} wants a user and password; add them to CIB_PROXY_URL")]
    AuthRequired {
        /// The upstream.
        upstream: Endpoint,
    },
    /// Something else answers there.
    #[error("what answers at {upstream} does not speak {scheme}; check CIB_PROXY_URL")]
    NotAProxy {
        /// The upstream.
        upstream: Endpoint,
        /// What it was spoken to in.
        scheme: Scheme,
    },
    /// The connection broke before the upstream had been asked for the target.
    #[error("the proxy {upstream} closed the connection {stage}")]
    Broken {
        /// The upstream.
        upstream: Endpoint,
        /// How far it had come.
        stage: Stage,
        /// The error, or an `UnexpectedEof`.
        #[source]
        source: io::Error,
    },
    /// The upstream works, and did not connect to this target.
    #[error("the proxy {upstream} did not connect")]
    Refused {
        /// The upstream.
        upstream: Endpoint,
        /// Its reason.
        #[source]
        refusal: Refusal,
    },
    /// The protocol has no way to say this target.
    #[error("{scheme} cannot carry an IPv6 address; use socks5 or http in CIB_PROXY_URL")]
    Inexpressible {
        /// The protocol.
        scheme: Scheme,
    },
}

impl DialError {
    /// Whether the fault is the upstream's as a whole, so that no other target will do
    /// better: it is dead, silent, something else, or does not accept us.
    #[must_use]
    pub fn is_upstream_down(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::AuthRefused { .. }
            | Self::AuthRequired { .. }
            | Self::NotAProxy { .. }
            | Self::Broken { .. } => true,
            // The request may hang on the target's account, everything before it may not.
            Self::TimedOut { stage, .. } => *stage != Stage::Request,
            Self::Refused { .. } | Self::Inexpressible { .. } => false,
        }
    }
}
