//! The sockets of the box's own programs.

use std::cell::OnceCell;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::error::EgressError;

/// Sockets that are made before anybody else runs, and kept for as long as the box runs, so
/// that no port is free while its program is down.
#[derive(Debug, Default)]
pub(super) struct Held(OnceCell<Vec<Rc<OwnedFd>>>);

impl Held {
    /// The sockets for these addresses, made at the first call.
    pub(super) fn get(
        &self,
        tcp: &[SocketAddr],
        udp: &[SocketAddr],
    ) -> Result<Vec<Rc<OwnedFd>>, EgressError> {
        if let Some(held) = self.0.get() {
            return Ok(held.clone());
        }
        let mut held: Vec<Rc<OwnedFd>> = Vec::new();
        for &address in tcp {
            keep(&mut held, address, TcpListener::bind(address))?;
        }
        for &address in udp {
            keep(&mut held, address, UdpSocket::bind(address))?;
        }
        Ok(self.0.get_or_init(|| held).clone())
    }
}

fn keep(
    held: &mut Vec<Rc<OwnedFd>>,
    address: SocketAddr,
    bound: io::Result<impl Into<OwnedFd>>,
) -> Result<(), EgressError> {
    match bound {
        Ok(socket) => held.push(Rc::new(socket.into())),
        // A box without IPv6 has nobody who could ask there.
        Err(error) if address.is_ipv6() && lacks_family(&error) => {}
        Err(source) => return Err(EgressError::Taken { address, source }),
    }
    Ok(())
}

fn lacks_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}
