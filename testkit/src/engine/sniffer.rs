//! What really went over a network, seen from outside the containers on it.

use std::time::Duration;

use super::{Container, Engine, Network};
use crate::wait::wait_until;

/// How long the sniffer may take to start or to see a packet.
const SOON: Duration = Duration::from_secs(20);

/// A tcpdump on a network's bridge, in the engine's own network namespace.
#[derive(Debug)]
pub struct Sniffer {
    tcpdump: Container,
}

/// One packet, as tcpdump tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Where it came from, `ADDRESS[.PORT]`.
    pub from: String,
    /// Where it went, likewise.
    pub to: String,
    /// The rest of the line.
    pub what: String,
}

impl Sniffer {
    /// Starts listening on `network`; returns when every later packet will be seen. Sees IPv4
    /// and IPv6, except for the neighbour and group messages that the kernel itself sends for
    /// a link as soon as it is up.
    ///
    /// # Panics
    /// It does not start.
    #[track_caller]
    #[must_use]
    pub fn start(engine: &Engine, network: &Network) -> Self {
        let tcpdump = engine
            .kit("sniffer")
            .option("--network", "host")
            .option("--entrypoint", "tcpdump")
            .cap("NET_RAW")
            .arguments(["-i", network.bridge(), "-nn", "-l", "-t", "--immediate-mode", "-q"])
            .arguments(["ip or (ip6 and not (icmp6 and ip6[40] >= 130 and ip6[40] <= 143))"])
            // Group reports carry an option header before the ICMPv6 one.
            .arguments(["and not (ip6[6] == 0 and ip6[40] == 58)"])
            .start();
        tcpdump.wait_for_log(SOON, "listening on");
        Self { tcpdump }
    }

    /// The packets so far, oldest first.
    #[must_use]
    pub fn packets(&self) -> Vec<Packet> {
        self.tcpdump
            .logs()
            .lines()
            .filter_map(Packet::parse)
            .collect()
    }

    /// All packets up to now: sends a datagram of its own from `sender` to `to`, an address on
    /// the network, and waits until that one has been seen.
    ///
    /// # Panics
    /// The datagram is not seen.
    #[track_caller]
    #[must_use]
    pub fn packets_until_now(&self, sender: &Container, to: &str) -> Vec<Packet> {
        let before = self
            .packets()
            .iter()
            .filter(|packet| packet.is_mark())
            .count();
        let mark = format!("echo mark > /dev/udp/{to}/{MARK_PORT}");
        let sent = sender.exec(&["bash", "-c", &mark]);
        assert_eq!(sent.code, 0, "no mark was sent: {}", sent.stderr);
        wait_until(SOON, "the sniffer to see its own mark", || {
            self.packets()
                .iter()
                .filter(|packet| packet.is_mark())
                .count()
                > before
        });
        self.packets()
            .into_iter()
            .filter(|packet| !packet.is_mark())
            .collect()
    }
}

/// A port that nothing of ours uses, so that a datagram to it is the sniffer's own.
const MARK_PORT: u16 = 4;

impl Packet {
    /// Reads a line such as `IP 10.0.0.2.4711 > 203.0.113.10.80: tcp 0`.
    fn parse(line: &str) -> Option<Self> {
        let rest = line
            .strip_prefix("IP6 ")
            .or_else(|| line.strip_prefix("IP "))?;
        let (from, rest) = rest.split_once(" > ")?;
        let (to, what) = rest.split_once(": ")?;
        Some(Self {
            from: from.into(),
            to: to.into(),
            what: what.into(),
        })
    }

    fn is_mark(&self) -> bool {
        self.to.ends_with(&format!(".{MARK_PORT}")) || self.what.contains("port 4 unreachable")
    }

    /// Whether it came from the address `from`, whatever the port.
    #[must_use]
    pub fn is_from(&self, from: &str) -> bool {
        is_addr(&self.from, from)
    }

    /// Whether it went to `to`: an address whatever the port, `ADDRESS.PORT`, or
    /// `ADDRESS.PORT by UDP`.
    #[must_use]
    pub fn is_to(&self, to: &str) -> bool {
        match to.strip_suffix(" by UDP") {
            Some(to) => is_addr(&self.to, to) && self.what.starts_with("UDP"),
            None => is_addr(&self.to, to),
        }
    }

    /// Whether it is of a TCP connection to `to`, `ADDRESS.PORT`.
    #[must_use]
    pub fn is_tcp_to(&self, to: &str) -> bool {
        self.to == to && self.what.starts_with("tcp")
    }
}

fn is_addr(end: &str, addr: &str) -> bool {
    end.strip_prefix(addr)
        .is_some_and(|port| port.is_empty() || port.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_tcpdump_is_read() {
        let packet = Packet::parse("IP 10.0.0.2.4711 > 203.0.113.10.80: tcp 0").unwrap();
        assert!(packet.is_from("10.0.0.2") && packet.is_to("203.0.113.10"));
        assert!(!packet.is_to("203.0.113.1"));
        let ping = Packet::parse("IP6 fd00::2 > fd00::1: ICMP6, echo request, length 8").unwrap();
        assert!(ping.is_to("fd00::1"));
    }
}
