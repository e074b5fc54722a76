//! What arrives in the world, frame by frame.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use socket2::{Domain, Protocol, Socket, Type};

use super::lab::{BOX, BOX6, DEADLINE};

/// `ETH_P_ALL` in network order (`linux/if_ether.h`).
const EVERYTHING: i32 = 0x0003_u16.to_be() as i32;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;
/// Where multicast reports go (RFC 3810).
const MULTICAST_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// Hears every frame of a network namespace from the moment it is made.
pub(crate) struct Sniffer(Socket);

impl Sniffer {
    /// In the namespace of the calling thread.
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(EVERYTHING)))
            .expect("root may open a packet socket");
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_recv_buffer_size(1 << 20).unwrap();
        Self(socket)
    }

    /// The packets up to the first one for `fence`, as `protocol destination`. Left out is what
    /// the link itself needs (ARP, neighbour discovery, multicast reports), and what the world
    /// sends to the box.
    pub(crate) fn until(mut self, fence: IpAddr) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let mut frame = [0; 2048];
            let length = self.0.read(&mut frame).expect("the fence arrives");
            match packet(&frame[..length]) {
                Some((_, destination)) if destination == fence => return seen,
                Some((_, destination)) if [BOX, BOX6].contains(&&*destination.to_string()) => {}
                Some((protocol, destination)) => seen.push(format!("{protocol} {destination}")),
                None => {}
            }
        }
    }
}

fn packet(frame: &[u8]) -> Option<(u8, IpAddr)> {
    let ether_type = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    let packet = &frame[14..];
    match ether_type {
        IPV4 => {
            let destination: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            Some((packet[9], Ipv4Addr::from(destination).into()))
        }
        IPV6 => {
            let destination: [u8; 16] = *packet.get(24..)?.first_chunk()?;
            let destination = Ipv6Addr::from(destination);
            let neighbour_discovery = packet[6] == ICMPV6 && matches!(packet.get(40)?, 133..=136);
            let report = packet[6] == HOP_BY_HOP && destination == MULTICAST_ROUTERS;
            (!neighbour_discovery && !report).then(|| (packet[6], destination.into()))
        }
        _ => None,
    }
}
