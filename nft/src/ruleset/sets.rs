//! The addresses that rules speak of.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nftables::expr::{Expression, NamedExpression, Prefix};
use nftables::schema::{NfListObject, Set, SetFlag, SetType, SetTypeValue};

use super::Table;
use crate::wiring::{Upstreams, Wiring};

pub(super) const UPSTREAM4: &str = "upstream4";
pub(super) const UPSTREAM6: &str = "upstream6";
pub(super) const CANDIDATE4: &str = "candidate4";
pub(super) const CANDIDATE6: &str = "candidate6";
pub(super) const LAN4: &str = "lan4";
pub(super) const LAN6: &str = "lan6";
pub(super) const RESOLVER4: &str = "resolver4";
pub(super) const RESOLVER6: &str = "resolver6";
pub(super) const SPECIAL4: &str = "special4";

/// Networks that nobody's proxy should be asked for (the IANA special-purpose registry of
/// IPv4, without the documentation networks): this network, private, shared, link-local with
/// the clouds' metadata services, protocol assignments, benchmarking, and at the end multicast
/// with everything reserved. Through the proxy they would lead into the proxy's own network.
const SPECIAL: [([u8; 4], u8); 9] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([224, 0, 0, 0], 3),
];

/// The proxy's addresses, by family.
pub(super) fn upstreams(upstreams: &Upstreams) -> [NfListObject<'static>; 2] {
    services([UPSTREAM4, UPSTREAM6], upstreams.iter())
}

/// What may be further addresses of it, by family.
pub(super) fn candidates(candidates: &BTreeSet<SocketAddr>) -> [NfListObject<'static>; 2] {
    services([CANDIDATE4, CANDIDATE6], candidates.iter().copied())
}

fn services(
    [name4, name6]: [&'static str; 2],
    addresses: impl Iterator<Item = SocketAddr>,
) -> [NfListObject<'static>; 2] {
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv4);
    let elements = |addresses: Vec<SocketAddr>| {
        let concat = |address: SocketAddr| {
            Expression::Named(NamedExpression::Concat(vec![
                text(&address.ip()),
                Expression::Number(address.port().into()),
            ]))
        };
        addresses.into_iter().map(concat).collect()
    };
    let service = |address| SetTypeValue::Concatenated(vec![address, SetType::InetService].into());
    [
        set(name4, service(SetType::Ipv4Addr), None, elements(v4)),
        set(name6, service(SetType::Ipv6Addr), None, elements(v6)),
    ]
}

/// What may be reached without the proxy, by family.
pub(super) fn lan(wiring: &Wiring) -> [NfListObject<'static>; 2] {
    let v4 = wiring
        .lan
        .v4()
        .map(|n| network(&n.addr(), n.prefix_len(), 32))
        .collect();
    let v6 = wiring
        .lan
        .v6()
        .map(|n| network(&n.addr(), n.prefix_len(), 128))
        .collect();
    [
        intervals(LAN4, SetType::Ipv4Addr, v4),
        intervals(LAN6, SetType::Ipv6Addr, v6),
    ]
}

/// The system's name servers, by family.
pub(super) fn resolvers(servers: impl Iterator<Item = IpAddr>) -> [NfListObject<'static>; 2] {
    let (v4, v6): (Vec<_>, Vec<_>) = servers.partition(IpAddr::is_ipv4);
    let elements = |servers: Vec<IpAddr>| servers.iter().map(text).collect();
    [
        set(
            RESOLVER4,
            SetTypeValue::Single(SetType::Ipv4Addr),
            None,
            elements(v4),
        ),
        set(
            RESOLVER6,
            SetTypeValue::Single(SetType::Ipv6Addr),
            None,
            elements(v6),
        ),
    ]
}

pub(super) fn special() -> NfListObject<'static> {
    let networks = SPECIAL.map(|(address, length)| network(&Ipv4Addr::from(address), length, 32));
    intervals(SPECIAL4, SetType::Ipv4Addr, networks.into())
}

fn intervals(
    name: &'static str,
    kind: SetType,
    elements: Vec<Expression<'static>>,
) -> NfListObject<'static> {
    set(
        name,
        SetTypeValue::Single(kind),
        Some(SetFlag::Interval),
        elements,
    )
}

fn set(
    name: &'static str,
    kind: SetTypeValue<'static>,
    flag: Option<SetFlag>,
    elements: Vec<Expression<'static>>,
) -> NfListObject<'static> {
    NfListObject::Set(Box::new(Set {
        family: Table::Inet.family(),
        table: Table::NAME.into(),
        name: name.into(),
        set_type: kind,
        flags: flag.map(|flag| HashSet::from([flag])),
        elem: (!elements.is_empty()).then(|| Cow::Owned(elements)),
        ..Set::default()
    }))
}

/// A whole address is written without its prefix, as the kernel lists it.
fn network(address: &impl ToString, length: u8, whole: u8) -> Expression<'static> {
    if length == whole {
        return text(address);
    }
    Expression::Named(NamedExpression::Prefix(Prefix {
        addr: Box::new(text(address)),
        len: length.into(),
    }))
}

fn text(address: &impl ToString) -> Expression<'static> {
    Expression::String(address.to_string().into())
}
