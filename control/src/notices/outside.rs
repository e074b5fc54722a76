//! What control asks of others outside of the box, and whom it may ask.
//!
//! An address is given by a person and reached by the box, which may stand where that person does
//! not: so private addresses are refused unless the box is told otherwise. What a name leads to is
//! looked at after it was looked up, and that very address is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use cib_base::errors::chain;
use cib_https::{Client, HttpsError, Options};
use http::header::RETRY_AFTER;
use http::{Request, Response, Uri};

/// How long a request may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes of an answer that are read.
const MOST: usize = 64 << 10;

/// How long a server may hold a request back that asks for news.
pub(super) const LONG_POLL: Duration = Duration::from_secs(50);

/// Bytes of an answer to that.
const MOST_NEWS: usize = 4 << 20;

/// Bytes of an address.
const MAX_URL: usize = 2000;

/// Characters of an answer that are kept.
const MAX_WORDS: usize = 200;

/// Why something was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may be taken later, after so long at least.
    Later(String, Option<Duration>),
    /// It will never be taken.
    Never(String),
    /// Nothing will be taken any more.
    Over(String),
}

/// The way out.
#[derive(Debug)]
pub(super) struct Outside {
    client: Client,
    news: Client,
    allows_private: bool,
}

impl Outside {
    pub(super) fn new(allows_private: bool, bundle: PathBuf, bridge: Option<SocketAddr>) -> Self {
        let permits = if allows_private {
            |_: IpAddr| true
        } else {
            is_public
        };
        let options = Options {
            patience: PATIENCE,
            most: MOST,
            permits,
            bundle,
            bridge,
            ..Options::default()
        };
        let news = Options {
            patience: LONG_POLL + PATIENCE,
            most: MOST_NEWS,
            ..options.clone()
        };
        Self {
            client: Client::new(options),
            news: Client::new(news),
            allows_private,
        }
    }

    /// Sends a request.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        self.client
            .send(request)
            .await
            .map_err(|error| refusal(&error))
    }

    /// Sends a request that a server may hold back.
    pub(super) async fn wait(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        self.news
            .send(request)
            .await
            .map_err(|error| refusal(&error))
    }

    /// The client, for what speaks something else than HTTP.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether an address may be given at all. What a name in it leads to is seen when it is used.
    pub(super) fn check(&self, url: &str) -> Result<(), String> {
        if url.len() > MAX_URL {
            return Err(format!("has more than {MAX_URL} bytes"));
        }
        let uri: Uri = url.parse().map_err(|_| "is no address".to_owned())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("is no address of http or https".to_owned());
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err("has a user or a password in it, which is not sent".to_owned());
        }
        self.check_host(uri.host().unwrap_or_default())
    }

    /// Whether a host may be given.
    pub(super) fn check_host(&self, host: &str) -> Result<(), String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            return Err("names no host".to_owned());
        }
        let is_private = match bare.parse::<IpAddr>() {
            Ok(ip) => !is_public(ip),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        };
        if is_private && !self.allows_private {
            return Err(
                "leads to a private address; CIB_WEBHOOK_PRIVATE=1 lets the box call those"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// What a status says.
pub(super) fn answered(answer: &Response<Bytes>) -> Result<(), Refusal> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let seconds = answer.headers().get(RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
    let words: String = String::from_utf8_lossy(answer.body())
        .chars()
        .filter(|letter| !letter.is_control())
        .take(MAX_WORDS)
        .collect();
    let said = format!("it answered {} {words}", status.as_u16());
    Err(Refusal::Later(
        said.trim_end().to_owned(),
        seconds.map(Duration::from_secs),
    ))
}

/// What an error says. One that a private address was refused for names the remedy.
fn refusal(error: &HttpsError) -> Refusal {
    match error {
        HttpsError::Forbidden { .. } => Refusal::Later(
            format!("{error}; CIB_WEBHOOK_PRIVATE=1 lets the box call private addresses"),
            None,
        ),
        error => Refusal::Later(chain(error), None),
    }
}

/// Whether an address is one of the public network.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// By the registry of special addresses (RFC 6890 and after it).
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let words = ip.segments();
    let low = Ipv4Addr::from((u32::from(words[6]) << 16) | u32::from(words[7]));
    match words {
        // An address of IPv4 in another spelling.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(low),
        [0x2002, high, lower, ..] => {
            is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(lower)))
        }
        [0x2001, 0x0db8, ..] | [0x2001, 0..=0x01ff, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // All that is given out stands in here.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_public_network_is_private_in_every_spelling() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn an_address_is_refused_that_leads_nowhere_or_to_the_box_itself() {
        let outside = |allows_private| Outside::new(allows_private, PathBuf::new(), None);
        let (closed, open) = (outside(false), outside(true));
        for bad in [
            "",
            "example.com/x",
            "ftp://example.com/",
            "file:///etc/passwd",
            "http:///x",
            "https://user:secret@example.com/",
        ] {
            assert!(open.check(bad).is_err(), "{bad}");
        }
        for private in [
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://localhost/",
            "http://x.LOCALHOST./",
            "http://169.254.169.254/latest",
        ] {
            let why = closed.check(private).unwrap_err();
            assert!(why.contains("CIB_WEBHOOK_PRIVATE"), "{private}: {why}");
            assert_eq!(open.check(private), Ok(()), "{private}");
        }
        assert_eq!(closed.check("https://example.com/hook?x=1"), Ok(()));
    }
}
