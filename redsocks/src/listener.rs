//! Who listens on a port, as the kernel says.

use std::io::{self, BufRead as _};
use std::net::{Ipv4Addr, SocketAddrV4};

use cib_foreign::own;

/// The user whose TCP socket listens on `address`, or on its port at every address, if there is
/// one. A connection would tell less: redsocks would complain that nobody redirected it, and
/// another program in its place would not be noticed.
///
/// # Errors
///
/// Those of reading `/proc/net/tcp`, which is that of the caller's network namespace.
pub fn listener(address: SocketAddrV4) -> io::Result<Option<u32>> {
    let table = io::BufReader::new(own::open("/proc/net/tcp")?);
    owner(table.lines().skip(1), address)
}

/// The format is that of `proc_pid_net(5)`: addresses as the hexadecimal of their bytes in
/// memory, so in the machine's own order, ports in network order, and 0A for LISTEN. Listeners
/// come first, so of a busy machine's connections one alone is read.
fn owner(
    lines: impl Iterator<Item = io::Result<String>>,
    address: SocketAddrV4,
) -> io::Result<Option<u32>> {
    let memory = |ip: Ipv4Addr| format!("{:08X}", u32::from_ne_bytes(ip.octets()));
    let port = format!(":{:04X}", address.port());
    let wanted = [
        memory(*address.ip()) + &port,
        memory(Ipv4Addr::UNSPECIFIED) + &port,
    ];
    for line in lines {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next();
        if fields.nth(1) != Some(LISTEN) {
            break;
        }
        // The queues, the timer and its count stand between.
        let uid = fields.nth(3).and_then(|uid| uid.parse().ok());
        if local.is_some_and(|local| wanted.iter().any(|wanted| wanted == local)) {
            return Ok(uid);
        }
    }
    Ok(None)
}

const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    #[test]
    fn a_listening_socket_is_seen_with_its_owner_and_a_closed_one_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            panic!("IPv4")
        };
        let me = nix::unistd::geteuid().as_raw();
        assert_eq!(super::listener(address).unwrap(), Some(me));
        drop(listener);
        assert_eq!(super::listener(address).unwrap(), None);
    }
}
