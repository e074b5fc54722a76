//! Networks with addresses of their own.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Engine, LABEL, stderr, unique};

/// The first addresses of the wide networks.
const WIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 0), Ipv4Addr::new(192, 0, 2, 0)];

/// A bridge network, removed when dropped.
#[derive(Debug)]
pub struct Network {
    name: String,
    bridge: String,
    base: Ipv4Addr,
    /// The same for IPv6, where the network has it.
    base6: Option<Ipv6Addr>,
}

/// What a network's addresses look like to the policy of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// RFC 1918: closed to the box unless it is listed.
    Private,
    /// RFC 5737's documentation networks, which no list of private addresses holds: they stand
    /// for the Internet.
    Public,
    /// The same with 256 addresses. There are two such networks in an engine at a time.
    Wide,
}

impl Range {
    /// The n-th network, over and over.
    fn nth(self, n: u32) -> Ipv4Addr {
        let (first, count) = match self {
            Self::Private => (Ipv4Addr::new(10, 213, 0, 0), 4096),
            Self::Public => (Ipv4Addr::new(203, 0, 113, 0), 16),
            Self::Wide => return WIDE[n as usize % WIDE.len()],
        };
        Ipv4Addr::from_bits(first.to_bits() + n % count * 16)
    }

    fn prefix(self) -> u8 {
        match self {
            Self::Private | Self::Public => 28,
            Self::Wide => 24,
        }
    }
}

impl Network {
    /// A network of private addresses with a way out, as Docker makes them by default.
    ///
    /// # Panics
    /// The engine refuses it.
    #[must_use]
    pub fn private(engine: &Engine) -> Self {
        Self::make(engine, Range::Private, &[])
    }

    /// The same with unique local IPv6 addresses as well.
    ///
    /// # Panics
    /// The engine refuses it.
    #[must_use]
    pub fn dual(engine: &Engine) -> Self {
        Self::make(engine, Range::Private, &["--ipv6"])
    }

    /// A network of private addresses without a way out, and so without a default route.
    ///
    /// # Panics
    /// The engine refuses it.
    #[must_use]
    pub fn internal(engine: &Engine) -> Self {
        Self::make(engine, Range::Private, &["--internal"])
    }

    /// The same with unique local IPv6 addresses as well.
    ///
    /// # Panics
    /// The engine refuses it.
    #[must_use]
    pub fn internal_dual(engine: &Engine) -> Self {
        Self::make(engine, Range::Private, &["--internal", "--ipv6"])
    }

    /// A network of public-looking addresses without a way out.
    ///
    /// # Panics
    /// The engine refuses it.
    #[must_use]
    pub fn public(engine: &Engine) -> Self {
        Self::make(engine, Range::Public, &["--internal"])
    }

    /// The same with 256 addresses. There can be two at a time.
    ///
    /// # Panics
    /// The engine refuses it.
    #[must_use]
    pub fn public_wide(engine: &Engine) -> Self {
        Self::make(engine, Range::Wide, &["--internal"])
    }

    fn make(engine: &Engine, range: Range, options: &[&str]) -> Self {
        /// Other test programs take networks as well: a taken one is passed over.
        const TRIES: u32 = 32;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static BRIDGES: AtomicU32 = AtomicU32::new(0);
        let name = unique("net");
        // An interface's name has at most 15 bytes.
        let count = BRIDGES.fetch_add(1, Ordering::Relaxed);
        let bridge = format!("ct{}n{count}", std::process::id());
        let bridge_option = format!("com.docker.network.bridge.name={bridge}");
        let mut refusal = String::new();
        for _ in 0..TRIES {
            let n = NEXT
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_add(std::process::id());
            let base = range.nth(n);
            let subnet = format!("{base}/{}", range.prefix());
            let mut arguments = vec!["network", "create", "--label", LABEL];
            arguments.extend(["--subnet", &subnet, "--opt", &bridge_option]);
            arguments.extend(options);
            let low = u16::try_from(n % 0xffff).unwrap_or_default();
            let base6 = Ipv6Addr::new(0xfd00, 0xc1b, 0, low, 0, 0, 0, 0);
            let base6 = options.contains(&"--ipv6").then_some(base6);
            let subnet6 = base6.map(|base6| format!("{base6}/64")).unwrap_or_default();
            if base6.is_some() {
                arguments.extend(["--subnet", &subnet6]);
            }
            arguments.push(&name);
            let made = engine.run(&arguments);
            if made.status.success() {
                return Self {
                    name,
                    bridge,
                    base,
                    base6,
                };
            }
            refusal = stderr(&made);
            if !refusal.contains("overlap") {
                break;
            }
        }
        panic!("the engine makes no network: {refusal}");
    }

    /// The network's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bridge's interface in the engine's own network namespace.
    #[must_use]
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// The n-th address, 2 to 14; 1 is the gateway's.
    ///
    /// # Panics
    /// There is no such address.
    #[must_use]
    pub fn addr(&self, n: u8) -> Ipv4Addr {
        assert!((1..=14).contains(&n), "a network has the addresses 1 to 14");
        Ipv4Addr::from_bits(self.base.to_bits() + u32::from(n))
    }

    /// The first address of the upper half of a wide network.
    #[must_use]
    pub fn upper_half(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() + 128)
    }

    /// The n-th IPv6 address, where the network has them.
    ///
    /// # Panics
    /// There is no such address.
    #[must_use]
    pub fn addr6(&self, n: u8) -> Option<Ipv6Addr> {
        assert!((1..=14).contains(&n), "a network has the addresses 1 to 14");
        self.base6
            .map(|base| Ipv6Addr::from_bits(base.to_bits() + u128::from(n)))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let removed = Engine::get().run(&["network", "rm", &self.name]);
        // A network that stays takes its addresses from everything that comes after it.
        assert!(
            removed.status.success() || std::thread::panicking(),
            "a network is left behind: {}",
            stderr(&removed)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_follow_each_other_and_come_round() {
        assert_eq!(Range::Public.nth(0), Ipv4Addr::new(203, 0, 113, 0));
        assert_eq!(Range::Public.nth(15), Ipv4Addr::new(203, 0, 113, 240));
        assert_eq!(Range::Public.nth(16), Ipv4Addr::new(203, 0, 113, 0));
        assert_eq!(Range::Private.nth(16), Ipv4Addr::new(10, 213, 1, 0));
    }
}
