//! Which addresses are the box's own.
//!
//! Whoever connects from one of them is a program in the box: Claude's, for instance. The kernel
//! is asked each time, since networks come and go while the box runs.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, socket};

/// Whether an address is one of the box's. If the kernel does not say, it is: nothing is
/// trusted for want of an answer.
#[must_use]
pub fn is_own(peer: SocketAddr) -> bool {
    let ip = peer.ip().to_canonical();
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    // An address can be bound to if it is the machine's own, and nothing is sent for that.
    let (family, address) = match (ip, peer) {
        (IpAddr::V6(_), SocketAddr::V6(mut scoped)) => {
            scoped.set_port(0);
            (AddressFamily::Inet6, SocketAddr::V6(scoped))
        }
        (IpAddr::V6(v6), SocketAddr::V4(_)) => (AddressFamily::Inet6, (v6, 0).into()),
        (IpAddr::V4(v4), _) => (AddressFamily::Inet, (v4, 0).into()),
    };
    let bound = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .and_then(|socket| bind(socket.as_raw_fd(), &SockaddrStorage::from(address)));
    !matches!(bound, Err(Errno::EADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_the_boxs_own_in_every_spelling() {
        for own in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
    }

    #[test]
    fn an_address_of_somebody_else_is_not() {
        for other in ["192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            assert!(!is_own(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn the_address_that_the_machine_sends_from_is_its_own() {
        // Connecting a datagram socket sends nothing; it only chooses the route.
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            let own = socket.local_addr().unwrap();
            assert!(is_own(own), "{own}");
            let mapped = format!("[::ffff:{}]:1", own.ip());
            assert!(is_own(mapped.parse().unwrap()), "{mapped}");
        }
    }
}
