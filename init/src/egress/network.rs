//! Whose network it is. The rules close the whole network namespace, and stay until it is gone:
//! in the machine's own, or in that of another container, they would cut off everybody in it.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

/// Docker's name server listens in the network of every container that has one.
const DOCKER_DNS: Ipv4Addr = cib_nft::DOCKER_DNS;
/// More than this many of a kind are not named.
const NAMED: usize = 3;
/// In the machine's own network namespace alone is there such a file.
const MACHINES_OWN: &str = "/proc/sys/net/core/netdev_max_backlog";

/// Things of others in this network namespace: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Others(Vec<String>);

impl Others {
    /// Looks around, before anything of the box's own is there. `None` in a network of the
    /// box's own, as an engine makes one for each container.
    pub async fn look() -> Option<Self> {
        let mut others = Vec::new();
        if Path::new(MACHINES_OWN).exists() {
            others.push("it is the machine's own (--network host)".to_owned());
        }
        let links = links().await;
        others.extend(named("the bridge", &bridges(&links)));
        others.extend(named("the port of a bridge", &ports(&links)));
        others.extend(named("the pair of devices", &pairs(&links)));
        let mut listeners = Vec::new();
        for (table, what) in [
            ("tcp", "TCP"),
            ("tcp6", "TCP"),
            ("udp", "UDP"),
            ("udp6", "UDP"),
        ] {
            let table =
                cib_foreign::own::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
            listeners.extend(bound(&table).map(|port| format!("{what} port {port}")));
        }
        listeners.dedup();
        others.extend(named("a listener on", &listeners));
        (!others.is_empty()).then_some(Self(others))
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// `the bridge docker0, br0 and 2 more`
fn named(what: &str, names: &[String]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let some = names[..names.len().min(NAMED)].join(", ");
    Some(match names.len().saturating_sub(NAMED) {
        0 => format!("{what} {some}"),
        more => format!("{what} {some} and {more} more"),
    })
}

/// A device as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Link {
    index: u32,
    name: String,
    bridge: bool,
    veth: bool,
    /// Whether it is part of a bridge or a bond.
    enslaved: bool,
    /// The other end, if that is in this namespace.
    peer: Option<u32>,
}

/// Without an answer of the kernel's there is nothing to be seen.
async fn links() -> Vec<Link> {
    let Ok((connection, handle, _)) = rtnetlink::new_connection() else {
        return Vec::new();
    };
    let listing = async move {
        let mut listing = handle.link().get().execute();
        let mut links = Vec::new();
        while let Ok(Some(message)) = listing.try_next().await {
            if !message.header.flags.contains(LinkFlags::Loopback) {
                links.push(link(&message));
            }
        }
        links
    };
    // With the answer the connection goes, and the buffers that it holds.
    tokio::select! {
        links = listing => links,
        () = connection => Vec::new(),
    }
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        ..Link::default()
    };
    let mut elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Controller(index) => link.enslaved = *index != 0,
            LinkAttribute::Link(index) => link.peer = Some(*index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.bridge = *kind == InfoKind::Bridge;
                        link.veth = *kind == InfoKind::Veth;
                    }
                }
            }
            _ => {}
        }
    }
    if elsewhere {
        link.peer = None;
    }
    link
}

fn bridges(links: &[Link]) -> Vec<String> {
    let bridges = links.iter().filter(|link| link.bridge);
    bridges.map(|link| link.name.clone()).collect()
}

fn ports(links: &[Link]) -> Vec<String> {
    let ports = links.iter().filter(|link| link.enslaved);
    ports.map(|link| link.name.clone()).collect()
}

/// Both ends of a cable. A container has one end of each of its own.
fn pairs(links: &[Link]) -> Vec<String> {
    let mut pairs = Vec::new();
    for link in links.iter().filter(|link| link.veth) {
        let peer = links
            .iter()
            .find(|other| link.peer == Some(other.index) && link.index < other.index);
        if let Some(peer) = peer {
            pairs.push(format!("{} and {}", link.name, peer.name));
        }
    }
    pairs
}

/// The ports of a table of `proc_pid_net(5)` that somebody waits at: for TCP in state LISTEN
/// (0A), for UDP bound and connected to nobody (07).
fn bound(table: &str) -> impl Iterator<Item = u16> {
    let docker = format!("{:08X}", u32::from_ne_bytes(DOCKER_DNS.octets()));
    table.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, port) = fields.next()?.split_once(':')?;
        let state = fields.nth(1)?;
        if address == docker || !matches!(state, "0A" | "07") {
            return None;
        }
        u16::from_str_radix(port, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cable(index: u32, name: &str, peer: Option<u32>) -> Link {
        Link {
            index,
            name: name.to_owned(),
            veth: true,
            peer,
            ..Link::default()
        }
    }

    #[test]
    fn a_container_has_one_end_of_a_cable_and_a_machine_has_both_or_a_bridge() {
        let eth0 = cable(2, "eth0", None);
        assert_eq!(pairs(std::slice::from_ref(&eth0)), [""; 0]);
        // Two networks of a container, whose ends have the numbers of each other's peers.
        assert_eq!(pairs(&[eth0.clone(), cable(3, "eth1", None)]), [""; 0]);
        let both = [eth0, cable(4, "a", Some(5)), cable(5, "b", Some(4))];
        assert_eq!(pairs(&both), ["a and b"]);
    }

    #[test]
    fn dockers_name_server_is_nobody_and_every_other_listener_is_somebody() {
        let docker = u32::from_ne_bytes([127, 0, 0, 11]);
        let table = format!(
            "  sl  local_address rem_address   st\n\
             0: {docker:08X}:9C41 00000000:0000 0A\n\
             1: 00000000:1F90 00000000:0000 0A\n\
             2: 0100007F:1F91 0100007F:9C42 01\n\
             3: 00000000:0044 00000000:0000 07\n"
        );
        assert_eq!(bound(&table).collect::<Vec<_>>(), [8080, 68]);
    }

    #[test]
    fn many_of_a_kind_are_counted() {
        let names: Vec<String> = (1..=5).map(|n| format!("br{n}")).collect();
        let said = named("the bridge", &names).unwrap();
        assert_eq!(said, "the bridge br1, br2, br3 and 2 more");
    }
}
