//! What listens in the box.
//!
//! The kernel tells which ports are listened on and whose each socket is; which process that is,
//! only coder can see of its own, so the name is the agent's word.
//!
//! [`grants`] knows to whom a port was opened, and [`head`] what passes of the heads of requests
//! and answers between a browser and what listens there.

pub mod grants;
pub mod head;

use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cib_protocol::api::{Port, PortList};
use cib_protocol::files::{FilesReply, FilesRequest};

use crate::fault::{Code, Fault};
use crate::files::Files;
use crate::work;

/// Where the kernel tells it: IPv4, and IPv6 where there is any.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The state of a socket that listens, as the kernel writes it.
const LISTENS: &str = "0A";

/// The box's own users: root, control, the way out, the keepers.
const OWN: [u32; 4] = [0, 970, 971, 972];

/// Ports that are told, at most.
const MOST: usize = 500;

/// Characters of a process's name that are told.
const MAX_NAME: usize = 64;

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    uid: u32,
    inode: u64,
}

/// What listens in the box and is not the box's own.
///
/// # Errors
/// If the kernel's tables cannot be read.
pub async fn list(files: &Files) -> Result<PortList, Fault> {
    let mut sockets: Vec<_> = listening().await?;
    sockets.retain(|socket| !socket.is_own());
    sockets.sort_by_key(|socket| (socket.port, socket.address));
    sockets.truncate(MOST);
    let names = names(files, &sockets).await;
    let ports = sockets
        .iter()
        .enumerate()
        .map(|(index, socket)| Port {
            port: socket.port,
            address: socket.address.to_string(),
            uid: socket.uid,
            process: names.get(index).cloned().flatten(),
        })
        .collect();
    Ok(PortList { ports })
}

/// Where a port of coder's is reached on the box's loopback, the likelier first.
///
/// # Errors
/// [`Code::NoSuchPort`] if none of coder's programs listens there, or one of the box's own does on
/// any address; or if the kernel's tables cannot be read.
pub async fn reached_at(port: u16) -> Result<Vec<SocketAddr>, Fault> {
    let found = addresses(&listening().await?, port);
    if found.is_empty() {
        let detail = format!("nothing of coder's listens on port {port} of the box's loopback");
        return Err(Fault::new(Code::NoSuchPort, detail));
    }
    Ok(found)
}

fn addresses(sockets: &[Socket], port: u16) -> Vec<SocketAddr> {
    let here = || sockets.iter().filter(|socket| socket.port == port);
    if here().any(Socket::is_own) {
        return Vec::new();
    }
    let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    let mut found: Vec<_> = here()
        .flat_map(|socket| match socket.address.to_canonical() {
            IpAddr::V4(address) if address.is_unspecified() => vec![v4],
            // It takes IPv4 as well, unless it says otherwise, which the table does not.
            IpAddr::V6(address) if address.is_unspecified() => vec![v4, v6],
            address if address.is_loopback() => vec![address],
            _ => vec![],
        })
        .map(|address| SocketAddr::new(address, port))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

async fn listening() -> Result<Vec<Socket>, Fault> {
    // Coder may have so many of them that it takes a while to read.
    let read = work::run(|| {
        let table = |path| Ok::<_, io::Error>(BufReader::new(cib_foreign::own::open(path)?));
        let mut found = sockets(table(TABLES[0])?)?;
        if let Ok(v6) = table(TABLES[1]) {
            found.extend(sockets(v6)?);
        }
        Ok::<_, io::Error>(found)
    });
    read.await
}

impl Socket {
    /// Whether it is the box's own, or that of everybody in a box with one user.
    fn is_own(&self) -> bool {
        self.uid == nix::unistd::geteuid().as_raw() || OWN.contains(&self.uid)
    }
}

/// What the processes are called that hold them; nothing where nobody says.
async fn names(files: &Files, sockets: &[Socket]) -> Vec<Option<String>> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let inodes = sockets.iter().map(|socket| socket.inode).collect();
    let asked = files.ask(&FilesRequest::Holders { inodes }).await;
    let Ok(FilesReply::Holders(names)) = asked else {
        return Vec::new();
    };
    let told = |name: String| -> String {
        name.chars()
            .filter(|letter| !letter.is_control())
            .take(MAX_NAME)
            .collect()
    };
    names.into_iter().map(|name| name.map(told)).collect()
}

/// `proc_net(5)`: the second field is the local address, the fourth the state, the eighth the
/// owner and the tenth the inode. Sockets that listen stand before all others (`tcp_get_idx` of
/// Linux' `net/ipv4/tcp_ipv4.c`), of which there may be hundreds of thousands that are not read.
fn sockets(table: impl BufRead) -> io::Result<Vec<Socket>> {
    let mut found = Vec::new();
    for line in table.lines().skip(1) {
        let line = line?;
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        if fields.get(3) != Some(&LISTENS) {
            break;
        }
        found.extend(socket(&fields));
    }
    Ok(found)
}

fn socket(fields: &[&str]) -> Option<Socket> {
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Socket {
        address: self::address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// An address as words of 32 bits, each in the machine's own order of bytes.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(address: &str, port: u16, uid: u32) -> Socket {
        let address = address.parse().unwrap();
        Socket {
            address,
            port,
            uid,
            inode: 0,
        }
    }

    #[test]
    fn a_port_is_reached_on_the_loopback_and_only_where_no_socket_of_it_is_the_boxs_own() {
        let coder = 1000;
        let sockets = [
            socket("127.0.0.1", 3000, coder),
            socket("::", 3001, coder),
            socket("0.0.0.0", 3002, coder),
            socket("192.0.2.1", 3003, coder),
            socket("127.0.0.2", 53, coder),
            socket("127.0.0.1", 53, 971),
            socket("::", 8080, 970),
            socket("::ffff:127.0.0.1", 3004, coder),
        ];
        let at = |port| -> Vec<_> {
            let found = addresses(&sockets, port);
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(at(3000), ["127.0.0.1:3000"]);
        assert_eq!(at(3001), ["127.0.0.1:3001", "[::1]:3001"]);
        assert_eq!(at(3002), ["127.0.0.1:3002"]);
        assert_eq!(at(3004), ["127.0.0.1:3004"]);
        for none in [3003, 53, 8080, 3005] {
            assert!(at(none).is_empty(), "{none}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_is_understood() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4711 1\n\
            1: garbage:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4712 1\n\
            2: 0100007F:1F91 0100007F:0050 01 00000000:00000000 00:00000000 00000000  1000 0 4713 1\n\
            3: what stands behind the last that listens\n";
        assert_eq!(
            sockets(table.as_bytes()).unwrap(),
            [Socket {
                address: Ipv4Addr::LOCALHOST.into(),
                port: 8080,
                uid: 1000,
                inode: 4711,
            }]
        );
        assert_eq!(
            address("00000000000000000000000001000000"),
            Some(Ipv6Addr::LOCALHOST.into())
        );
        assert_eq!(address("0100"), None);
    }
}
