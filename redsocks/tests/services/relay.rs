//! The relay to an upstream that the redirector cannot reach.

use cib_redsocks::client::{Dialer, Timeouts};
use cib_redsocks::relay::{self, RelayConfig};
use cib_redsocks::upstream::Upstream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Resolver, config};
use crate::world::{World, own_address};

#[tokio::test]
async fn bytes_pass_both_ways_to_an_ipv6_upstream_until_each_side_has_ended() {
    let upstream = TcpListener::bind("[::1]:0").await.unwrap();
    let port = upstream.local_addr().unwrap().port();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        stream
            .write_all(heard.to_uppercase().as_bytes())
            .await
            .unwrap();
    });
    let world = World::start().await;
    let mut config = config(&world, "192.0.2.53");
    config.upstream = Upstream::parse(&format!("socks5://[::1]:{port}")).unwrap();
    config.addresses = vec!["::1".parse().unwrap()];
    let listen = (own_address(), relay::RELAY_PORT).into();
    config.relay = Some(RelayConfig {
        listen,
        connections: 4,
    });
    let _resolver = Resolver::start(config).await;
    let mut stream = TcpStream::connect(listen).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "HELLO");
    echo.await.unwrap();
}

#[tokio::test]
async fn a_dead_upstream_ends_the_connection_at_once() {
    let upstream = Upstream::parse("socks5://[::1]:1").unwrap();
    let dialer = Dialer::new(upstream, ["::1".parse().unwrap()], Timeouts::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    tokio::spawn(relay::serve(listener, dialer.into(), 4));
    let mut stream = TcpStream::connect(listen).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}
