//! Why egress is not as it has to be.

use std::io;
use std::net::SocketAddr;

use cib_nft::UpstreamsError;
use cib_protocol::init::Check;
use cib_redsocks::ConfigurationFault;
use cib_redsocks::selftest::EchoFault;
use cib_resolver::stub::ResolveFault;

use super::install::InstallError;
use super::network::Others;
use super::rules::RulesError;

/// Why egress is not as it has to be. The box ends with it, and nothing has left.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The rules do not stand.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The network is not the box's alone.
    #[error(
        "CIB_PROXY_URL is set, and the network namespace of this container holds what is not the \
         box's: {0}; the box would cut all of that off. Start it in a network of its own (without \
         --network host or container:NAME), or set CIB_NETWORK_SHARED=1 if that is meant"
    )]
    Shared(Others),
    /// The upstream's name has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveFault),
    /// The upstream's addresses cannot be connected to.
    #[error("CIB_PROXY_URL cannot be used")]
    Upstreams(#[from] UpstreamsError),
    /// The redirector cannot be told what it has to know.
    #[error(transparent)]
    Configuration(#[from] ConfigurationFault),
    /// A configuration file cannot be written.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A configuration cannot be written as JSON.
    #[error("cannot write the configuration of the resolver")]
    Json(#[from] serde_json::Error),
    /// A port of the box's own programs is somebody else's.
    #[error("cannot listen on {address}, which the way out needs")]
    Taken {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The redirect does not redirect.
    #[error("the redirect is not proved")]
    Echo(#[from] EchoFault),
    /// The network that was joined is nobody's to hold.
    #[error(
        "CIB_PROXY_MODE=join, and no container holds this network; start this one with \
         --network container:NAME of one with CIB_PROXY_MODE=hold that is healthy"
    )]
    NotHeld(#[source] EchoFault),
    /// Something that must be refused was not.
    #[error("egress is not closed: {}: {}", .0.claim, .0.detail)]
    Open(Check),
    /// The task that owns the rules is gone.
    #[error("nobody is left who owns the rules")]
    Ownerless,
}
