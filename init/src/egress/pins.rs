//! Which of the upstream's addresses is used, and which more it has.
//!
//! redsocks is given one address. When that one is silent or gone and another answers, the
//! other one is used from then on. A name may have got more addresses since the boot; they
//! are asked for through the upstream itself, and pinned once they have answered as it does.
//! None is dropped before the next boot: what the system said then may be right here alone.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

/// No more than so many are pinned, whatever the name has: each is a way out.
const MAX_PINNED: usize = 16;
/// What providers share among their customers (RFC 6598).
const SHARED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);

/// Those to look at when the used one does not answer: the others, in their order, of the
/// kind that redsocks can use. Without any the next hop is the relay, which tries them all
/// itself.
pub(super) fn others(addresses: &[IpAddr]) -> (Option<IpAddr>, Vec<IpAddr>) {
    let mut usable = addresses.iter().copied().filter(IpAddr::is_ipv4);
    (usable.next(), usable.collect())
}

/// The addresses with `first` before all others.
pub(super) fn preferring(addresses: &[IpAddr], first: IpAddr) -> Vec<IpAddr> {
    let rest = addresses.iter().copied().filter(|known| *known != first);
    std::iter::once(first).chain(rest).collect()
}

/// The addresses among `fresh` that are not pinned yet, as many as there is room for.
pub(super) fn unknown(pinned: &[IpAddr], fresh: &[IpAddr]) -> Vec<IpAddr> {
    let mut unknown = Vec::new();
    for address in fresh {
        if !pinned.contains(address) && !unknown.contains(address) {
            unknown.push(*address);
        }
    }
    unknown.truncate(MAX_PINNED.saturating_sub(pinned.len()));
    unknown
}

/// Whether `address` is in the kind of network that one of `pinned` is in. A name whose
/// addresses were public does not get private ones, and none gets the clouds' metadata or a
/// loopback, whoever answers for the name.
pub(super) fn same_kind(pinned: &[IpAddr], address: IpAddr) -> bool {
    let kind = kind(address);
    kind != Kind::Special && pinned.iter().any(|known| self::kind(*known) == kind)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Private,
    /// One that no name of a proxy may have.
    Special,
}

fn kind(address: IpAddr) -> Kind {
    let (special, private) = match address.to_canonical() {
        IpAddr::V4(v4) => (
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_unspecified()
                || v4.is_broadcast(),
            v4.is_private() || SHARED.contains(&v4),
        ),
        IpAddr::V6(v6) => (
            v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6.is_unspecified(),
            v6.is_unique_local(),
        ),
    };
    match (special, private) {
        (true, _) => Kind::Special,
        (false, true) => Kind::Private,
        (false, false) => Kind::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(words: &[&str]) -> Vec<IpAddr> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_ipv4_address_is_used_and_the_others_stand_by() {
        let all = addresses(&["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
        let (used, standing_by) = others(&all);
        assert_eq!(used, Some(all[0]));
        assert_eq!(standing_by, addresses(&["192.0.2.2"]));
        let moved = preferring(&all, all[2]);
        assert_eq!(moved, addresses(&["192.0.2.2", "192.0.2.1", "2001:db8::1"]));
        assert_eq!(others(&addresses(&["2001:db8::1"])).0, None);
    }

    #[test]
    fn a_public_name_gets_no_private_address_and_none_gets_the_metadata_service() {
        let [public, private] = ["203.0.113.7", "10.0.0.7"].map(|ip| vec![ip.parse().unwrap()]);
        let like = |pinned: &[IpAddr], ip: &str| same_kind(pinned, ip.parse().unwrap());
        assert!(like(&public, "198.51.100.1") && like(&public, "2001:db8::1"));
        assert!(like(&private, "172.18.0.5") && like(&private, "fd00::5"));
        assert!(!like(&public, "10.0.0.1") && !like(&private, "198.51.100.1"));
        for ip in [
            "169.254.169.254",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
        ] {
            let both = [public.clone(), private.clone(), addresses(&[ip])].concat();
            assert!(!like(&both, ip), "{ip}");
        }
    }

    #[test]
    fn new_addresses_are_taken_once_each_and_never_too_many() {
        let pinned = addresses(&["192.0.2.1"]);
        let fresh = addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.2"]);
        assert_eq!(unknown(&pinned, &fresh), addresses(&["192.0.2.2"]));
        let many: Vec<IpAddr> = (1..=99_u8).map(|n| [198, 51, 100, n].into()).collect();
        assert_eq!(unknown(&pinned, &many).len(), MAX_PINNED - 1);
    }
}
