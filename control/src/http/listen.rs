//! Sockets to listen on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::sys;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On one address.
    Address(SocketAddr),
    /// On a port of every address, IPv6 and IPv4.
    Everywhere(u16),
    /// On a port of the machine's own IPv4 loopback.
    Loopback(u16),
}

/// The socket that was made elsewhere and passed in under a number. Has to be called inside of
/// the runtime.
///
/// # Errors
/// If nothing was passed in there that listens.
pub fn lent(number: u32) -> io::Result<TcpListener> {
    let socket = Socket::from(sys::lent(number)?);
    if !socket.is_listener()? || socket.domain()? == Domain::UNIX {
        return Err(io::Error::other("it is no socket that listens"));
    }
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// As [`lent`], for the socket that health is asked on.
///
/// # Errors
/// If nothing was passed in there that listens.
pub fn lent_local(number: u32) -> io::Result<UnixListener> {
    let socket = Socket::from(sys::lent(number)?);
    if !socket.is_listener()? || socket.domain()? != Domain::UNIX {
        return Err(io::Error::other("it is no local socket that listens"));
    }
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into())
}

/// A local socket of one's own, in the place of what an earlier one has left. Has to be called
/// inside of the runtime.
///
/// # Errors
/// The kernel's answer.
pub fn local(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    cib_base::files::remove(path)?;
    UnixListener::bind(path)
}

/// Opens the socket. Has to be called inside of the runtime.
///
/// # Errors
/// If the address is in use or not this machine's.
pub fn bind(listen: Listen) -> io::Result<TcpListener> {
    match listen {
        Listen::Address(address) => open(address),
        Listen::Loopback(port) => open((Ipv4Addr::LOCALHOST, port).into()),
        Listen::Everywhere(port) => match open((Ipv6Addr::UNSPECIFIED, port).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            // A kernel without IPv6.
            Err(_) => open((Ipv4Addr::UNSPECIFIED, port).into()),
            listener => listener,
        },
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.cloexec().nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
