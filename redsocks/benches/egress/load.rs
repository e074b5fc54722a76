//! What is sent through a way, and how long it took.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cib_testkit::delay;
use cib_testkit::netns::Netns;
use nix::sched::{CloneFlags, setns};

use super::lab::{Lab, WEB};
use super::way::{FAR_BOX, FAR_WORLD};

/// A server that sends as many bytes as it is asked for, in 8 bytes.
pub(crate) struct World {
    /// Where it is without a delay.
    pub(crate) near: SocketAddrV4,
    /// Where it is behind the slow cable. Straight, the cable itself is that far; through the
    /// proxy, the proxy is, and the server beside it.
    pub(crate) far: SocketAddrV4,
}

/// How long a download took.
pub(crate) struct Took {
    /// From the first packet to the first byte.
    pub(crate) first: Duration,
    /// To the last.
    pub(crate) whole: Duration,
}

/// Small requests from many clients.
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) requests: usize,
    pub(crate) bytes: u64,
}

impl World {
    /// Starts the server, and lays the slow cable beside the quick one.
    pub(crate) fn new(lab: &Lab, round_trip: Duration) -> Self {
        let slow = |ip: Ipv4Addr| format!("{ip}/24");
        delay::join(
            (&lab.inside, &slow(FAR_BOX)),
            (&lab.far, &slow(FAR_WORLD)),
            "slow0",
            round_trip / 2,
        )
        .unwrap();
        let far = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 81), WEB.port());
        lab.far
            .ip(&format!("addr add {}/32 dev lo", far.ip()))
            .unwrap();
        lab.inside
            .ip(&format!("route add {}/32 via {FAR_WORLD}", far.ip()))
            .unwrap();
        for at in [WEB, far] {
            let listener = within(&lab.far, move || TcpListener::bind(at).unwrap());
            std::thread::spawn(move || serve(&listener));
        }
        Self { near: WEB, far }
    }
}

fn serve(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || answer(stream));
    }
}

/// A client that went away ends its answer, and nothing else.
fn answer(mut stream: TcpStream) {
    let piece = [0x5a; 64 << 10];
    let mut asked = [0; 8];
    if stream.read_exact(&mut asked).is_err() {
        return;
    }
    let mut left = u64::from_be_bytes(asked);
    while left > 0 {
        let len = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
        if stream.write_all(&piece[..len]).is_err() {
            return;
        }
        left -= len as u64;
    }
}

/// One download from inside the box.
pub(crate) fn fetch(lab: &Lab, from: SocketAddrV4, bytes: u64) -> Took {
    within(&lab.inside, move || ask(from, bytes))
}

/// So many small ones after each other.
pub(crate) fn sequential(lab: &Lab, from: SocketAddrV4, bytes: u64, requests: usize) -> Duration {
    within(&lab.inside, move || {
        let began = Instant::now();
        for _ in 0..requests {
            let _ = ask(from, bytes);
        }
        began.elapsed()
    })
}

impl Load {
    /// Runs it from inside the box.
    pub(crate) fn run(&self, lab: &Lab, from: SocketAddrV4) -> Duration {
        let (clients, requests, bytes) = (self.clients, self.requests, self.bytes);
        within(&lab.inside, move || {
            let left = AtomicUsize::new(requests);
            let began = Instant::now();
            // Threads are born into the network namespace of the one that starts them.
            std::thread::scope(|scope| {
                for _ in 0..clients {
                    scope.spawn(|| {
                        let one = |left: usize| left.checked_sub(1);
                        let order = Ordering::Relaxed;
                        while left.fetch_update(order, order, one).is_ok() {
                            let _ = ask(from, bytes);
                        }
                    });
                }
            });
            began.elapsed()
        })
    }
}

fn ask(from: SocketAddrV4, bytes: u64) -> Took {
    let began = Instant::now();
    let mut stream = TcpStream::connect(SocketAddr::V4(from)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&bytes.to_be_bytes()).unwrap();
    let mut buffer = vec![0; 256 << 10];
    let (mut first, mut got) = (None, 0_u64);
    loop {
        let len = stream.read(&mut buffer).unwrap();
        first.get_or_insert_with(|| began.elapsed());
        if len == 0 {
            break;
        }
        got += len as u64;
    }
    assert_eq!(got, bytes, "an answer was cut short");
    Took {
        first: first.unwrap(),
        whole: began.elapsed(),
    }
}

/// Runs `work` on a thread inside a namespace.
fn within<T: Send + 'static>(netns: &Netns, work: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = std::fs::File::open(netns.path()).unwrap();
    std::thread::spawn(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    })
    .join()
    .unwrap()
}
