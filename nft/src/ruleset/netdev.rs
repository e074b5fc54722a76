//! `netdev cib`: the last hook before a frame is on the device.

use std::collections::BTreeSet;

use nftables::schema::{Chain, NfListObject};
use nftables::types::{NfChainPolicy, NfChainType, NfHook};

use super::Table;
use super::phrase::{RuleBuilder, base_chain, counter, filled};
use crate::counters::Kind;
use crate::policy::EgressPolicy;

/// The same rules stand under every policy that has any: what was routed has passed the gate
/// of `inet cib`, and here conntrack cannot be asked, which alone knows what is an answer.
pub(super) fn contents(
    policy: &EgressPolicy,
    devices: &BTreeSet<String>,
) -> Option<Vec<NfListObject<'static>>> {
    match policy {
        EgressPolicy::Direct => None,
        EgressPolicy::Closing { .. } | EgressPolicy::Closed | EgressPolicy::Open { .. } => {
            let mut objects = vec![counter(Table::Netdev, Kind::Frame)];
            objects.extend(devices.iter().flat_map(|device| egress(device)));
            Some(objects)
        }
    }
}

fn egress(device: &str) -> Vec<NfListObject<'static>> {
    let hook = (NfChainType::Filter, NfHook::Egress, 0);
    let chain = Chain {
        dev: Some(device.to_owned().into()),
        ..base_chain(Table::Netdev, device, hook, NfChainPolicy::Drop)
    };
    filled(
        chain,
        [
            RuleBuilder::always().arp().accept(),
            RuleBuilder::always().routed().accept(),
            RuleBuilder::always().count(Kind::Frame).drop(),
        ],
    )
}
