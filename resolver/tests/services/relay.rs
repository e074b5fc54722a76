//! The relay as a part of the resolver.

use cib_upstream::Upstream;
use cib_upstream::relay::{RELAY_PORT, RelayConfig};
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
    let listen = (own_address(), RELAY_PORT).into();
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
