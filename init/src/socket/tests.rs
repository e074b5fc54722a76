//! The socket against clients that behave and clients that do not.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

use super::*;

/// Says done to everything, slowly if asked for the logs of `slow`.
struct Fake;

impl Handler for Fake {
    async fn handle(&self, request: InitRequest) -> InitReply {
        match request {
            InitRequest::Logs { lines, .. } => InitReply::Logs {
                lines: vec!["x".repeat(1000); usize::from(lines)],
            },
            InitRequest::ServiceStop { .. } => std::future::pending().await,
            _ => InitReply::Done,
        }
    }
}

fn with_server<F: Future<Output = ()>>(test: impl FnOnce(PathBuf) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("init.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = listen(&path).unwrap();
        let server = tokio::task::spawn_local(serve(listener, Rc::new(Fake)));
        timeout(Duration::from_secs(20), test(path)).await.unwrap();
        assert!(!server.is_finished(), "the server must survive its clients");
        server.abort();
    });
}

async fn ask(stream: &mut UnixStream, line: &[u8]) -> InitReply {
    stream.write_all(line).await.unwrap();
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).await.unwrap();
    serde_json::from_str(&reply).unwrap()
}

#[test]
fn a_request_is_answered_and_the_connection_stays() {
    with_server(|path| async move {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        for _ in 0..3 {
            let reply = ask(&mut stream, b"{\"op\":\"status\"}\n").await;
            assert_eq!(reply, InitReply::Done);
        }
    });
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_answered() {
    with_server(|path| async move {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        for line in [
            &b"not json\n"[..],
            b"{}\n",
            b"\n",
            b"{\"op\":\"status\",\"extra\":1}\n",
            b"\xff\xfe\n",
        ] {
            let reply = ask(&mut stream, line).await;
            assert!(
                matches!(
                    reply,
                    InitReply::Refused {
                        code: InitFault::BadRequest,
                        ..
                    }
                ),
                "{reply:?}"
            );
        }
        assert_eq!(
            ask(&mut stream, b"{\"op\":\"status\"}\n").await,
            InitReply::Done
        );
    });
}

#[test]
fn an_endless_line_ends_its_own_client_alone() {
    with_server(|path| async move {
        let mut good = UnixStream::connect(&path).await.unwrap();
        let bad = UnixStream::connect(&path).await.unwrap();
        let (mut read, mut write) = bad.into_split();
        let flood = tokio::task::spawn_local(async move {
            let piece = [b'x'; 65536];
            while write.write_all(&piece).await.is_ok() {}
        });
        let mut reply = Vec::new();
        read.read_to_end(&mut reply).await.ok();
        drop(read);
        flood.await.unwrap();
        assert_eq!(
            ask(&mut good, b"{\"op\":\"status\"}\n").await,
            InitReply::Done
        );
    });
}

#[test]
fn a_client_that_waits_long_does_not_hold_up_another() {
    with_server(|path| async move {
        let mut slow = UnixStream::connect(&path).await.unwrap();
        slow.write_all(b"{\"op\":\"service_stop\",\"service\":\"x\"}\n")
            .await
            .unwrap();
        let mut quick = UnixStream::connect(&path).await.unwrap();
        assert_eq!(
            ask(&mut quick, b"{\"op\":\"status\"}\n").await,
            InitReply::Done
        );
    });
}

#[test]
fn one_user_cannot_take_every_seat() {
    let clients = Clients::default();
    let seats: Vec<_> = (0..CLIENTS_OF_A_USER)
        .map(|_| clients.seat(1000).unwrap())
        .collect();
    assert!(clients.seat(1000).is_none());
    assert!(clients.seat(0).is_some());
    drop(seats);
    assert!(clients.seat(1000).is_some());
}

#[test]
fn a_flood_of_clients_leaves_the_server_standing() {
    with_server(|path| async move {
        let mut held = Vec::new();
        for _ in 0..200 {
            if let Ok(stream) = UnixStream::connect(&path).await {
                held.push(stream);
            }
        }
        drop(held);
        let answered = async {
            loop {
                let mut stream = UnixStream::connect(&path).await.unwrap();
                stream.write_all(b"{\"op\":\"status\"}\n").await.ok();
                let mut reply = String::new();
                let read = BufReader::new(&mut stream).read_line(&mut reply).await;
                if read.is_ok_and(|n| n > 0) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), answered).await.unwrap();
    });
}
