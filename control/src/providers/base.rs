//! Where a provider's API begins, and which addresses may be asked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::fault::{Code, Fault};

/// Bytes of an address, at most.
const MAX: usize = 500;

/// What an address of the network is to this box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody's.
    Public,
    /// In the box, or in a network around it.
    Private,
    /// No server of an API: of one link, of a cloud's metadata, of many or of nobody.
    Never,
}

/// Says which it is. An address of IPv6 that stands for one of IPv4 is what that one is.
#[must_use]
pub fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, c, _] = ip.octets();
    if ip.is_loopback() || ip.is_private() || (a == 100 && (64..128).contains(&b)) {
        // Some clouds tell their secrets at an address of the shared range.
        return match ip.octets() {
            [100, 100, 100, 200] => Reach::Never,
            _ => Reach::Private,
        };
    }
    let is_none = a == 0
        || ip.is_link_local()
        || ip.is_multicast()
        || a >= 240
        || ip.is_documentation()
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b));
    if is_none { Reach::Never } else { Reach::Public }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    let parts = ip.segments();
    // Translated by the network on the way (RFC 6052), or in a tunnel (RFC 3056).
    let [.., high, low] = parts;
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    if parts[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return v4(high, low);
    }
    if parts[0] == 0x2002 {
        return v4(parts[1], parts[2]);
    }
    // The metadata of a cloud.
    if parts == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] {
        return Reach::Never;
    }
    if ip.is_loopback() || parts[0] & 0xfe00 == 0xfc00 {
        return Reach::Private;
    }
    // Global unicast, without documentation and Teredo.
    let is_global = parts[0] & 0xe000 == 0x2000;
    let is_special = parts[0] == 0x2001 && matches!(parts[1], 0 | 0xdb8);
    if is_global && !is_special {
        Reach::Public
    } else {
        Reach::Never
    }
}

/// An address that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    is_tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Base {
    /// Reads one. A `/` at its end is left out.
    ///
    /// # Errors
    /// [`Code::BadValue`], with what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |what: &str| Err(Fault::new(Code::BadValue, format!("`base_url` {what}")));
        let text = text.trim();
        if text.len() > MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return bad("has at most 500 characters, and no space");
        }
        if text.contains(['#', '?', '\\', '"', '<', '>']) {
            return bad("is an address without `?` and `#`");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return bad("is no address: it looks like `https://api.example.com`");
        };
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return bad("begins with `https://`"),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return bad("has a password in it; send it as `api_key`");
        }
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if host.is_empty() || authority.ends_with(':') {
            return bad("has no host, or no port where one belongs");
        }
        let path = uri.path().trim_end_matches('/');
        if path.ends_with("/v1") || path.ends_with("/v1/messages") {
            return bad("ends before `/v1`, which Claude adds itself");
        }
        // What stands behind the host and is no port is not left out in silence.
        let has_port = uri.host().map(str::len) != Some(authority.len());
        let usual = if is_tls { 443 } else { 80 };
        let port = if has_port {
            uri.port_u16().unwrap_or(0)
        } else {
            usual
        };
        if port == 0 {
            return bad("has no host, or no port where one belongs");
        }
        let base = Self {
            is_tls,
            host,
            port,
            path: path.to_owned(),
        };
        if base.ip().is_some_and(|ip| reach(ip) == Reach::Never) {
            return bad("has an address at which there is no server of an API");
        }
        Ok(base)
    }

    /// Refuses what only who may do everything may have the box ask: what is private, and what sends
    /// the key in the clear.
    ///
    /// # Errors
    /// [`Code::ScopeMissing`].
    pub fn check_for_everybody(&self) -> Result<(), Fault> {
        let refused = |what: &str| {
            let detail = format!("{what}; only who has the scope `*` may set one");
            Err(Fault::new(Code::ScopeMissing, detail))
        };
        if !self.is_tls {
            return refused("`base_url` is not `https`, so the key would travel in the clear");
        }
        let is_local = self.host == "localhost" || self.host.ends_with(".localhost");
        if is_local || self.ip().is_some_and(|ip| reach(ip) == Reach::Private) {
            return refused("`base_url` is in the box or in a private network");
        }
        Ok(())
    }

    /// Whether both lead to one server, whatever is asked there.
    #[must_use]
    pub fn is_same_server(&self, other: &Self) -> bool {
        (self.is_tls, &self.host, self.port) == (other.is_tls, &other.host, other.port)
    }

    fn ip(&self) -> Option<IpAddr> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.parse().ok()
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.is_tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let cases = [
            (
                Reach::Public,
                "1.1.1.1 8.8.8.8 2606:4700::1111 ::ffff:1.1.1.1 64:ff9b::1.1.1.1",
            ),
            (
                Reach::Private,
                "127.0.0.1 127.9.9.9 10.0.0.1 172.31.0.1 192.168.1.1 100.64.0.1 ::1 fd12::1 \
                 ::ffff:10.0.0.1 64:ff9b::10.0.0.1 2002:a00:1::1",
            ),
            (
                Reach::Never,
                "0.0.0.0 0.1.2.3 169.254.169.254 100.100.100.200 224.0.0.1 255.255.255.255 \
                 240.0.0.1 192.0.2.1 198.18.0.1 192.0.0.1 :: fe80::1 ff02::1 fd00:ec2::254 \
                 ::ffff:169.254.169.254 64:ff9b::169.254.169.254 2002:a9fe:a9fe::1 2001:db8::1 \
                 2001::1 ::1.2.3.4 fec0::1",
            ),
        ];
        for (expected, texts) in cases {
            for text in texts.split_whitespace() {
                assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
            }
        }
    }

    #[test]
    fn one_address_has_one_spelling() {
        for (text, known) in [
            ("https://A.Example/", "https://a.example"),
            (
                " https://a.example:443/anthropic// ",
                "https://a.example/anthropic",
            ),
            ("http://10.0.0.1:4000", "http://10.0.0.1:4000"),
            ("http://[::1]:80/x", "http://[::1]/x"),
        ] {
            assert_eq!(Base::parse(text).unwrap().to_string(), known);
        }
    }

    #[test]
    fn what_is_no_place_for_an_api_is_refused() {
        for text in [
            "",
            "a.example",
            "/v1",
            "ftp://a.example",
            "file:///etc/passwd",
            "https://",
            "https://:443",
            "https://user:secret@a.example",
            "https://a.example@b.example",
            "https://a.example?x=1",
            "https://a.example/#x",
            "https://a.example/v1",
            "https://a.example/v1/",
            "https://a.example:0",
            "https://a.example:99999",
            "https://a.example/a b",
            "https://a.example/\r\nx-a: b",
            "http://169.254.169.254/latest",
            "http://[fe80::1]",
            "http://0.0.0.0:8080",
        ] {
            assert_eq!(
                Base::parse(text).unwrap_err().code(),
                Code::BadValue,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_private_or_in_the_clear_is_not_for_everybody() {
        for text in [
            "http://a.example",
            "https://127.0.0.1",
            "https://localhost:4000",
            "https://x.localhost",
            "https://10.1.2.3",
            "https://[fd00::1]",
            "https://[::ffff:10.0.0.1]",
        ] {
            let base = Base::parse(text).unwrap();
            let refused = base.check_for_everybody().unwrap_err();
            assert_eq!(refused.code(), Code::ScopeMissing, "{text}");
        }
        let base = Base::parse("https://a.example").unwrap();
        base.check_for_everybody().unwrap();
    }
}
