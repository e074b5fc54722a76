//! What goes below TCP and UDP, and what would take the rules away.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Came, PATIENCE};
use crate::sys;

/// The EtherType of IPv4.
const IPV4: u16 = 0x0800;

/// An echo request; the kernel fills in the checksum for ICMPv6, and for ICMP on sockets of
/// the datagram type. Connected, as iputils' ping is: the kernel takes an ICMPv6 datagram that
/// the rules refuse, and tells a socket without a peer nothing.
pub(super) fn ping(to: IpAddr, kind: Type) -> io::Result<Came> {
    let to = SocketAddr::new(to, 0);
    let (domain, protocol, echo) = match to {
        SocketAddr::V4(_) => (
            Domain::IPV4,
            Protocol::ICMPV4,
            [8, 0, 0xf7, 0xff, 0, 0, 0, 0],
        ),
        SocketAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, [128, 0, 0, 0, 0, 0, 0, 0]),
    };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.connect(&to.into())?;
    socket.send(&echo)?;
    answer(&socket)
}

/// A packet of a protocol by its number.
pub(super) fn raw(to: IpAddr, protocol: i32) -> io::Result<Came> {
    let to = SocketAddr::new(to, 0);
    let socket = Socket::new(
        Domain::for_address(to),
        Type::RAW,
        Some(Protocol::from(protocol)),
    )?;
    socket.send_to(b"probe", &to.into())?;
    Ok(Came::Nothing)
}

/// A UDP datagram whose IP header is our own.
pub(super) fn own_header(to: Ipv4Addr) -> io::Result<Came> {
    let socket = Socket::new(
        Domain::IPV4,
        Type::RAW,
        Some(Protocol::from(libc::IPPROTO_RAW)),
    )?;
    socket.send_to(&datagram(to), &SocketAddr::new(to.into(), 0).into())?;
    Ok(Came::Nothing)
}

/// The same, handed to the network card past the whole of IP.
pub(super) fn packet(device: &str, to: Ipv4Addr, bypass: bool) -> io::Result<Came> {
    let protocol = Protocol::from(i32::from(IPV4.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    if bypass {
        sys::bypass_queue(&socket)?;
    }
    let index = nix::net::if_::if_nametoindex(device)?;
    socket.send_to(&datagram(to), &sys::broadcast_on(index, IPV4))?;
    Ok(Came::Nothing)
}

/// A datagram sent after an attempt to take all rules away.
pub(super) fn flushed(to: SocketAddr) -> io::Result<Came> {
    let mut nft = Command::new("nft");
    nft.args(["flush", "ruleset"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Whether it may is not the question: the datagram is.
    let _ = nft.status();
    super::udp::send(to)
}

fn answer(socket: &Socket) -> io::Result<Came> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 512];
    match socket.recv(&mut buffer) {
        Ok(_) => Ok(Came::Answer),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Came::Nothing),
        Err(error) => Err(error),
    }
}

/// An IPv4 packet with a UDP datagram from and to port 9999. The kernel fills in the source
/// of raw packets when it is zero, and the checksum of UDP may be left out (RFC 768).
fn datagram(to: Ipv4Addr) -> Vec<u8> {
    let payload = b"probe";
    let udp = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0]);
    packet.extend(to.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    for word in [9999, 9999, udp, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend(payload);
    packet
}

/// RFC 1071: the ones' complement of the ones' complement sum.
fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_its_checksum_sums_to_zero() {
        let packet = datagram(Ipv4Addr::new(198, 51, 100, 7));
        assert_eq!(checksum(&packet[..20]), 0);
        assert_eq!(
            usize::from(u16::from_be_bytes([packet[2], packet[3]])),
            packet.len()
        );
    }
}
