//! Connections.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::{Came, PATIENCE};

/// `MSG_FASTOPEN` of sendto(2): data in the first packet.
const FAST_OPEN: i32 = libc::MSG_FASTOPEN;

const REQUEST: &[u8] = b"GET /probe HTTP/1.0\r\n\r\n";

/// A TLS 1.2 ClientHello that names no server: one cipher suite, no extensions.
const HELLO_WITHOUT_SNI: &[u8] = &{
    let mut hello = [0; 52];
    // Record: handshake, TLS 1.0, 47 bytes. Message: ClientHello, 43 bytes, TLS 1.2.
    let head = [0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    // 32 bytes of random and an empty session id are zeros. Then TLS_RSA_WITH_AES_128_CBC_SHA
    // as the only suite, and no compression, which is a length of one and a zero.
    hello[45] = 2;
    hello[47] = 0x2f;
    hello[48] = 1;
    hello
};

fn socket(to: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    Socket::new(Domain::for_address(to), Type::STREAM, Some(protocol))
}

fn exchange(socket: Socket, to: SocketAddr, words: &[u8]) -> io::Result<Came> {
    socket.connect_timeout(&to.into(), PATIENCE)?;
    talk(socket, words)
}

fn talk(mut socket: Socket, words: &[u8]) -> io::Result<Came> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(words)?;
    match socket.read(&mut [0; 256])? {
        0 => Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
        _ => Ok(Came::Answer),
    }
}

pub(super) fn http(to: SocketAddr) -> io::Result<Came> {
    exchange(socket(to, Protocol::TCP)?, to, REQUEST)
}

pub(super) fn tls(to: SocketAddr) -> io::Result<Came> {
    exchange(socket(to, Protocol::TCP)?, to, HELLO_WITHOUT_SNI)
}

pub(super) fn banner(to: SocketAddr) -> io::Result<Came> {
    exchange(socket(to, Protocol::TCP)?, to, b"SSH-2.0-probe\r\n")
}

pub(super) fn fast_open(to: SocketAddr) -> io::Result<Came> {
    let socket = socket(to, Protocol::TCP)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_with_flags(REQUEST, &to.into(), FAST_OPEN)?;
    talk(socket, b"\r\n")
}

pub(super) fn multipath(to: SocketAddr) -> io::Result<Came> {
    exchange(socket(to, Protocol::MPTCP)?, to, REQUEST)
}

pub(super) fn other(to: SocketAddr, protocol: Protocol) -> io::Result<Came> {
    exchange(socket(to, protocol)?, to, REQUEST)
}

pub(super) fn dccp(to: SocketAddr) -> io::Result<Came> {
    let socket = Socket::new(Domain::for_address(to), Type::DCCP, Some(Protocol::DCCP))?;
    exchange(socket, to, REQUEST)
}

pub(super) fn bound(to: SocketAddr, device: &str) -> io::Result<Came> {
    let socket = socket(to, Protocol::TCP)?;
    socket.bind_device(Some(device.as_bytes()))?;
    exchange(socket, to, REQUEST)
}

pub(super) fn marked(to: SocketAddr) -> io::Result<Came> {
    let socket = socket(to, Protocol::TCP)?;
    socket.set_mark(super::udp::MARK)?;
    exchange(socket, to, REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hello_is_as_long_as_it_says() {
        assert_eq!(
            HELLO_WITHOUT_SNI.len(),
            5 + usize::from(HELLO_WITHOUT_SNI[4])
        );
        assert_eq!(
            HELLO_WITHOUT_SNI.len(),
            9 + usize::from(HELLO_WITHOUT_SNI[8])
        );
    }
}
