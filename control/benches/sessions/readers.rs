//! Clients that read as fast as something comes, all on one thread.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use super::stamp;

/// How a client asks.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// For server-sent events: the whole head.
    Events(String),
    /// For a WebSocket: the path, and the protocols that it offers.
    Socket(String, Option<String>),
}

/// What the readers saw.
pub(super) struct Seen {
    /// How long each frame took, to each reader.
    pub(super) delays: Vec<Duration>,
    ended: Instant,
}

impl Seen {
    /// When the last reader had the last frame.
    pub(super) fn since(&self, start: Instant) -> Duration {
        self.ended - start
    }
}

pub(super) struct Readers(JoinHandle<Seen>);

impl Readers {
    /// Connects clients and returns when each is served.
    pub(super) fn start(
        address: SocketAddr,
        request: &Request,
        clients: usize,
        frames: u64,
    ) -> Self {
        let (ready, wait) = std::sync::mpsc::channel();
        let request = request.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut tasks = JoinSet::new();
                for _ in 0..clients {
                    let stream = TcpStream::connect(address).await.unwrap();
                    match &request {
                        Request::Events(head) => {
                            tasks.spawn(events(greet(stream, head).await, frames));
                        }
                        Request::Socket(path, protocols) => {
                            let mut request = format!("ws://{address}{path}")
                                .into_client_request()
                                .unwrap();
                            if let Some(protocols) = protocols {
                                let headers = request.headers_mut();
                                let name = "sec-websocket-protocol";
                                headers.insert(name, protocols.parse().unwrap());
                            }
                            let (socket, _) = tokio_tungstenite::client_async(request, stream)
                                .await
                                .unwrap();
                            tasks.spawn(messages(socket, frames));
                        }
                    }
                }
                ready.send(()).unwrap();
                let delays = tasks.join_all().await.concat();
                Seen {
                    delays,
                    ended: Instant::now(),
                }
            })
        });
        wait.recv().unwrap();
        Self(thread)
    }

    /// Waits until every client has every frame.
    pub(super) fn finish(self) -> Seen {
        self.0.join().unwrap()
    }
}

async fn greet(mut stream: TcpStream, head: &str) -> BufReader<TcpStream> {
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut line = String::new();
    while !matches!(&*line, ":ok\n" | ": ok\n") {
        line.clear();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "it ended");
    }
    stream
}

async fn events(mut stream: BufReader<TcpStream>, frames: u64) -> Vec<Duration> {
    let mut delays = Vec::new();
    let mut line = Vec::new();
    while (delays.len() as u64) < frames {
        line.clear();
        let count = stream.read_until(b'\n', &mut line).await.unwrap();
        assert_ne!(count, 0, "it ended");
        if line.starts_with(b"data: {") {
            delays.extend(stamp::age(&line));
        }
    }
    delays
}

/// A terminal's output: whatever a message holds, lines end where the terminal ends them.
async fn messages(
    mut socket: tokio_tungstenite::WebSocketStream<TcpStream>,
    frames: u64,
) -> Vec<Duration> {
    let mut delays = Vec::new();
    let mut rest = Vec::new();
    while (delays.len() as u64) < frames {
        match socket.next().await.expect("it ended").unwrap() {
            Message::Binary(bytes) => rest.extend_from_slice(&bytes),
            Message::Text(text) => rest.extend_from_slice(&said(&text)),
            _ => continue,
        }
        while let Some(end) = memchr::memchr(b'\n', &rest) {
            delays.extend(stamp::age(&rest[..end]));
            rest.drain(..=end);
        }
    }
    delays
}

/// The output in a message of terminado's, `["stdout", "…"]`.
fn said(text: &str) -> Vec<u8> {
    let message: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    match message.as_slice() {
        [kind, serde_json::Value::String(output)] if kind == "stdout" => output.as_bytes().to_vec(),
        _ => Vec::new(),
    }
}
