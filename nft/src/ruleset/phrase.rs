//! The few phrases that our rules are made of, in the types of the `nftables` crate.

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;
use std::num::NonZeroU16;

use nftables::expr::{
    CT, Expression, Fib, FibFlag, FibResult, Meta, MetaKey, NamedExpression, Payload, PayloadBase,
    PayloadField, PayloadRaw, SetItem,
};
use nftables::schema::{Chain, NfListObject, Rule};
use nftables::stmt::{
    Counter, JumpTarget, Limit, Log, Match, NAT, Operator, Reject, RejectType, Statement,
};
use nftables::types::{NfChainPolicy, NfChainType, NfHook, RejectCode};

use super::{Reports, Table};
use crate::counters::Kind;

/// Protocols by the numbers of the IANA: nft looks names up in `/etc/protocols`, which slim
/// images do not have.
pub(super) const ICMP: u8 = 1;
pub(super) const IGMP: u8 = 2;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// The only addresses and ports of a set, by the kind of its elements.
#[derive(Clone, Copy)]
pub(super) enum Destination {
    /// `ip daddr . tcp dport @set`
    Service4(&'static str),
    /// `ip6 daddr . tcp dport @set`
    Service6(&'static str),
    /// `ip daddr @set`
    Address4(&'static str),
    /// `ip6 daddr @set`
    Address6(&'static str),
}

/// A rule in the making: conditions first, then what is done.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleBuilder(Vec<Statement<'static>>);

impl RuleBuilder {
    /// A rule for every packet.
    pub(super) fn always() -> Self {
        Self::default()
    }

    fn when(
        mut self,
        left: NamedExpression<'static>,
        op: Operator,
        right: Expression<'static>,
    ) -> Self {
        let left = Expression::Named(left);
        self.0.push(Statement::Match(Match { left, right, op }));
        self
    }

    fn meta(self, key: MetaKey, op: Operator, right: Expression<'static>) -> Self {
        self.when(NamedExpression::Meta(Meta { key }), op, right)
    }

    fn then(mut self, statement: Statement<'static>) -> Self {
        self.0.push(statement);
        self
    }

    pub(super) fn towards(self, destination: Destination) -> Self {
        let (left, set) = match destination {
            Destination::Service4(set) => (service("ip"), set),
            Destination::Service6(set) => (service("ip6"), set),
            Destination::Address4(set) => (payload("ip", "daddr"), set),
            Destination::Address6(set) => (payload("ip6", "daddr"), set),
        };
        self.when(left, Operator::EQ, text(format!("@{set}")))
    }

    pub(super) fn towards_address(self, address: Ipv4Addr) -> Self {
        self.when(
            payload("ip", "daddr"),
            Operator::EQ,
            text(address.to_string()),
        )
    }

    pub(super) fn towards_loopback(self) -> Self {
        let network = NamedExpression::Prefix(nftables::expr::Prefix {
            addr: Box::new(text("127.0.0.0")),
            len: 8,
        });
        self.when(
            payload("ip", "daddr"),
            Operator::EQ,
            Expression::Named(network),
        )
    }

    pub(super) fn tcp_port(self, port: u16) -> Self {
        self.when(
            payload("tcp", "dport"),
            Operator::EQ,
            Expression::Number(port.into()),
        )
    }

    /// To port 53, by UDP or TCP.
    pub(super) fn dns(self) -> Self {
        self.meta(
            MetaKey::L4proto,
            Operator::EQ,
            any_of([TCP, UDP].map(number)),
        )
        .when(payload("th", "dport"), Operator::EQ, Expression::Number(53))
    }

    /// To an address of the box itself. Not `oif lo`: in the output hook, the device is still
    /// the one that was chosen before the redirect.
    pub(super) fn towards_the_box(self) -> Self {
        self.when(fib(FibFlag::Daddr), Operator::EQ, text("local"))
    }

    /// From an address that the box does not have.
    pub(super) fn foreign_source(self) -> Self {
        self.when(fib(FibFlag::Saddr), Operator::NEQ, text("local"))
    }

    pub(super) fn through(self, device: &'static str) -> Self {
        self.meta(MetaKey::Oifname, Operator::EQ, text(device))
    }

    pub(super) fn out_of(self, device: &'static str) -> Self {
        self.meta(MetaKey::Iifname, Operator::EQ, text(device))
    }

    pub(super) fn unless_by(self, uid: u32) -> Self {
        self.meta(MetaKey::Skuid, Operator::NEQ, Expression::Number(uid))
    }

    /// From a socket of anybody but these. What the kernel sends for a socket that is closed
    /// already is nobody's, and neither by somebody nor by somebody else.
    pub(super) fn unless_by_any(self, uids: &BTreeSet<u32>) -> Self {
        self.meta(MetaKey::Skuid, Operator::NEQ, one_of(uids))
    }

    pub(super) fn by_any(self, uids: &BTreeSet<u32>) -> Self {
        self.meta(MetaKey::Skuid, Operator::EQ, one_of(uids))
    }

    /// The first packet of either side of a TCP connection.
    pub(super) fn opens(self) -> Self {
        self.when(payload("tcp", "flags"), Operator::IN, text("syn"))
    }

    pub(super) fn tcp_source_port(self, port: NonZeroU16) -> Self {
        let port = Expression::Number(port.get().into());
        self.when(payload("tcp", "sport"), Operator::EQ, port)
    }

    /// From the side that did not open the connection.
    pub(super) fn backwards(self) -> Self {
        self.when(conntrack("direction"), Operator::EQ, text("reply"))
    }

    /// Of a connection that was redirected.
    pub(super) fn redirected(self) -> Self {
        self.when(conntrack("status"), Operator::IN, text("dnat"))
    }

    pub(super) fn by(self, uid: u32) -> Self {
        self.meta(MetaKey::Skuid, Operator::EQ, Expression::Number(uid))
    }

    pub(super) fn state(self, state: &'static str) -> Self {
        self.when(conntrack("state"), Operator::IN, text(state))
    }

    /// An answer to a connection that was opened from the other side.
    pub(super) fn answer(self) -> Self {
        self.backwards().state("established")
    }

    pub(super) fn ipv4(self) -> Self {
        self.meta(MetaKey::Nfproto, Operator::EQ, text("ipv4"))
    }

    pub(super) fn ipv6(self) -> Self {
        self.meta(MetaKey::Nfproto, Operator::EQ, text("ipv6"))
    }

    pub(super) fn protocol(self, protocol: u8) -> Self {
        self.meta(MetaKey::L4proto, Operator::EQ, number(protocol))
    }

    /// IPv6's own ARP. A hop limit of 255 cannot have crossed a router, nor will it.
    pub(super) fn neighbour_discovery(self) -> Self {
        self.when(
            payload("icmpv6", "type"),
            Operator::EQ,
            any_of(["nd-neighbor-solicit", "nd-neighbor-advert"].map(text)),
        )
        .when(
            payload("ip6", "hoplimit"),
            Operator::EQ,
            Expression::Number(255),
        )
    }

    /// What the kernel says of itself when a device comes up.
    pub(super) fn ipv6_housekeeping(self) -> Self {
        self.when(
            payload("icmpv6", "type"),
            Operator::EQ,
            any_of(
                [
                    "mld-listener-report",
                    "mld-listener-done",
                    "nd-router-solicit",
                    "mld2-listener-report",
                ]
                .map(text),
            ),
        )
    }

    /// An ARP frame, by the type that is written in it. `ether type` would ask for the type of
    /// the device it came in by, and there is none; `meta protocol` is whatever the packet
    /// socket said.
    pub(super) fn arp(self) -> Self {
        let ether_type = PayloadRaw {
            base: PayloadBase::LL,
            offset: 96,
            len: 16,
        };
        self.when(
            NamedExpression::Payload(Payload::PayloadRaw(ether_type)),
            Operator::EQ,
            Expression::Number(0x0806),
        )
    }

    /// The kernel has routed it. A frame from a packet socket has no route, and therefore no
    /// routing realm, not even 0; a routed packet has one, and no realm has all bits set.
    pub(super) fn routed(self) -> Self {
        self.meta(
            MetaKey::Rtclassid,
            Operator::NEQ,
            Expression::Number(u32::MAX),
        )
    }

    pub(super) fn count(self, kind: Kind) -> Self {
        self.then(Statement::Counter(Counter::Named(kind.counter().into())))
    }

    pub(super) fn report(self) -> Self {
        self.then(Statement::Limit(Limit {
            rate: 10,
            rate_unit: None,
            per: Some("second".into()),
            burst: Some(20),
            burst_unit: None,
            inv: None,
        }))
        .then(Statement::Log(Some(Log::new(Some(Reports::GROUP.into())))))
    }

    pub(super) fn accept(self) -> Self {
        self.then(Statement::Accept(None))
    }

    pub(super) fn drop(self) -> Self {
        self.then(Statement::Drop(None))
    }

    pub(super) fn pass(self) -> Self {
        self.then(Statement::Return(None))
    }

    pub(super) fn jump(self, chain: &'static str) -> Self {
        self.then(Statement::Jump(JumpTarget {
            target: chain.into(),
        }))
    }

    pub(super) fn goto(self, chain: &'static str) -> Self {
        self.then(Statement::Goto(JumpTarget {
            target: chain.into(),
        }))
    }

    pub(super) fn reset(self) -> Self {
        self.then(Statement::Reject(Some(Reject::new(
            Some(RejectType::TCPReset),
            None,
        ))))
    }

    pub(super) fn prohibit(self) -> Self {
        self.then(Statement::Reject(Some(Reject::new(
            Some(RejectType::ICMPX),
            Some(RejectCode::AdminProhibited),
        ))))
    }

    pub(super) fn redirect(self, port: NonZeroU16) -> Self {
        self.then(Statement::Redirect(Some(NAT {
            addr: None,
            family: None,
            port: Some(Expression::Number(port.get().into())),
            flags: None,
        })))
    }
}

/// A chain that only other chains lead to.
pub(super) fn chain(table: Table, name: &str) -> Chain<'static> {
    Chain {
        family: table.family(),
        table: Table::NAME.into(),
        name: name.to_owned().into(),
        ..Chain::default()
    }
}

/// A chain that the kernel enters at `hook`.
pub(super) fn base_chain(
    table: Table,
    name: &str,
    (kind, hook, priority): (NfChainType, NfHook, i32),
    policy: NfChainPolicy,
) -> Chain<'static> {
    Chain {
        _type: Some(kind),
        hook: Some(hook),
        prio: Some(priority),
        policy: Some(policy),
        ..chain(table, name)
    }
}

/// The chain and its rules, as objects to add.
pub(super) fn filled(
    chain: Chain<'static>,
    rules: impl IntoIterator<Item = RuleBuilder>,
) -> Vec<NfListObject<'static>> {
    let rule = |line: RuleBuilder| {
        NfListObject::Rule(Rule {
            family: chain.family,
            table: chain.table.clone(),
            chain: chain.name.clone(),
            expr: line.0.into(),
            ..Rule::default()
        })
    };
    let rules: Vec<_> = rules.into_iter().map(rule).collect();
    std::iter::once(NfListObject::Chain(chain))
        .chain(rules)
        .collect()
}

pub(super) fn counter(table: Table, kind: Kind) -> NfListObject<'static> {
    NfListObject::Counter(nftables::schema::Counter {
        family: table.family(),
        table: Table::NAME.into(),
        name: kind.counter().into(),
        handle: None,
        packets: Some(0),
        bytes: Some(0),
    })
}

fn text(word: impl Into<std::borrow::Cow<'static, str>>) -> Expression<'static> {
    Expression::String(word.into())
}

fn number(protocol: u8) -> Expression<'static> {
    Expression::Number(protocol.into())
}

/// One is written without a set, as the kernel lists it.
fn one_of(uids: &BTreeSet<u32>) -> Expression<'static> {
    let mut numbers: Vec<_> = uids.iter().copied().map(Expression::Number).collect();
    if numbers.len() == 1 {
        return numbers.remove(0);
    }
    let items = numbers.into_iter().map(SetItem::Element);
    Expression::Named(NamedExpression::Set(items.collect()))
}

fn any_of<const N: usize>(items: [Expression<'static>; N]) -> Expression<'static> {
    let items = items.map(SetItem::Element);
    Expression::Named(NamedExpression::Set(items.into()))
}

fn payload(protocol: &'static str, field: &'static str) -> NamedExpression<'static> {
    NamedExpression::Payload(Payload::PayloadField(PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    }))
}

fn service(family: &'static str) -> NamedExpression<'static> {
    NamedExpression::Concat(vec![
        Expression::Named(payload(family, "daddr")),
        Expression::Named(payload("tcp", "dport")),
    ])
}

fn fib(flag: FibFlag) -> NamedExpression<'static> {
    NamedExpression::Fib(Fib {
        result: FibResult::Type,
        flags: HashSet::from([flag]),
    })
}

fn conntrack(key: &'static str) -> NamedExpression<'static> {
    NamedExpression::CT(CT {
        key: key.into(),
        ..CT::default()
    })
}
