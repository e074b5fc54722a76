//! A packet was refused: whose it was, and where it was to go.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_sys::protocols::NETLINK_NETFILTER;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR};

use super::netlink::{Message, Received, Watch, attribute, message, messages, u32_from_network};
use crate::ruleset::Reports;

/// `NFNL_SUBSYS_ULOG` (`linux/netfilter/nfnetlink.h`)
const SUBSYSTEM: u16 = 4;
/// `NFULNL_MSG_PACKET` (`linux/netfilter/nfnetlink_log.h`)
const PACKET: u16 = SUBSYSTEM << 8;
/// `NFULNL_MSG_CONFIG`
const CONFIGURE: u16 = SUBSYSTEM << 8 | 1;
const CONFIGURE_COMMAND: u16 = 1;
const CONFIGURE_MODE: u16 = 2;
const CONFIGURE_THRESHOLD: u16 = 5;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// Enough for both headers: IPv6 is 40 bytes, the ports are the first four after it.
const COPIED: u32 = 128;
/// `struct nfgenmsg`
const NETFILTER_HEADER: usize = 4;
const PACKET_PAYLOAD: u16 = 9;
const PACKET_UID: u16 = 11;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Tells which packets are refused, at most ten a second after the first twenty. The kernel
/// lets one reader at a time have them.
pub struct Refusals(Watch);

/// A packet that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The user whose socket it came from; nobody for a packet of the kernel's own.
    pub uid: Option<u32>,
    /// The number of the protocol (IANA): 6 is TCP, 17 UDP.
    pub protocol: u8,
    /// Where it was to go.
    pub destination: IpAddr,
    /// To which port, where the protocol has ports.
    pub port: Option<u16>,
}

impl Refusals {
    /// Begins to receive the reports of the current network namespace.
    ///
    /// # Errors
    /// No `NET_ADMIN`, no `nfnetlink_log` in this kernel, or somebody else has them.
    pub async fn open() -> io::Result<Self> {
        let watch = Watch::open(NETLINK_NETFILTER, &[])?;
        let mut mode = COPIED.to_be_bytes().to_vec();
        mode.extend([COPY_PACKET, 0]);
        let one_at_a_time = 1_u32.to_be_bytes();
        for (kind, payload) in [
            (CONFIGURE_COMMAND, &[BIND][..]),
            (CONFIGURE_MODE, &mode),
            (CONFIGURE_THRESHOLD, &one_at_a_time),
        ] {
            let mut body = vec![0, 0];
            body.extend(Reports::GROUP.to_be_bytes());
            body.extend(attribute(kind, payload));
            watch.send(&message(CONFIGURE, NLM_F_REQUEST | NLM_F_ACK, &body))?;
            acknowledged(&watch).await?;
        }
        Ok(Self(watch))
    }

    /// Waits for refused packets; a few may come at once. What was lost is passed over, for the
    /// counters have it.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn next(&mut self) -> io::Result<Vec<Refusal>> {
        loop {
            let Received::Messages(datagram) = self.0.receive().await? else {
                continue;
            };
            let refusals: Vec<_> = messages(&datagram).filter_map(refusal).collect();
            if !refusals.is_empty() {
                return Ok(refusals);
            }
        }
    }
}

async fn acknowledged(watch: &Watch) -> io::Result<()> {
    loop {
        let Received::Messages(datagram) = watch.receive().await? else {
            continue;
        };
        let mut answers = messages(&datagram).filter(|message| message.kind == NLMSG_ERROR);
        match answers.find_map(Message::error) {
            Some(0) => return Ok(()),
            Some(error) => return Err(io::Error::from_raw_os_error(error)),
            None => {}
        }
    }
}

fn refusal(message: Message<'_>) -> Option<Refusal> {
    if message.kind != PACKET {
        return None;
    }
    let payload_of = |wanted| {
        let mut attributes = message.attributes(NETFILTER_HEADER);
        attributes
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, payload)| payload)
    };
    let packet = payload_of(PACKET_PAYLOAD)?;
    let (protocol, destination, rest) = addressed(packet)?;
    let port = || {
        rest.get(2..)?
            .first_chunk()
            .map(|port| u16::from_be_bytes(*port))
    };
    Some(Refusal {
        uid: payload_of(PACKET_UID).and_then(u32_from_network),
        protocol,
        destination,
        port: if matches!(protocol, TCP | UDP) {
            port()
        } else {
            None
        },
    })
}

/// The protocol, the destination, and what follows the header. Extension headers of IPv6 are
/// taken for a protocol: refused packets rarely have one, and then a person sees its number.
fn addressed(packet: &[u8]) -> Option<(u8, IpAddr, &[u8])> {
    let first = *packet.first()?;
    match first >> 4 {
        4 => {
            let destination: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            let header = usize::from(first & 0x0f) * 4;
            let rest = packet.get(header..).unwrap_or_default();
            Some((*packet.get(9)?, Ipv4Addr::from(destination).into(), rest))
        }
        6 => {
            let destination: [u8; 16] = *packet.get(24..)?.first_chunk()?;
            let rest = packet.get(40..).unwrap_or_default();
            Some((*packet.get(6)?, Ipv6Addr::from(destination).into(), rest))
        }
        _ => None,
    }
}

impl fmt::Display for Refusal {
    /// `uid 1000 was refused udp to 192.0.2.1:53`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uid {
            Some(uid) => write!(f, "uid {uid}")?,
            None => f.write_str("the kernel")?,
        }
        f.write_str(" was refused ")?;
        match self.protocol {
            1 | 58 => f.write_str("icmp")?,
            TCP => f.write_str("tcp")?,
            UDP => f.write_str("udp")?,
            number => write!(f, "protocol {number}")?,
        }
        match self.port {
            Some(port) => write!(
                f,
                " to {}",
                std::net::SocketAddr::new(self.destination, port)
            ),
            None => write!(f, " to {}", self.destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(packet: &[u8], uid: Option<u32>) -> Option<Refusal> {
        let mut body = vec![0; NETFILTER_HEADER];
        body.extend(attribute(PACKET_PAYLOAD, packet));
        if let Some(uid) = uid {
            body.extend(attribute(PACKET_UID, &uid.to_be_bytes()));
        }
        let datagram = message(PACKET, 0, &body);
        messages(&datagram).find_map(refusal)
    }

    #[test]
    fn a_report_names_the_user_and_the_destination() {
        let mut packet = vec![
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, UDP, 0, 0, 10, 0, 0, 2, 192, 0, 2, 1,
        ];
        packet.extend([0x30, 0x39, 0, 53, 0, 8, 0, 0]);
        assert_eq!(
            reported(&packet, Some(1000)).unwrap().to_string(),
            "uid 1000 was refused udp to 192.0.2.1:53"
        );
    }

    #[test]
    fn ipv6_is_read_and_what_is_cut_off_is_not_guessed() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 8, 58, 64];
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(
            reported(&packet, None).unwrap().to_string(),
            "the kernel was refused icmp to 2001:db8::1"
        );
        packet[6] = TCP;
        assert_eq!(reported(&packet, None).unwrap().port, None);
        assert_eq!(reported(&packet[..30], None), None);
        assert_eq!(reported(&[], None), None);
    }
}
