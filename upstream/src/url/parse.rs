//! Reads a proxy URL. It is strict where a lenient parser would guess where a password ends.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::fault::UpstreamFault;
use super::parts::{Credentials, Endpoint, Host, Scheme, Upstream};
use crate::secret::Secret;

/// The most octets of a user or password: RFC 1929 gives each one length octet.
const CREDENTIAL_MAX: usize = 255;

impl Upstream {
    /// Reads a proxy URL: `scheme://[user[:password]@]host:port`.
    ///
    /// White space around it is dropped (files end in a newline), and one trailing `/` is
    /// taken for nothing. The port has no default: curl takes 1080 where others take 80, 3128
    /// or 8080, and the port opened in the firewall must be the one that was meant.
    ///
    /// # Errors
    ///
    /// An [`UpstreamFault`], which names the variable and the remedy and quotes nothing that
    /// could be a part of a password.
    pub fn parse(url: &str) -> Result<Self, UpstreamFault> {
        upstream(url)
    }
}

fn upstream(url: &str) -> Result<Upstream, UpstreamFault> {
    let url = url.trim_ascii();
    if url.is_empty() {
        return Err(UpstreamFault::Empty);
    }
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(UpstreamFault::Blank);
    }
    let (scheme, rest) = split_scheme(url)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // An `@` this late means that the `/`, `?` or `#` before it belongs to a password.
    if tail.contains('@') {
        return Err(UpstreamFault::Unencoded);
    }
    let (userinfo, address) = match authority.rsplit_once('@') {
        Some((userinfo, address)) => (Some(userinfo), address),
        None => (None, authority),
    };
    let credentials = userinfo
        .map(|userinfo| credentials(scheme, userinfo))
        .transpose()?;
    let endpoint = endpoint(address)?;
    match tail.bytes().next() {
        Some(b'?') => return Err(UpstreamFault::Query),
        Some(b'#') => return Err(UpstreamFault::Fragment),
        Some(_) if tail != "/" => return Err(UpstreamFault::Path),
        _ => {}
    }
    Ok(Upstream {
        scheme,
        endpoint,
        credentials,
    })
}

fn split_scheme(url: &str) -> Result<(Scheme, &str), UpstreamFault> {
    let (scheme, rest) = url.split_once("://").ok_or(UpstreamFault::NoScheme)?;
    let wellformed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !wellformed {
        return Err(UpstreamFault::NoScheme);
    }
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "socks5" | "socks5h" => Scheme::Socks5,
        "socks4" | "socks4a" => Scheme::Socks4,
        "http" => Scheme::Http,
        "https" => return Err(UpstreamFault::Https),
        unknown => {
            return Err(UpstreamFault::UnknownScheme {
                scheme: unknown.to_owned(),
            });
        }
    };
    Ok((scheme, rest))
}

fn credentials(scheme: Scheme, userinfo: &str) -> Result<Credentials, UpstreamFault> {
    if userinfo.contains('@') {
        return Err(UpstreamFault::Unencoded);
    }
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    let user = decode("user", user)?;
    if user.is_empty() {
        return Err(UpstreamFault::NoUser);
    }
    let password = password
        .map(|password| decode("password", password))
        .transpose()?;
    match scheme {
        Scheme::Socks4 if password.is_some() => return Err(UpstreamFault::Socks4Password),
        Scheme::Http if user.expose().contains(&b':') => return Err(UpstreamFault::ColonInUser),
        _ => {}
    }
    let password = password.unwrap_or_else(|| Secret::new(Vec::new()));
    Ok(Credentials { user, password })
}

/// Undoes percent-encoding, and refuses what the usual lenient decoders pass through.
fn decode(part: &'static str, text: &str) -> Result<Secret, UpstreamFault> {
    // The whole capacity at once: a vector that grows leaves a copy of the password behind.
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        match (high, low) {
            (Some(high), Some(low)) => bytes.push((high << 4 | low) as u8),
            _ => return Err(UpstreamFault::Percent),
        }
    }
    let secret = Secret::new(bytes);
    if secret.expose().contains(&0) {
        return Err(UpstreamFault::Zero);
    }
    if secret.len() > CREDENTIAL_MAX {
        return Err(UpstreamFault::TooLong { part });
    }
    Ok(secret)
}

fn endpoint(text: &str) -> Result<Endpoint, UpstreamFault> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']').ok_or(UpstreamFault::BadHost)?;
        let host = v6(address)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port,
            None if rest.is_empty() => return Err(UpstreamFault::NoPort),
            None => return Err(UpstreamFault::BadHost),
        };
        return Ok(Endpoint {
            host,
            port: number(port)?,
        });
    }
    if text.matches(':').count() > 1 {
        let like_v6 = text
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b":.%".contains(&b));
        return Err(if like_v6 {
            UpstreamFault::Unbracketed
        } else {
            UpstreamFault::BadHost
        });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err(UpstreamFault::NoHost);
    }
    let host = name_or_v4(host)?;
    let port = number(port.ok_or(UpstreamFault::NoPort)?)?;
    Ok(Endpoint { host, port })
}

fn number(port: &str) -> Result<u16, UpstreamFault> {
    if port.is_empty() {
        return Err(UpstreamFault::NoPort);
    }
    // `u16::from_str` would take a leading plus sign.
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UpstreamFault::BadPort);
    }
    match port.parse() {
        Ok(0) | Err(_) => Err(UpstreamFault::BadPort),
        Ok(port) => Ok(port),
    }
}

fn v6(text: &str) -> Result<Host, UpstreamFault> {
    if text.contains('%') {
        return Err(UpstreamFault::LinkLocal);
    }
    let address: Ipv6Addr = text.parse().map_err(|_| UpstreamFault::BadHost)?;
    if let Some(v4) = address.to_ipv4_mapped() {
        return routable_v4(v4);
    }
    if address.is_unicast_link_local() {
        return Err(UpstreamFault::LinkLocal);
    }
    if address.is_unspecified() || address.is_multicast() {
        return Err(UpstreamFault::Unroutable);
    }
    Ok(Host::V6(address))
}

fn routable_v4(address: Ipv4Addr) -> Result<Host, UpstreamFault> {
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        return Err(UpstreamFault::Unroutable);
    }
    Ok(Host::V4(address))
}

fn name_or_v4(text: &str) -> Result<Host, UpstreamFault> {
    if !text.is_ascii() {
        return Err(UpstreamFault::NotAscii);
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return routable_v4(address);
    }
    if !is_host_name(text) {
        return Err(UpstreamFault::BadHost);
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

/// Whether a text can be a host name: at most 253 characters, labels of 1 to 63 letters,
/// digits, hyphens and underscores, and a last label that is not a number, because `127.1`
/// and `0x7f.1` are addresses to some programs and names to others.
#[must_use]
pub fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && !numeric && name.split('.').all(label)
}
