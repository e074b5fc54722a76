//! What somebody with more rights than the workload may try: sockets bound to a device, raw
//! packets, raw frames, forged connections, namespaces behind the box. Each is first seen to
//! get out without the rule that stops it.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::common::lab::{Lab, Netns};
use crate::common::policies::open;
use crate::common::sys::send_frame;
use cib_nft::{EgressPolicy, Kind, Listing, Table};
use socket2::{Domain, Protocol, Socket, Type};

/// IPv4, UDP, 10.99.0.2:9 to 198.51.100.1:9, no data.
const DATAGRAM: [u8; 28] = [
    0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0x2d, 0x70, 10, 99, 0, 2, 198, 51, 100, 1, //
    0, 9, 0, 9, 0, 8, 0, 0,
];
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const TO_THE_WORLD: &str = "17 198.51.100.1";

fn open_lab() -> Lab {
    Lab::under(EgressPolicy::Open { wiring: open("") })
}

fn frame() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    frame.extend(IPV4.to_be_bytes());
    frame.extend(DATAGRAM);
    frame
}

fn index(inside: &Netns, device: &str) -> i32 {
    inside
        .sh(&format!("ip -o link show {device} | cut -d: -f1"))
        .trim()
        .parse()
        .unwrap()
}

/// A connection attempt from a socket bound to the device.
fn connect_bound(lab: &Lab, to: &str) {
    let target: SocketAddrV4 = to.parse().unwrap();
    let socket = lab
        .inside
        .run(|| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
    socket.bind_device(Some(b"eth0")).unwrap();
    socket
        .connect_timeout(&target.into(), Duration::from_millis(300))
        .unwrap_err();
}

#[test]
fn a_socket_bound_to_a_device_sends_nothing() {
    let lab = Lab::new();
    lab.inside.nft(
        "table ip control {
           chain out {
             type nat hook output priority -100; policy accept;
             meta l4proto tcp redirect to :12345
           }
         }
        ",
    );
    let control = lab.sniff();
    connect_bound(&lab, "198.51.100.1:443");
    assert!(
        lab.leaked(control).contains(&"6 127.0.0.1".to_owned()),
        "the control leaks"
    );

    let lab = open_lab();
    let sniffer = lab.sniff();
    for address in ["198.51.100.1:443", "127.0.0.1:12345", "10.99.0.2:80"] {
        connect_bound(&lab, address);
    }
    assert_ne!(lab.counted(Kind::Gate).packets, 0);
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn a_raw_packet_is_refused() {
    let lab = open_lab();
    let sniffer = lab.sniff();
    let socket = lab
        .inside
        .run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap());
    let target: SocketAddr = "198.51.100.1:0".parse().unwrap();
    socket.send_to(&DATAGRAM, &target.into()).unwrap_err();
    assert_eq!(lab.leaked(sniffer), [""; 0]);
}

#[test]
fn a_raw_frame_is_stopped_whatever_it_is_said_to_be() {
    let lab = open_lab();
    let eth0 = index(&lab.inside, "eth0");
    let sniffer = lab.sniff();
    for claimed in [IPV4, ARP] {
        let sent = lab.inside.run(|| send_frame(eth0, claimed, &frame()));
        sent.expect_err("the frame is dropped before the device");
    }
    assert_eq!(lab.counted(Kind::Frame).packets, 2);
    assert_eq!(lab.leaked(sniffer), [""; 0]);

    lab.undo();
    let control = lab.sniff();
    lab.inside.run(|| send_frame(eth0, IPV4, &frame())).unwrap();
    assert_eq!(lab.leaked(control), [TO_THE_WORLD], "the control leaks");
}

/// Takes away the rules that stop a forged connection.
fn without_the_rule(lab: &Lab) {
    lab.inside.nft("flush chain inet cib loop\n");
    let Listing::Present(listing) = lab.inside.listing(Table::Inet) else {
        panic!("no table")
    };
    let listing: serde_json::Value = serde_json::from_str(&listing).unwrap();
    let rules = listing["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|o| o.get("rule"));
    let spoofed = rules
        .filter(|rule| rule["chain"] == "out" && rule.to_string().contains("blocked_spoofed"))
        .map(|rule| rule["handle"].to_string());
    for handle in spoofed {
        lab.inside
            .nft(&format!("delete rule inet cib out handle {handle}\n"));
    }
}

/// Sends a datagram to the box's own port from an address of the world, and answers it.
fn forge(lab: &Lab, from: &str, to: &str, forge: impl FnOnce(SocketAddr, SocketAddr) + Send) {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let victim = lab.inside.udp(&to.to_string());
    lab.inside.run(|| forge(from, to));
    // The answer is what would leave; that it may be refused is the point.
    let _ = victim.send_to(b"secret", from);
}

/// Needs no privilege: IPv6 lets a socket bind to any address.
fn from_a_free_bound_socket(from: SocketAddr, to: SocketAddr) {
    let socket = Socket::new(Domain::for_address(from), Type::DGRAM, None).unwrap();
    socket.set_freebind_v6(true).unwrap();
    socket.bind(&from.into()).unwrap();
    let _ = socket.send_to(b"forged", &to.into());
}

fn from_a_transparent_socket(from: SocketAddr, to: SocketAddr) {
    let socket = Socket::new(Domain::for_address(from), Type::DGRAM, None).unwrap();
    socket.set_ip_transparent_v4(true).unwrap();
    socket.bind(&from.into()).unwrap();
    let _ = socket.send_to(b"forged", &to.into());
}

/// A frame on the loopback, which no output hook sees.
fn from_a_frame(index: i32) -> impl FnOnce(SocketAddr, SocketAddr) + Send {
    move |from, to| {
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else {
            panic!("IPv4 only")
        };
        let mut frame = vec![0; 12];
        frame.extend(IPV4.to_be_bytes());
        let mut packet = DATAGRAM;
        packet[12..16].copy_from_slice(&from.ip().octets());
        packet[16..20].copy_from_slice(&to.ip().octets());
        packet[20..22].copy_from_slice(&from.port().to_be_bytes());
        packet[22..24].copy_from_slice(&to.port().to_be_bytes());
        packet[10..12].copy_from_slice(&[0, 0]);
        let checksum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        frame.extend(packet);
        let _ = send_frame(index, IPV4, &frame);
    }
}

fn checksum(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

#[test]
fn an_answer_to_a_connection_forged_within_the_box_stays_in_the_box() {
    const V4: (&str, &str) = ("198.51.100.1:443", "10.99.0.2:7000");
    const V6: (&str, &str) = ("[2001:db8::1]:443", "[fd99::2]:7000");
    for guarded in [false, true] {
        let look = |forging: &dyn Fn(&Lab)| {
            let lab = open_lab();
            if !guarded {
                without_the_rule(&lab);
            }
            let sniffer = lab.sniff();
            forging(&lab);
            lab.leaked(sniffer)
        };
        let unguarded = |leak: &str| {
            if guarded {
                vec![]
            } else {
                vec![leak.to_owned()]
            }
        };
        let seen = look(&|lab| forge(lab, V6.0, V6.1, from_a_free_bound_socket));
        assert_eq!(seen, unguarded("17 2001:db8::1"), "a free-bound socket");
        let seen = look(&|lab| forge(lab, V4.0, V4.1, from_a_transparent_socket));
        assert_eq!(seen, unguarded(TO_THE_WORLD), "a transparent socket");
        let seen = look(&|lab| forge(lab, V4.0, V4.1, from_a_frame(index(&lab.inside, "lo"))));
        assert_eq!(seen, unguarded(TO_THE_WORLD), "a frame on the loopback");
    }
}

#[test]
fn a_namespace_behind_the_box_is_not_routed() {
    for guarded in [false, true] {
        let lab = if guarded { open_lab() } else { Lab::new() };
        let nested = lab.nested("10.66.0.1", "10.66.0.2");
        let sniffer = lab.sniff();
        let socket = nested.udp("10.66.0.2:0");
        socket.send_to(b"hello", "198.51.100.1:443").unwrap();
        if guarded {
            assert_ne!(lab.counted(Kind::Forward).packets, 0);
            assert_eq!(lab.leaked(sniffer), [""; 0]);
        } else {
            assert_eq!(lab.leaked(sniffer), [TO_THE_WORLD], "the control leaks");
        }
    }
}
