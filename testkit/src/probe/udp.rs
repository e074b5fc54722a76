//! Datagrams.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Came, PATIENCE};

/// A mark such as firewalls use to exempt their own traffic.
pub(super) const MARK: u32 = 0x77;

const WORDS: &[u8] = b"probe";

fn socket(to: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))
}

fn exchange(socket: Socket, to: SocketAddr, words: &[u8]) -> io::Result<Came> {
    socket.connect(&to.into())?;
    let socket = UdpSocket::from(socket);
    socket.send(words)?;
    answer(&socket)
}

/// Whether anything comes back. An error that comes back, such as an unreachable port, is one.
fn answer(socket: &UdpSocket) -> io::Result<Came> {
    socket.set_read_timeout(Some(PATIENCE))?;
    match socket.recv(&mut [0; 2048]) {
        Ok(_) => Ok(Came::Answer),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Came::Nothing),
        Err(error) => Err(error),
    }
}

pub(super) fn send(to: SocketAddr) -> io::Result<Came> {
    exchange(socket(to)?, to, WORDS)
}

/// More than fits into one packet.
pub(super) fn send_large(to: SocketAddr) -> io::Result<Came> {
    exchange(socket(to)?, to, &[b'x'; 8000])
}

pub(super) fn send_unconnected(to: SocketAddr) -> io::Result<Came> {
    let socket = UdpSocket::from(socket(to)?);
    socket.send_to(WORDS, to)?;
    answer(&socket)
}

pub(super) fn bound(to: SocketAddr, device: &str) -> io::Result<Came> {
    let socket = socket(to)?;
    socket.bind_device(Some(device.as_bytes()))?;
    exchange(socket, to, WORDS)
}

pub(super) fn marked(to: SocketAddr) -> io::Result<Came> {
    let socket = socket(to)?;
    socket.set_mark(MARK)?;
    exchange(socket, to, WORDS)
}

pub(super) fn lite(to: SocketAddr) -> io::Result<Came> {
    let socket = Socket::new(
        Domain::for_address(to),
        Type::DGRAM,
        Some(Protocol::UDPLITE),
    )?;
    exchange(socket, to, WORDS)
}

pub(super) fn multicast(group: Ipv4Addr, port: u16) -> io::Result<Came> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.send_to(WORDS, (group, port))?;
    answer(&socket)
}

pub(super) fn multicast6(device: &str) -> io::Result<Came> {
    let group = SocketAddr::from((Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb), 5353));
    let socket = socket(group)?;
    socket.bind_device(Some(device.as_bytes()))?;
    let socket = UdpSocket::from(socket);
    socket.send_to(WORDS, group)?;
    answer(&socket)
}

/// Joins a group, for which the kernel itself sends a report.
pub(super) fn join(n: u8) -> io::Result<Came> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.join_multicast_v4(&Ipv4Addr::new(239, 77, 77, n), &Ipv4Addr::UNSPECIFIED)?;
    answer(&socket)
}

pub(super) fn broadcast(to: Ipv4Addr) -> io::Result<Came> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    socket.send_to(WORDS, (to, 9999))?;
    answer(&socket)
}

/// The broadcast address of a network of 16 addresses, as the tests make them.
pub(super) fn network_of(neighbour: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(neighbour.to_bits() | 0xf)
}
