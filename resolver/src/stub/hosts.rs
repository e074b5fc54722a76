//! `/etc/hosts`.

use std::net::IpAddr;

/// Every address that a hosts file gives `name`, in the file's order.
///
/// A line that starts with no address is passed over, as libc does.
pub(super) fn look_up(file: &str, name: &str) -> Vec<IpAddr> {
    let wanted = name.trim_end_matches('.');
    let mut found = Vec::new();
    for line in file.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        if words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(wanted)) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{IpAddr, look_up};

    const FILE: &str = "127.0.0.1 localhost # proxy\n\
        192.0.2.7\tProxy.Example proxy\n\
        nonsense proxy\n\
        2001:db8::7 proxy\n";

    #[test]
    fn every_address_of_a_name_is_found_whatever_its_case() {
        let found = look_up(FILE, "PROXY.");
        assert_eq!(
            found,
            ["192.0.2.7", "2001:db8::7"].map(|a| a.parse::<IpAddr>().unwrap())
        );
        assert_eq!(look_up(FILE, "proxy.example").len(), 1);
        assert!(look_up(FILE, "example").is_empty());
    }
}
