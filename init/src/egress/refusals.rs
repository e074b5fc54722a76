//! The other side of the proof: what must not get out is refused, and at once.
//!
//! A rule that drops where it should refuse passes every leak test and makes every client
//! hang, so each check has a time limit of its own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use cib_nft::Lan;
use cib_protocol::init::Check;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// A refusal takes microseconds. A box that is busy may be slow to notice it, which is no
/// fault of the rules; one that takes longer than this is a packet that was waited for.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Nothing here is waited for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// In TEST-NET-1 (RFC 5737): routed nowhere, so that even a leak harms nobody.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// In the documentation prefix of RFC 3849, for the same reason.
const NOWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
/// Where clouds answer with the machine's credentials.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Tries what must fail: UDP, ICMP, IPv6, and a private address that `lan` does not open.
pub async fn refusals(lan: &Lan) -> Vec<Check> {
    let mut checks = vec![
        check("udp is refused at once", udp().await, AT_ONCE),
        check("icmp is refused at once", icmp(), AT_ONCE),
        check(
            "ipv6 is refused at once",
            tcp((NOWHERE_V6, 443).into()).await,
            AT_ONCE,
        ),
    ];
    if !lan.contains(METADATA.into()) {
        let attempt = tcp((METADATA, 80).into()).await;
        checks.push(check(
            "private addresses are refused at once",
            attempt,
            AT_ONCE,
        ));
    }
    checks
}

/// How an attempt to get out ended.
enum Attempt {
    /// It was refused, after this long.
    Refused(io::Error, Duration),
    /// It went out.
    Went,
    /// Nothing happened.
    Hung,
    /// There is no such thing in this box to try it with.
    Impossible(io::Error),
}

fn check(claim: &str, attempt: Attempt, limit: Duration) -> Check {
    let (passed, detail) = match attempt {
        Attempt::Refused(error, took) if took <= limit => {
            (true, format!("{error} after {} us", took.as_micros()))
        }
        Attempt::Refused(error, took) => (
            false,
            format!(
                "{error}, but only after {} ms; is another firewall at work in this box?",
                took.as_millis()
            ),
        ),
        Attempt::Went => (
            false,
            "it got out; the rules of table `inet cib` are missing or were changed, restart the box"
                .to_owned(),
        ),
        Attempt::Hung => (
            false,
            "it was dropped instead of refused, so programs will hang; \
             is another firewall at work in this box?"
                .to_owned(),
        ),
        Attempt::Impossible(error) => (true, format!("this kernel offers no way to try: {error}")),
    };
    Check {
        claim: claim.to_owned(),
        passed,
        detail,
    }
}

async fn udp() -> Attempt {
    let socket = match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await {
        Ok(socket) => socket,
        Err(error) => return Attempt::Impossible(error),
    };
    let start = Instant::now();
    match socket.send_to(b"claude-in-box", (NOWHERE, 443)).await {
        Ok(_) => Attempt::Went,
        Err(error) => Attempt::Refused(error, start.elapsed()),
    }
}

/// An echo request from an unprivileged ICMP socket, which needs no capability; where the
/// kernel gives none, nobody else in the box gets one either.
fn icmp() -> Attempt {
    const ECHO_REQUEST: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 1];
    let opened = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::Icmp,
    );
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => return Attempt::Impossible(error.into()),
    };
    let start = Instant::now();
    let target = SockaddrIn::from(SocketAddrV4::new(NOWHERE, 0));
    let fd = socket.as_raw_fd();
    match sendto(fd, &ECHO_REQUEST, &target, MsgFlags::empty()) {
        Ok(_) => Attempt::Went,
        Err(error) => Attempt::Refused(error.into(), start.elapsed()),
    }
}

async fn tcp(target: SocketAddr) -> Attempt {
    let start = Instant::now();
    match timeout(PATIENCE, TcpStream::connect(target)).await {
        Ok(Ok(_)) => Attempt::Went,
        Ok(Err(error)) => Attempt::Refused(error, start.elapsed()),
        Err(_) => Attempt::Hung,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(after: Duration) -> Attempt {
        Attempt::Refused(io::ErrorKind::PermissionDenied.into(), after)
    }

    #[test]
    fn only_a_refusal_at_once_passes() {
        assert!(check("c", refused(Duration::from_micros(50)), AT_ONCE).passed);
        assert!(!check("c", refused(Duration::from_millis(900)), AT_ONCE).passed);
        assert!(!check("c", Attempt::Went, AT_ONCE).passed);
        assert!(!check("c", Attempt::Hung, AT_ONCE).passed);
    }

    #[test]
    fn a_failed_check_says_what_a_person_needs() {
        let check = check("udp is refused at once", Attempt::Went, AT_ONCE);
        assert!(check.detail.contains("restart the box"), "{}", check.detail);
    }
}
