//! `/etc/resolv.conf`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Transport;

/// glibc reads three servers and passes over the rest.
const SERVERS_MAX: usize = 3;

/// What of `resolv.conf(5)` decides a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers to ask, in order; the machine's own when the file names none.
    pub servers: Vec<SocketAddr>,
    /// What is appended to a name that may be relative.
    pub search: Vec<String>,
    /// A name with this many dots is tried as it is before the search list.
    pub ndots: usize,
    /// How long one server gets for one try.
    pub timeout: Duration,
    /// How often the list of servers is gone through.
    pub attempts: u32,
    /// UDP first, or TCP alone (`options use-vc`).
    pub transport: Transport,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            // libc waits 5 s; here a person waits for a box to start.
            timeout: Duration::from_secs(2),
            attempts: 2,
            transport: Transport::UdpThenTcp,
        }
    }
}

impl ResolvConf {
    /// Reads the file's text. What it does not know it passes over, as libc does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.server(words.next()),
                Some("search") => conf.search = words.map(str::to_owned).collect(),
                Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| conf.option(option)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push((Ipv4Addr::LOCALHOST, 53).into());
        }
        conf
    }

    fn server(&mut self, word: Option<&str>) {
        let address = word.and_then(|word| word.parse::<IpAddr>().ok());
        if let Some(address) = address
            && self.servers.len() < SERVERS_MAX
        {
            self.servers.push((address, 53).into());
        }
    }

    /// The caps are libc's own.
    fn option(&mut self, option: &str) {
        let (key, value) = option.split_once(':').unwrap_or((option, ""));
        let value = value.parse::<u32>().ok();
        match (key, value) {
            ("ndots", Some(n)) => self.ndots = n.min(15) as usize,
            ("timeout", Some(n)) => self.timeout = Duration::from_secs(n.clamp(1, 30).into()),
            ("attempts", Some(n)) => self.attempts = n.clamp(1, 5),
            ("use-vc", _) => self.transport = Transport::Tcp,
            _ => {}
        }
    }

    /// The absolute names to ask for, in order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        let asis = format!("{}.", name.trim_end_matches('.'));
        if name.ends_with('.') {
            return vec![asis];
        }
        let searched = self
            .search
            .iter()
            .map(|domain| format!("{asis}{}.", domain.trim_matches('.')));
        if name.matches('.').count() >= self.ndots {
            std::iter::once(asis.clone()).chain(searched).collect()
        } else {
            searched.chain(std::iter::once(asis.clone())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_read() {
        let conf = ResolvConf::parse(
            "# by hand\nnameserver 192.0.2.1\nnameserver 2001:db8::1 ; second\n\
             nameserver fe80::1%eth0\nsearch a.example b.example.\n\
             options ndots:2 timeout:99 attempts:0 use-vc rotate\n",
        );
        let servers = ["192.0.2.1:53", "[2001:db8::1]:53"].map(|s| s.parse().unwrap());
        assert_eq!(conf.servers, servers);
        assert_eq!(conf.search, ["a.example", "b.example."]);
        assert_eq!((conf.ndots, conf.attempts), (2, 1));
        assert_eq!(conf.timeout, Duration::from_secs(30));
        assert_eq!(conf.transport, Transport::Tcp);
    }

    #[test]
    fn a_file_without_servers_means_the_machine_itself() {
        assert_eq!(
            ResolvConf::parse("").servers,
            ["127.0.0.1:53".parse().unwrap()]
        );
    }

    #[test]
    fn dots_decide_whether_the_search_list_comes_first() {
        let conf = ResolvConf {
            search: vec!["lan.".into()],
            ..ResolvConf::default()
        };
        assert_eq!(conf.candidates("proxy"), ["proxy.lan.", "proxy."]);
        assert_eq!(
            conf.candidates("proxy.example"),
            ["proxy.example.", "proxy.example.lan."]
        );
        assert_eq!(conf.candidates("proxy."), ["proxy."]);
    }
}
