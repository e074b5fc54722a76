//! What it costs to serve sessions: frames a second through journals to readers, how long a
//! frame takes, and how much memory control needs. In the same run a minimal axum server that
//! echoes lines as server-sent events shows what the machine itself allows.
//!
//! `cargo bench -p cib-control --bench sessions` prints a table.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where it cannot go on"
)]

mod echo;
mod journal;
mod peer;
mod readers;

use std::time::{Duration, Instant};

use peer::{Control, Echo, Peer};
use readers::Readers;

/// How many clients read at once.
const READERS: [usize; 3] = [1, 10, 100];

/// Frames for throughput; fewer for more readers, so that each run takes about as long.
const FRAMES: u64 = 300_000;

/// Frames for latency, and the pause between two.
const PACED: u64 = 2000;
const PACE: Duration = Duration::from_millis(1);

/// Idle sessions whose cost is measured.
const SESSIONS: [usize; 3] = [1, 10, 50];

fn main() {
    if std::env::args().nth(1).as_deref() == Some(echo::ARGUMENT) {
        return echo::serve();
    }
    println!("| peer | readers | frames/s written | frames/s to each reader | p50 | p99 |");
    println!("|---|---|---|---|---|---|");
    for readers in READERS {
        row("cib-control", readers, || Box::new(Control::start(1)));
        row("axum echo", readers, || Box::new(Echo::start()));
    }
    println!("\n| idle sessions | PSS of cib-control | with a reader on each |");
    println!("|---|---|---|");
    for sessions in SESSIONS {
        let mut control = Control::start(sessions);
        control.list();
        let alone = control.pss();
        let readers = control.follow_all();
        let followed = control.pss();
        println!("| {sessions} | {alone} KiB | {followed} KiB |");
        drop(readers);
    }
}

fn row(name: &str, readers: usize, start: impl Fn() -> Box<dyn Peer>) {
    let (written, read) = throughput(start().as_mut(), readers);
    let (p50, p99) = latency(start().as_mut(), readers);
    println!(
        "| {name} | {readers} | {written:.0} | {read:.0} | {} µs | {} µs |",
        p50.as_micros(),
        p99.as_micros()
    );
}

/// Frames a second that the writer got rid of, and that every reader had received.
fn throughput(peer: &mut dyn Peer, readers: usize) -> (f64, f64) {
    let frames = FRAMES / readers as u64 + 1000;
    let readers = Readers::start(peer.address(), &peer.request(), readers, frames);
    let start = Instant::now();
    peer.write(frames, None);
    let written = start.elapsed();
    let read = readers.finish();
    (rate(frames, written), rate(frames, read.since(start)))
}

/// The middle of all delays from before the write to after the read, and the one that only one
/// in a hundred exceeds.
fn latency(peer: &mut dyn Peer, readers: usize) -> (Duration, Duration) {
    let readers = Readers::start(peer.address(), &peer.request(), readers, PACED);
    peer.write(PACED, Some(PACE));
    let mut delays = readers.finish().delays;
    delays.sort_unstable();
    let at = |part: usize| delays[(delays.len() - 1) * part / 100];
    (at(50), at(99))
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn rate(frames: u64, time: Duration) -> f64 {
    frames as f64 / time.as_secs_f64()
}
