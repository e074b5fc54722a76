//! Egress as a person sees it.

use cib_nft::{Counters, Kind};
use cib_protocol::init::EgressStatus;

use super::handle::Egress;
use super::liveness::Liveness;
use super::message::Message;

impl Egress {
    /// Egress as `cib-init status` shows it.
    pub async fn status(&self) -> EgressStatus {
        let endpoint = self.0.upstream.endpoint();
        let blocked = match self.is_locked() {
            true => self.ask(Message::Counted).await.unwrap_or_default(),
            false => Counters::default(),
        };
        let machine = self.0.machine.borrow();
        let health = match machine.liveness() {
            Liveness::Unknown => "not yet probed".to_owned(),
            Liveness::Up => machine
                .path_trouble()
                .map_or_else(|| "reachable".to_owned(), str::to_owned),
            Liveness::Down { health } => self.0.sentence(health),
        };
        let stands = machine.applied().map(|applied| self.0.policy(applied));
        EgressStatus {
            mode: if self.is_locked() { "redirect" } else { "env" }.to_owned(),
            summary: match stands {
                Some(Ok(policy)) => policy.to_string(),
                Some(Err(fault)) => fault.to_string(),
                None if self.is_locked() => "egress is not yet closed".to_owned(),
                None => format!("programs are asked to use the proxy {endpoint}: not leak-proof"),
            },
            upstream: Some(endpoint.to_string()),
            upstream_health: Some(health),
            blocked: Kind::ALL
                .into_iter()
                .map(|kind| (kind, blocked.of(kind).packets))
                .filter(|(_, packets)| *packets > 0)
                .map(|(kind, packets)| (kind.counter().to_owned(), packets))
                .collect(),
        }
    }
}
