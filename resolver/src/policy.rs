//! Decides which questions leave the box, and which are answered here.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use cib_upstream::client::Target;
use hickory_proto::op::Query;
use hickory_proto::rr::{DNSClass, Name, RecordType};

use crate::config::LocalName;

/// Which port a query came in at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// At the port for what was sent to Docker's DNS. Only from here is Docker asked.
    Docker,
    /// At the port for every other server. If Docker were asked from here, there could be a loop:
    /// Docker may be configured to ask a server of the box.
    Any,
}

/// What happens to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes through the upstream.
    Forward,
    /// Docker is asked.
    Docker,
    /// There are no such records: NOERROR and nothing more.
    Empty,
    /// There is no such name.
    NoSuchName,
    /// 127.0.0.1.
    Loopback,
    /// This server does not do it.
    Refused,
}

/// Judges a question by where it came in.
///
/// * AAAA gets an empty answer: the box has no way out over IPv6, and a program that is told
///   of such an address would try it first.
/// * `localhost` is the box (RFC 6761, section 6.3); `invalid` and `onion` names do not exist
///   (RFC 6761, section 6.4; RFC 7686).
/// * A name of one label has no addresses in the public DNS. It is a container's name that is
///   not on the list, so nobody outside is asked.
/// * Addresses of private networks have no public names.
#[must_use]
pub(crate) fn judge(question: &Query, door: Door, local_names: &BTreeSet<LocalName>) -> Verdict {
    let (name, kind) = (&question.name, question.query_type);
    if question.query_class != DNSClass::IN || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        return Verdict::Refused;
    }
    let is_local = door == Door::Docker && {
        let mut text = name.to_ascii();
        text.make_ascii_lowercase();
        local_names.contains(text.trim_end_matches('.'))
    };
    if is_local {
        return if kind == RecordType::AAAA {
            Verdict::Empty
        } else {
            Verdict::Docker
        };
    }
    let top = |label: &str| {
        name.iter()
            .next_back()
            .is_some_and(|last| last.eq_ignore_ascii_case(label.as_bytes()))
    };
    if top("localhost") {
        return if kind == RecordType::A {
            Verdict::Loopback
        } else {
            Verdict::Empty
        };
    }
    if top("invalid") || top("onion") {
        return Verdict::NoSuchName;
    }
    match kind {
        RecordType::A | RecordType::HTTPS | RecordType::SVCB if name.num_labels() == 1 => {
            Verdict::NoSuchName
        }
        RecordType::AAAA => Verdict::Empty,
        _ if top("arpa") && is_private_reverse(name) => Verdict::NoSuchName,
        _ => Verdict::Forward,
    }
}

/// Whether a name under `in-addr.arpa` or `ip6.arpa` lies in a private network.
fn is_private_reverse(name: &Name) -> bool {
    let Ok(net) = name.parse_arpa_name() else {
        return false;
    };
    // A shorter prefix holds public networks as well.
    if net.prefix_len() < 8 {
        return false;
    }
    let address: IpAddr = net.addr();
    !address.is_multicast() && Target::from(SocketAddr::new(address, 1)).is_special()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn verdict(name: &str, kind: RecordType, door: Door) -> Verdict {
        let question = Query::query(Name::from_str(name).unwrap(), kind);
        judge(
            &question,
            door,
            &LocalName::parse_list("postgres,cache.lan").unwrap(),
        )
    }

    #[test]
    fn docker_is_asked_for_exact_names_from_its_own_door_alone() {
        use RecordType::{A, AAAA, TXT};
        for (name, kind, door, expected) in [
            ("Postgres.", A, Door::Docker, Verdict::Docker),
            ("cache.lan.", TXT, Door::Docker, Verdict::Docker),
            ("postgres.", AAAA, Door::Docker, Verdict::Empty),
            ("postgres.", A, Door::Any, Verdict::NoSuchName),
            ("cache.lan.", A, Door::Any, Verdict::Forward),
            ("a.postgres.", A, Door::Docker, Verdict::Forward),
            ("redis.", A, Door::Docker, Verdict::NoSuchName),
        ] {
            assert_eq!(
                verdict(name, kind, door),
                expected,
                "{name} {kind} {door:?}"
            );
        }
    }

    #[test]
    fn what_has_no_public_answer_is_answered_here() {
        use RecordType::{A, AAAA, HTTPS, NS, PTR, SOA};
        for (name, kind, expected) in [
            ("example.org.", A, Verdict::Forward),
            ("example.org.", HTTPS, Verdict::Forward),
            ("example.org.", AAAA, Verdict::Empty),
            ("localhost.", A, Verdict::Loopback),
            ("app.LOCALHOST.", AAAA, Verdict::Empty),
            ("a.invalid.", A, Verdict::NoSuchName),
            ("a.onion.", AAAA, Verdict::NoSuchName),
            ("com.", NS, Verdict::Forward),
            (".", NS, Verdict::Forward),
            ("com.", A, Verdict::NoSuchName),
            ("1.0.0.10.in-addr.arpa.", PTR, Verdict::NoSuchName),
            ("11.0.0.127.in-addr.arpa.", PTR, Verdict::NoSuchName),
            ("168.192.in-addr.arpa.", SOA, Verdict::NoSuchName),
            ("1.1.1.1.in-addr.arpa.", PTR, Verdict::Forward),
            ("in-addr.arpa.", SOA, Verdict::Forward),
            (
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
                PTR,
                Verdict::NoSuchName,
            ),
            ("example.org.", RecordType::AXFR, Verdict::Refused),
        ] {
            assert_eq!(verdict(name, kind, Door::Any), expected, "{name} {kind}");
        }
    }
}
