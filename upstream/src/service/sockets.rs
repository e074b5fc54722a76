//! Sockets that the parent bound before any other process ran, and keeps open. So nobody can take
//! the port of a program that has ended.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{SockType, SockaddrStorage, getsockname, getsockopt, sockopt};
use tokio::net::{TcpListener, UdpSocket};

/// The sockets that a program was given, each until it is asked for.
#[derive(Debug, Default)]
pub struct Sockets(Vec<OwnedFd>);

impl Sockets {
    /// Takes sockets over.
    #[must_use]
    pub fn new(given: Vec<OwnedFd>) -> Self {
        Self(given)
    }

    /// The listener that was given for `address`, or else a new one.
    ///
    /// # Errors
    ///
    /// Those of binding.
    pub async fn tcp(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        match self.take(address, SockType::Stream) {
            Some(given) => {
                let listener = std::net::TcpListener::from(given);
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            }
            None => TcpListener::bind(address).await,
        }
    }

    /// The datagram socket that was given for `address`, or else a new one.
    ///
    /// # Errors
    ///
    /// Those of binding.
    pub async fn udp(&mut self, address: SocketAddr) -> io::Result<UdpSocket> {
        match self.take(address, SockType::Datagram) {
            Some(given) => {
                let socket = std::net::UdpSocket::from(given);
                socket.set_nonblocking(true)?;
                UdpSocket::from_std(socket)
            }
            None => UdpSocket::bind(address).await,
        }
    }

    fn take(&mut self, address: SocketAddr, kind: SockType) -> Option<OwnedFd> {
        let place = self.0.iter().position(|socket| {
            let at = getsockname::<SockaddrStorage>(socket.as_raw_fd());
            at.is_ok_and(|at| at == SockaddrStorage::from(address))
                && getsockopt(socket, sockopt::SockType) == Ok(kind)
        })?;
        Some(self.0.swap_remove(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_given_is_used_and_everything_else_is_made() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = std::net::UdpSocket::bind(address).unwrap();
        let mut sockets = Sockets::new(vec![
            udp.try_clone().unwrap().into(),
            tcp.try_clone().unwrap().into(),
        ]);
        // Nobody could bind them once more.
        assert_eq!(
            sockets.tcp(address).await.unwrap().local_addr().unwrap(),
            address
        );
        assert_eq!(
            sockets.udp(address).await.unwrap().local_addr().unwrap(),
            address
        );
        assert!(sockets.tcp(address).await.is_err());
        let other = "127.0.0.1:0".parse().unwrap();
        assert_ne!(
            sockets.tcp(other).await.unwrap().local_addr().unwrap(),
            address
        );
    }
}
