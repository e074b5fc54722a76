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
        let listener = listen(&path, Door::Everybody).unwrap();
        // Init refuses itself, and here it is the client as well.
        let server = Server::new(Fake);
        let server = tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Rc::clone(&server);
                tokio::task::spawn_local(async move {
                    converse(stream, 0, &server.handler, None, &server.answers).await;
                });
            }
        });
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
fn init_does_not_answer_itself() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        for door in [Door::Everybody, Door::Own] {
            let path = dir.path().join(door.name());
            let listener = listen(&path, door).unwrap();
            tokio::task::spawn_local(Server::new(Fake).serve(listener, door));
            let mut stream = UnixStream::connect(&path).await.unwrap();
            let _ = stream.write_all(b"{\"op\":\"status\"}\n").await;
            let mut reply = Vec::new();
            let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut reply));
            // The connection is closed, with or without a reset.
            let _ = read.await.expect("it is closed");
            assert!(reply.is_empty(), "{door:?} answered");
        }
    });
}

/// Counts how often it is asked.
#[derive(Default)]
struct Counter(std::cell::Cell<u32>);

impl Handler for Counter {
    async fn handle(&self, _request: InitRequest) -> InitReply {
        self.0.set(self.0.get() + 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        InitReply::Done
    }
}

#[test]
fn those_who_look_share_an_answer_for_a_second_and_wait_their_turn() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (counter, answers) = (Rc::new(Counter::default()), Rc::new(Answers::default()));
        let mut asked = Vec::new();
        for _ in 0..16 {
            let (counter, answers) = (Rc::clone(&counter), Rc::clone(&answers));
            asked.push(tokio::task::spawn_local(async move {
                let line = b"{\"op\":\"status\"}";
                answer(line, Rights::Look, &*counter, &answers).await
            }));
        }
        for reply in asked {
            assert!(!reply.await.unwrap().is_empty());
        }
        assert_eq!(counter.0.get(), 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let line = b"{\"op\":\"status\"}";
        answer(line, Rights::Look, &*counter, &answers).await;
        assert_eq!(counter.0.get(), 2, "and not for longer");
        answer(line, Rights::Change, &*counter, &answers).await;
        assert_eq!(
            counter.0.get(),
            3,
            "who may change something sees the present"
        );
    });
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
