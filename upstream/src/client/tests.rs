use std::net::IpAddr;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const LIMITS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    greeting: Duration::from_secs(5),
    handshake: Duration::from_secs(5),
};

/// One exchange of a scripted proxy: what it must be sent, and what it answers.
struct Exchange(&'static [u8], &'static [u8]);

/// A proxy that plays its exchanges once, then says `hello` as a target that speaks first would,
/// in the same breath as its last answer, and closes. It panics on any other byte.
async fn scripted(exchanges: Vec<Exchange>) -> (IpAddr, u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let last = exchanges.len().saturating_sub(1);
        for (place, Exchange(expected, answer)) in exchanges.into_iter().enumerate() {
            let mut heard = vec![0; expected.len()];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(
                String::from_utf8_lossy(&heard),
                String::from_utf8_lossy(expected)
            );
            let mut answer = answer.to_vec();
            if place == last {
                answer.extend_from_slice(b"hello");
            }
            stream.write_all(&answer).await.unwrap();
        }
    });
    (address.ip(), address.port(), task)
}

async fn dial(
    scheme: &str,
    userinfo: &str,
    target: &str,
    exchanges: Vec<Exchange>,
) -> Result<String, DialError> {
    let (ip, port, proxy) = scripted(exchanges).await;
    let upstream = Upstream::parse(&format!("{scheme}://{userinfo}{ip}:{port}")).unwrap();
    let dialer = Dialer::new(upstream, [ip], LIMITS);
    let mut stream = dialer.connect(&target.parse().unwrap()).await?;
    proxy.await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    Ok(heard)
}

/// What a stranger at one of the upstream's addresses hears of us, and what we make of it.
async fn acquaintance(url: &str, answer: &'static [u8]) -> (Vec<u8>, Result<(), DialError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stranger = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 4096];
        let length = stream.read(&mut heard).await.unwrap();
        heard.truncate(length);
        stream.write_all(answer).await.unwrap();
        // Until the other side has hung up.
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let upstream = Upstream::parse(&format!("{url}{address}")).unwrap();
    let dialer = Dialer::new(upstream, [address.ip()], LIMITS);
    let target = "192.0.2.53:53".parse().unwrap();
    let met = dialer.greet_anonymously(&target).await;
    (stranger.await.unwrap(), met)
}

#[tokio::test]
async fn an_address_of_which_nothing_is_known_is_told_no_secret() {
    let proxies: [(&str, &'static [u8]); 5] = [
        ("socks5://hunter1:hunter2@", b"\x05\x02"),
        ("socks5://", b"\x05\x00"),
        (
            "http://hunter1:hunter2@",
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        ),
        ("http://", b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        ("socks4://hunter1@", b"\x00\x5d\x00\x00\x00\x00\x00\x00"),
    ];
    for (url, answer) in proxies {
        let (heard, met) = acquaintance(url, answer).await;
        met.unwrap_or_else(|error| panic!("{url}: {error}"));
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(!heard.contains("hunter"), "{url}: {heard}");
        assert!(!heard.contains("uthorization"), "{url}: {heard}");
    }
}

#[tokio::test]
async fn what_answers_as_no_proxy_does_is_none() {
    let others: [(&str, &'static [u8]); 5] = [
        ("socks5://u:p@", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("socks5://", b"\x05\xff"),
        ("http://u:p@", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("http://u:p@", b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        ("http://", b"HTTP/1.1 404 Not Found\r\n\r\n"),
    ];
    for (url, answer) in others {
        let (_, met) = acquaintance(url, answer).await;
        assert!(met.is_err(), "{url} {}", String::from_utf8_lossy(answer));
    }
}

const GREETED: Exchange = Exchange(b"\x05\x01\x00", b"\x05\x00");

#[tokio::test]
async fn socks5_carries_a_name_and_leaves_what_the_target_says() {
    let ask = Exchange(
        b"\x05\x01\x00\x03\x0bexample.org\x01\xbb",
        b"\x05\x00\x00\x03\x04host\x00\x50",
    );
    assert_eq!(
        dial("socks5", "", "example.org:443", vec![GREETED, ask])
            .await
            .unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn socks5_carries_both_kinds_of_address() {
    let v4 = Exchange(
        b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
        b"\x05\x00\x00\x01\0\0\0\0\0\0",
    );
    assert_eq!(
        dial("socks5", "", "192.0.2.1:80", vec![GREETED, v4])
            .await
            .unwrap(),
        "hello"
    );
    let v6 = Exchange(
        b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50",
        b"\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    assert_eq!(
        dial("socks5", "", "[2001:db8::1]:80", vec![GREETED, v6])
            .await
            .unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn socks5_proves_who_it_is_only_when_asked_to() {
    let offered = Exchange(b"\x05\x02\x00\x02", b"\x05\x02");
    let proof = Exchange(b"\x01\x02me\x03p@s", b"\x01\x00");
    let ask = Exchange(
        b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
        b"\x05\x00\x00\x01\0\0\0\0\0\0",
    );
    let exchanges = vec![offered, proof, ask];
    assert_eq!(
        dial("socks5", "me:p%40s@", "192.0.2.1:80", exchanges)
            .await
            .unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn each_way_of_socks5_to_say_no_is_told_apart() {
    let proof = |verdict| Exchange(b"\x01\x02me\x02pw", verdict);
    let offered = |choice| Exchange(b"\x05\x02\x00\x02", choice);
    let refused = dial(
        "socks5",
        "me:pw@",
        "a:1",
        vec![offered(b"\x05\x02"), proof(b"\x01\x01")],
    )
    .await;
    assert!(
        matches!(refused, Err(DialError::AuthRefused { .. })),
        "{refused:?}"
    );
    let none = dial("socks5", "me:pw@", "a:1", vec![offered(b"\x05\xff")]).await;
    assert!(
        matches!(none, Err(DialError::AuthRefused { .. })),
        "{none:?}"
    );
    for choice in [b"\x05\xff", b"\x05\x02"] {
        let wanted = dial("socks5", "", "a:1", vec![Exchange(b"\x05\x01\x00", choice)]).await;
        assert!(
            matches!(wanted, Err(DialError::AuthRequired { .. })),
            "{wanted:?}"
        );
    }
    let stranger = dial(
        "socks5",
        "",
        "a:1",
        vec![Exchange(b"\x05\x01\x00", b"SSH-2.0-")],
    )
    .await;
    assert!(
        matches!(stranger, Err(DialError::NotAProxy { .. })),
        "{stranger:?}"
    );
    for (reply, refusal) in [
        (b"\x05\x01\x00\x01", Refusal::General),
        (b"\x05\x02\x00\x01", Refusal::Ruleset),
        (b"\x05\x03\x00\x01", Refusal::NetworkUnreachable),
        (b"\x05\x04\x00\x01", Refusal::HostUnreachable),
        (b"\x05\x05\x00\x01", Refusal::ConnectionRefused),
        (b"\x05\x06\x00\x01", Refusal::TtlExpired),
        (b"\x05\x07\x00\x01", Refusal::CommandUnsupported),
        (b"\x05\x08\x00\x01", Refusal::AddressUnsupported),
        (b"\x05\x5b\x00\x01", Refusal::Unknown(0x5b)),
    ] {
        let ask = Exchange(b"\x05\x01\x00\x03\x01a\x00\x01", reply);
        let error = dial("socks5", "", "a:1", vec![GREETED, ask])
            .await
            .unwrap_err();
        let DialError::Refused { refusal: given, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*given, refusal);
        assert!(!error.is_upstream_down(), "another target may do better");
    }
}

#[tokio::test]
async fn socks4_carries_an_address_or_with_4a_a_name() {
    let v4 = Exchange(
        b"\x04\x01\x00\x50\xc0\x00\x02\x01me\x00",
        b"\x00\x5a\0\0\0\0\0\0",
    );
    assert_eq!(
        dial("socks4", "me@", "192.0.2.1:80", vec![v4])
            .await
            .unwrap(),
        "hello"
    );
    let name = Exchange(
        b"\x04\x01\x00\x50\0\0\0\x01\x00example.org\x00",
        b"\x00\x5a\0\0\0\0\0\0",
    );
    assert_eq!(
        dial("socks4", "", "example.org:80", vec![name])
            .await
            .unwrap(),
        "hello"
    );
    let v6 = dial("socks4", "", "[2001:db8::1]:80", vec![]).await;
    assert!(matches!(v6, Err(DialError::Inexpressible { .. })), "{v6:?}");
    let rejected = Exchange(
        b"\x04\x01\x00\x01\0\0\0\x01\x00a\x00",
        b"\x00\x5b\0\0\0\0\0\0",
    );
    let error = dial("socks4", "", "a:1", vec![rejected]).await.unwrap_err();
    assert!(
        matches!(
            error,
            DialError::Refused {
                refusal: Refusal::Socks4,
                ..
            }
        ),
        "{error:?}"
    );
}

const CONNECT: &[u8] = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n";

#[tokio::test]
async fn http_connects_with_credentials_and_leaves_what_the_target_says() {
    let ask = Exchange(
        b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\
          Proxy-Authorization: Basic bWU6cDpA\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n",
    );
    assert_eq!(
        dial("http", "me:p:%40@", "a.example:443", vec![ask])
            .await
            .unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn each_way_of_http_to_say_no_is_told_apart() {
    let answered = async |userinfo: &str, answer| {
        let exchanges = vec![Exchange(CONNECT, answer)];
        dial("http", userinfo, "a.example:443", exchanges)
            .await
            .unwrap_err()
    };
    let error = answered("", b"HTTP/1.1 407 Who are you\r\n\r\n").await;
    assert!(matches!(error, DialError::AuthRequired { .. }), "{error:?}");
    let error = answered("me:no@", b"HTTP/1.1 407 Not you\r\n\r\n").await;
    assert!(matches!(error, DialError::AuthRefused { .. }), "{error:?}");
    let error = answered("", b"HTTP/1.1 403 Forbidden\n\n").await;
    assert!(
        matches!(
            error,
            DialError::Refused {
                refusal: Refusal::Http(403),
                ..
            }
        ),
        "{error:?}"
    );
    let error = answered("", b"SSH-2.0-OpenSSH_9.2\r\n").await;
    assert!(matches!(error, DialError::NotAProxy { .. }), "{error:?}");
}

#[tokio::test]
async fn an_endless_head_is_no_answer() {
    let endless: &[u8] = Vec::leak(b"HTTP/1.1 200 OK\r\n".repeat(2000));
    let error = dial(
        "http",
        "",
        "a.example:443",
        vec![Exchange(CONNECT, endless)],
    )
    .await
    .unwrap_err();
    assert!(matches!(error, DialError::NotAProxy { .. }), "{error:?}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_keeps_silent_counts_as_down() {
    let target: Target = "a.example:443".parse().unwrap();
    let ip: IpAddr = "127.0.0.1".parse().unwrap();
    let upstream = Upstream::parse("socks5://hunter1:hunter2@127.0.0.1:1").unwrap();
    let nobody = Dialer::new(upstream, [ip], LIMITS)
        .connect(&target)
        .await
        .unwrap_err();
    assert!(
        matches!(nobody, DialError::Unreachable { .. }),
        "{nobody:?}"
    );
    assert!(nobody.is_upstream_down());
    assert!(nobody.to_string().contains("127.0.0.1:1") && !nobody.to_string().contains("hunter"));

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let upstream = Upstream::parse(&format!("socks5://127.0.0.1:{port}")).unwrap();
    let limits = Timeouts {
        greeting: Duration::from_millis(50),
        ..LIMITS
    };
    let error = Dialer::new(upstream, [ip], limits)
        .connect(&target)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            DialError::TimedOut {
                stage: Stage::Greeting,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.is_upstream_down());
}

#[tokio::test]
async fn the_next_pinned_address_is_tried_and_remembered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = Upstream::parse(&format!("socks5://proxy.example:{port}")).unwrap();
    // Nothing listens on the second loopback address.
    let pinned = ["127.0.0.2", "127.0.0.1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let dialer = Dialer::new(upstream, pinned, LIMITS);
    dialer.reach().await.unwrap();
    assert_eq!(dialer.good.load(Ordering::Relaxed), 1);
    dialer.reach().await.unwrap();
}

proptest! {
    #[test]
    fn any_text_is_a_target_or_none_and_a_target_is_read_back(text in ".{0,40}") {
        if let Ok(target) = text.parse::<Target>() {
            prop_assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        }
    }
}
