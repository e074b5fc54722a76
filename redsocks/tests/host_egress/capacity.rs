//! Many connections at once, with the limits that containers start with.

use std::time::Duration;

use cib_testkit::socks::Kind;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::lab::{Lab, PROXY, PROXY_PORT, WEB, within};
use crate::world::web;

const CONNECTIONS: usize = 1000;

async fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await?;
    let mut answer = [0; 42];
    stream.read_exact(&mut answer).await?;
    assert!(
        answer.ends_with(b"\r\n\r\npage"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

#[test]
fn a_thousand_kept_connections_are_all_answered_with_a_soft_limit_of_1024_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let lab = Lab::new();
    web(&lab);
    let (_microsocks, upstream) = lab.socks(Kind::Microsocks, None);
    let _redsocks = lab.redsocks_limited(&upstream, (PROXY, PROXY_PORT).into(), 1024, 16_384);
    let answered = within(&lab.inside, || async {
        let mut kept = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(WEB).await.unwrap();
            timeout(Duration::from_secs(10), ask(&mut stream))
                .await
                .unwrap()
                .unwrap();
            kept.push(stream);
        }
        // All of them are still there, not only the last.
        let mut answered = 0;
        for stream in &mut kept {
            timeout(Duration::from_secs(10), ask(stream))
                .await
                .unwrap()
                .unwrap();
            answered += 1;
        }
        answered
    });
    assert_eq!(answered, CONNECTIONS);
}
