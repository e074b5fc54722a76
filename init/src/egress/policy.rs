//! The rules for what is desired.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use cib_nft::{EgressPolicy, PROOF_PORT, UpstreamsError, Wiring};

use super::inner::Inner;
use super::machine::Desired;
use super::services::PROXY_UID;

impl Inner {
    /// The policy that `cib_nft` makes the rules of.
    pub(super) fn policy(&self, desired: &Desired) -> Result<EgressPolicy, UpstreamsError> {
        Ok(match desired {
            Desired::Closing(resolvers) => EgressPolicy::Closing {
                resolvers: resolvers.clone(),
            },
            Desired::Closed => EgressPolicy::Closed,
            Desired::Open {
                pinned,
                candidate,
                squatted,
            } => {
                let port = self.upstream.port();
                let at = |ip: IpAddr| SocketAddr::new(ip.to_canonical(), port);
                let upstreams = cib_nft::Upstreams::new(pinned.iter().copied().map(at))?;
                let mut wiring = Wiring::through(upstreams);
                wiring.candidates = candidate.map(at).into_iter().collect();
                wiring.squatted = *squatted;
                wiring.relay_port = self
                    .needs_relay(pinned)
                    .then(|| NonZeroU16::new(cib_upstream::relay::RELAY_PORT))
                    .flatten();
                wiring.lan = self.settings.lan.clone();
                if let Some(port) = NonZeroU16::new(self.settings.redsocks_port) {
                    wiring.redirect_port = port;
                }
                let asks_docker = !self.settings.local_names.is_empty();
                wiring.docker_dns_uid = asks_docker.then_some(PROXY_UID);
                wiring.proof_port = Some(PROOF_PORT);
                EgressPolicy::Open { wiring }
            }
        })
    }
}
