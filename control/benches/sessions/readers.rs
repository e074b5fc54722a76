//! Clients that read server-sent events as fast as they come, all on one thread.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::journal::{STAMP, epoch};

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
    /// Connects clients and returns when each has its first bytes.
    pub(super) fn start(address: SocketAddr, request: &str, clients: usize, frames: u64) -> Self {
        let (ready, wait) = std::sync::mpsc::channel();
        let request = request.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut tasks = JoinSet::new();
                for _ in 0..clients {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    stream.write_all(request.as_bytes()).await.unwrap();
                    let mut stream = BufReader::with_capacity(64 * 1024, stream);
                    let mut head = String::new();
                    while !matches!(&*head, ":ok\n" | ": ok\n") {
                        head.clear();
                        assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "it ended");
                    }
                    tasks.spawn(read(stream, frames));
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

async fn read(mut stream: BufReader<TcpStream>, frames: u64) -> Vec<Duration> {
    let mut delays = Vec::new();
    let mut line = Vec::new();
    let mut seen = 0;
    while seen < frames {
        line.clear();
        assert_ne!(
            stream.read_until(b'\n', &mut line).await.unwrap(),
            0,
            "it ended"
        );
        if !line.starts_with(b"data: {") {
            continue;
        }
        seen += 1;
        let at = line
            .windows(STAMP.len())
            .position(|bytes| bytes == STAMP.as_bytes())
            .unwrap();
        let digits = line[at + STAMP.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        delays.push(
            epoch()
                .elapsed()
                .saturating_sub(Duration::from_nanos(digits)),
        );
    }
    delays
}
