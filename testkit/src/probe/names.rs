//! Names. Each probe asks for one of its own, so that a name that got out tells by which way.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use super::{Came, PATIENCE, Target};
use crate::dns::lookup::{LookupError, Transport, lookup};

/// Where Docker's own name server listens in every container.
const DOCKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

fn name(to: Target) -> String {
    format!("probe-{}.leak.test", to.n)
}

pub(super) fn docker(port: u16) -> SocketAddr {
    (DOCKER, port).into()
}

pub(super) fn system(to: Target) -> io::Result<Came> {
    (name(to), 80).to_socket_addrs().map(|_| Came::Answer)
}

pub(super) fn udp(server: SocketAddr, to: Target) -> io::Result<Came> {
    ask(server, Transport::Udp, to)
}

pub(super) fn tcp(server: SocketAddr, to: Target) -> io::Result<Came> {
    ask(server, Transport::Tcp, to)
}

/// Docker's name server really listens on a port of its own, to which Docker's rules lead.
pub(super) fn docker_own_port(to: Target) -> io::Result<Came> {
    let sockets = fs::read_to_string("/proc/net/udp")?;
    let wanted = format!("{:08X}:", u32::from_ne_bytes(DOCKER.octets()));
    let port = sockets
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.strip_prefix(&wanted))
        .find_map(|port| u16::from_str_radix(port, 16).ok())
        .ok_or_else(|| io::Error::other("no name server of Docker's"))?;
    ask(docker(port), Transport::Udp, to)
}

/// An error in an answer is an answer too: somebody heard the question.
fn ask(server: SocketAddr, transport: Transport, to: Target) -> io::Result<Came> {
    match lookup(server, transport, &name(to), false, PATIENCE) {
        Ok(_) | Err(LookupError::Refused(_) | LookupError::Garbled(_)) => Ok(Came::Answer),
        Err(LookupError::Transport { source, .. }) => Err(source),
        Err(error @ LookupError::Name(_)) => Err(io::Error::other(error)),
    }
}
