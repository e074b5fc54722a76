//! The least that a server of events can do: what comes in on one connection as lines goes out
//! on all others as events.

use std::convert::Infallible;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// The argument that makes the bench this server.
pub(super) const ARGUMENT: &str = "--echo";

/// Lines that a reader may be behind; more than a bench ever sends.
const BEHIND: usize = 1 << 19;

/// Prints two ports, for lines and for readers, and serves until killed.
pub(super) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let lines = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let events = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        println!("{} {}", port(&lines), port(&events));
        let (sender, _) = broadcast::channel::<String>(BEHIND);
        let source = sender.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = lines.accept().await {
                let mut lines = BufReader::new(stream).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let _ = source.send(line);
                }
            }
        });
        let router = Router::new().route("/", get(move || std::future::ready(follow(&sender))));
        axum::serve(events, router).await.unwrap();
    });
}

fn follow(
    sender: &broadcast::Sender<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let hello = stream::iter([Ok(Event::default().comment("ok"))]);
    let lines = stream::unfold(sender.subscribe(), |mut receiver| async {
        let line = receiver.recv().await.unwrap();
        Some((Ok(Event::default().data(line)), receiver))
    });
    Sse::new(futures_util::StreamExt::chain(hello, lines))
}
