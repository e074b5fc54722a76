//! The real redsocks with what we write for it.

use std::net::SocketAddr;

use cib_redsocks::selftest::{EchoFault, TARGET, token_echo};
use cib_redsocks::{Redsocks, next_hop};
use cib_testkit::socks::Kind;
use cib_upstream::Upstream;
use cib_upstream::relay::RELAY_PORT;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use crate::lab::{FROM, LISTEN, Lab, PASSWORD, PROXY, PROXY_PORT, SOON, pinned, within};
use crate::world::{read_head, serve, web};

fn direct(upstream: &Upstream) -> SocketAddr {
    next_hop(
        &Redsocks::default(),
        &[pinned()],
        upstream.port(),
        RELAY_PORT,
    )
    .address()
}

#[test]
fn tcp_goes_through_dante_with_a_password_full_of_punctuation() {
    let lab = Lab::new();
    let visitors = web(&lab);
    let (_dante, upstream) = lab.socks(Kind::Dante, Some(PASSWORD));
    let _redsocks = lab.redsocks(&upstream, direct(&upstream));
    assert_eq!(lab.fetch().as_deref(), Ok("page"));
    assert_eq!(
        visitors.all(),
        [FROM],
        "nobody but the upstream comes to the web server"
    );
}

#[test]
fn tcp_goes_through_microsocks_with_a_password_full_of_punctuation() {
    let lab = Lab::new();
    let visitors = web(&lab);
    let (_microsocks, upstream) = lab.socks(Kind::Microsocks, Some(PASSWORD));
    let _redsocks = lab.redsocks(&upstream, direct(&upstream));
    assert_eq!(lab.fetch().as_deref(), Ok("page"));
    assert_eq!(visitors.all(), [FROM]);
}

#[test]
fn tcp_goes_through_dante_by_socks4() {
    let lab = Lab::new();
    let visitors = web(&lab);
    let (_dante, _) = lab.socks(Kind::Dante, None);
    let upstream = Upstream::parse(&format!("socks4://{PROXY}:{PROXY_PORT}")).unwrap();
    let _redsocks = lab.redsocks(&upstream, direct(&upstream));
    assert_eq!(lab.fetch().as_deref(), Ok("page"));
    assert_eq!(visitors.all(), [FROM]);
}

#[test]
fn tcp_goes_through_an_http_proxy_that_wants_a_password() {
    let lab = Lab::new();
    web(&lab);
    // redsocks shows its credentials only after it was asked for them.
    let proxy = serve(&lab, (PROXY, 3128).into(), |mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            if !head.contains("Proxy-Authorization: Basic Ym94OnA6cSI=\r\n") {
                let wanted =
                    b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                    Content-Length: 0\r\n\r\n";
                stream.write_all(wanted).await.unwrap();
                continue;
            }
            let target = head.split(' ').nth(1).unwrap();
            let mut far = TcpStream::connect(target.parse::<SocketAddr>().unwrap())
                .await
                .unwrap();
            stream
                .write_all(b"HTTP/1.1 200 Go on\r\n\r\n")
                .await
                .unwrap();
            let _ = copy_bidirectional(&mut stream, &mut far).await;
            return;
        }
    });
    let upstream = Upstream::parse(&format!("http://box:p:q%22@{PROXY}:3128")).unwrap();
    let _redsocks = lab.redsocks(&upstream, direct(&upstream));
    assert_eq!(lab.fetch().as_deref(), Ok("page"));
    assert!(!proxy.all().is_empty());
}

#[test]
fn the_token_comes_back_where_the_redirect_stands_and_nowhere_else() {
    let lab = Lab::new();
    let proved = within(&lab.inside, || {
        token_echo(LISTEN.into(), TARGET.into(), SOON)
    });
    assert!(proved.is_ok(), "{proved:?}");
    let elsewhere = (LISTEN.ip().to_owned(), 12399).into();
    let fault = within(&lab.inside, move || {
        token_echo(elsewhere, TARGET.into(), SOON)
    });
    assert!(
        matches!(fault, Err(EchoFault::NotRedirected { .. })),
        "{fault:?}"
    );
}

#[test]
fn the_system_tells_that_redsocks_listens() {
    let lab = Lab::new();
    let upstream = Upstream::parse(&format!("socks5://{PROXY}:{PROXY_PORT}")).unwrap();
    let redsocks = lab.redsocks(&upstream, direct(&upstream));
    // Of the namespace of whoever asks: here this test's own, where nobody listens.
    assert_eq!(cib_redsocks::listener(LISTEN).unwrap(), None);
    let mut command = lab.inside.command("cat");
    command.arg("/proc/self/net/tcp");
    let table = cib_testkit::process::run(command).unwrap();
    assert!(table.contains("0100007F:3039"), "{table}");
    assert!(
        !redsocks.output().contains("error"),
        "{}",
        redsocks.output()
    );
}
