//! Makes the sockets that control serves, and keeps them for as long as the box runs.
//!
//! Programs of `coder` run before control does, and while it is started anew; on a port that
//! nobody held one of them could wait for the owner's token.

use std::fs::Permissions;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A port of every address, IPv6 and IPv4, or of the box's own loopback alone.
pub(super) fn port(port: u16, everywhere: bool) -> io::Result<Rc<OwnedFd>> {
    let socket = if everywhere {
        match open((Ipv6Addr::UNSPECIFIED, port).into()) {
            Err(Errno::EADDRINUSE) => Err(Errno::EADDRINUSE),
            // A kernel without IPv6.
            Err(_) => open((Ipv4Addr::UNSPECIFIED, port).into()),
            socket => socket,
        }
    } else {
        open((Ipv4Addr::LOCALHOST, port).into())
    };
    Ok(Rc::new(socket?))
}

fn open(address: SocketAddr) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &false)?;
    }
    // Connections of a box that ran here before may still be closing.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok(fd)
}

/// The socket on which control is asked for its health, for root and `group` alone.
pub(super) fn health(path: &Path, group: u32) -> io::Result<Rc<OwnedFd>> {
    Ok(Rc::new(local(path, 0o660, group)?.into()))
}

/// The socket on which root, and nobody else, changes accounts.
pub(super) fn accounts(path: &Path) -> io::Result<Rc<OwnedFd>> {
    Ok(Rc::new(local(path, 0o600, 0)?.into()))
}

/// The socket on which everybody's git asks control; who asks is for control to find out.
pub(super) fn git(path: &Path) -> io::Result<Rc<OwnedFd>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(Rc::new(local(path, 0o666, 0)?.into()))
}

/// The socket on which files are asked for, for root and `group` alone.
pub(super) fn files(path: &Path, group: u32) -> io::Result<UnixListener> {
    local(path, 0o660, group)
}

fn local(path: &Path, mode: u32, group: u32) -> io::Result<UnixListener> {
    cib_base::files::remove(path)?;
    // Nobody can connect before its mode is right: the folder is closed to all but these.
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    if nix::unistd::geteuid().is_root() {
        lchown(path, Some(0), Some(group))?;
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A port that was free a moment ago.
    fn free() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    #[test]
    fn a_port_that_is_held_is_nobody_elses_and_answers_on_both_families() {
        let number = free();
        let held = port(number, true).unwrap();
        for address in ["127.0.0.1", "0.0.0.0"] {
            let taken = TcpListener::bind((address, number)).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "{address}");
        }
        let again = port(number, true).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        TcpStream::connect(("127.0.0.1", number)).unwrap();
        drop(held);
        port(number, false).unwrap();
    }

    #[test]
    fn accounts_are_changed_by_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts.sock");
        let held = accounts(&path);
        // Only root can give it to root's group.
        if nix::unistd::geteuid().is_root() {
            held.unwrap();
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn health_is_asked_by_the_owner_and_one_group_and_a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("health.sock");
        let group = nix::unistd::getegid().as_raw();
        for _ in 0..2 {
            let _held = health(&path, group).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o660);
            UnixStream::connect(&path).unwrap();
        }
    }
}
