//! The relay to an upstream that the redirector cannot reach.

use cib_upstream::Upstream;
use cib_upstream::client::{Dialer, Timeouts};
use cib_upstream::relay;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

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
