use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::secret::Secret;

fn fault(url: &str) -> UpstreamFault {
    Upstream::parse(url).expect_err(url)
}

fn parsed(url: &str) -> Upstream {
    Upstream::parse(url).expect(url)
}

#[test]
fn each_scheme_is_read() {
    for (url, scheme) in [
        ("socks5://proxy.example:1080", Scheme::Socks5),
        ("SOCKS5H://proxy.example:1080", Scheme::Socks5),
        ("socks4://proxy.example:1080", Scheme::Socks4),
        ("socks4a://proxy.example:1080/", Scheme::Socks4),
        ("http://proxy.example:3128\n", Scheme::Http),
    ] {
        let upstream = parsed(url);
        assert_eq!(upstream.scheme(), scheme, "{url}");
        assert_eq!(
            upstream.host(),
            &Host::Name("proxy.example".into()),
            "{url}"
        );
    }
}

#[test]
fn an_at_and_a_colon_in_a_password_survive_their_encoding() {
    let upstream = parsed("socks5://us%65r:p%40ss%3Aword%25@10.0.0.1:1080");
    let credentials = upstream.credentials().unwrap();
    assert_eq!(credentials.user.expose(), b"user");
    assert_eq!(credentials.password.expose(), b"p@ss:word%");
}

#[test]
fn an_ipv6_literal_is_read_and_written_in_brackets() {
    let upstream = parsed("socks5://user:pw@[2001:DB8::1]:1080");
    assert_eq!(upstream.host(), &Host::V6("2001:db8::1".parse().unwrap()));
    assert_eq!(upstream.endpoint().to_string(), "[2001:db8::1]:1080");
    assert_eq!(
        parsed("http://[::ffff:192.0.2.1]:80").host().to_string(),
        "192.0.2.1"
    );
}

#[test]
fn a_url_that_cannot_be_used_gets_its_own_fault() {
    use UpstreamFault as F;
    let long = format!("socks5://u:{}@h:1", "p".repeat(256));
    for (url, expected) in [
        (" \n", F::Empty),
        ("socks5://pro xy:1080", F::Blank),
        ("proxy.example:1080", F::NoScheme),
        ("user:pw@proxy.example:1080", F::NoScheme),
        ("://proxy:1", F::NoScheme),
        (
            "socks://proxy:1",
            F::UnknownScheme {
                scheme: "socks".into(),
            },
        ),
        ("https://proxy:443", F::Https),
        ("socks5://", F::NoHost),
        ("socks5://:1080", F::NoHost),
        ("socks5://user:pw@:1080", F::NoHost),
        ("socks5://proxy", F::NoPort),
        ("socks5://proxy:", F::NoPort),
        ("socks5://[2001:db8::1]", F::NoPort),
        ("socks5://proxy:0", F::BadPort),
        ("socks5://proxy:65536", F::BadPort),
        ("socks5://proxy:+80", F::BadPort),
        ("socks5://user:hunter2", F::BadPort),
        ("socks5://2001:db8::1:1080", F::Unbracketed),
        ("socks5://proxy:10:80", F::BadHost),
        ("socks5://[proxy]:1080", F::BadHost),
        ("socks5://[::1]x:1080", F::BadHost),
        ("socks5://pr%6fxy:1080", F::BadHost),
        ("socks5://proxy..example:1080", F::BadHost),
        ("socks5://127.1:1080", F::BadHost),
        ("socks5://300.1.1.1:1080", F::BadHost),
        ("socks5://prøxy:1080", F::NotAscii),
        ("socks5://[fe80::1%25eth0]:1080", F::LinkLocal),
        ("socks5://[fe80::1]:1080", F::LinkLocal),
        ("socks5://0.0.0.0:1080", F::Unroutable),
        ("socks5://[::]:1080", F::Unroutable),
        ("socks5://224.0.0.1:1080", F::Unroutable),
        ("socks5://user:p@ss@proxy:1080", F::Unencoded),
        ("socks5://user:p/ss@proxy:1080", F::Unencoded),
        ("socks5://user:p#ss@proxy:1080", F::Unencoded),
        ("socks5://user:p%4@proxy:1080", F::Percent),
        ("socks5://user:100%@proxy:1080", F::Percent),
        ("socks5://user:a%00b@proxy:1080", F::Zero),
        ("socks5://:pw@proxy:1080", F::NoUser),
        ("socks5://@proxy:1080", F::NoUser),
        (long.as_str(), F::TooLong { part: "password" }),
        ("socks4://user:pw@proxy:1080", F::Socks4Password),
        ("http://us%3Aer:pw@proxy:3128", F::ColonInUser),
        ("socks5://proxy:1080/path", F::Path),
        ("socks5://proxy:1080?query", F::Query),
        ("socks5://proxy:1080#fragment", F::Fragment),
    ] {
        let fault = fault(url);
        assert_eq!(fault, expected, "{url}");
        assert!(fault.to_string().starts_with(VARIABLE), "{fault}");
    }
}

#[test]
fn display_and_debug_hide_the_credentials() {
    let upstream = parsed("socks5://hunter1:hunter2@proxy.example:1080");
    assert_eq!(upstream.to_string(), "socks5://***@proxy.example:1080");
    let debug = format!("{upstream:?}");
    assert!(!debug.contains("hunter"), "{debug}");
}

#[test]
fn a_loopback_upstream_is_recognised() {
    for url in [
        "http://localhost:1",
        "http://127.0.0.2:1",
        "http://[::1]:1",
        "http://a.localhost.:1",
    ] {
        assert!(parsed(url).is_loopback(), "{url}");
    }
    assert!(!parsed("http://localhost.example:1").is_loopback());
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        "[a-z][a-z0-9_-]{0,20}(\\.[a-z][a-z0-9-]{0,10}){0,3}\\.?".prop_map(Host::Name),
        any::<Ipv4Addr>()
            .prop_filter("routable", |a| {
                !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast()
            })
            .prop_map(Host::V4),
        any::<Ipv6Addr>()
            .prop_filter("routable", |a| {
                !a.is_unspecified()
                    && !a.is_multicast()
                    && !a.is_unicast_link_local()
                    && a.to_ipv4_mapped().is_none()
            })
            .prop_map(Host::V6),
    ]
}

fn octets(least: usize) -> impl Strategy<Value = Secret> {
    vec(1_u8..=255, least..=255).prop_map(Secret::new)
}

prop_compose! {
    fn any_upstream()(
        scheme in prop_oneof![Just(Scheme::Socks5), Just(Scheme::Socks4), Just(Scheme::Http)],
        host in host(),
        port in 1..=u16::MAX,
        credentials in option::of((octets(1), octets(0))),
    ) -> Upstream {
        let credentials = credentials.map(|(user, password)| match scheme {
            Scheme::Socks5 => Credentials { user, password },
            Scheme::Socks4 => Credentials { user, password: Secret::new(Vec::new()) },
            Scheme::Http => {
                let user = user.expose().iter().map(|&b| if b == b':' { b';' } else { b });
                Credentials { user: Secret::new(user.collect()), password }
            }
        });
        Upstream { scheme, endpoint: Endpoint { host, port }, credentials }
    }
}

proptest! {
    #[test]
    fn a_url_parses_to_the_upstream_it_was_made_from(upstream in any_upstream()) {
        prop_assert_eq!(Upstream::parse(&upstream.to_url()).unwrap(), upstream);
    }

    #[test]
    fn no_fault_repeats_a_part_of_the_credentials(
        secret in "[A-Z]{2}[0-9][A-Za-z0-9!@:/?#%\\[\\].-]{3,12}",
        shape in 0..6_usize,
    ) {
        let url = match shape {
            0 => format!("socks5://user:{secret}@proxy:1080"),
            1 => format!("socks5://{secret}@proxy"),
            2 => format!("socks5://user:{secret}"),
            3 => format!("user:{secret}@proxy:1080"),
            4 => format!("socks5://{secret}:{secret}@proxy:0"),
            _ => format!("socks4://user:{secret}@[::1]:1/"),
        };
        if let Err(fault) = Upstream::parse(&url) {
            let shown = format!("{fault} {fault:?}");
            prop_assert!(!shown.contains(&secret[..3]), "{}", shown);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,60}") {
        let _ = Upstream::parse(&text);
    }
}
