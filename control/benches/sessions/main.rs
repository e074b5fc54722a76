//! What it costs to serve sessions, beside servers that do less or the same: frames a second,
//! how long a frame takes, and memory. Everything is measured in one run on one machine, so
//! that what the machine does to one it does to the others. Losses stay in the tables.
//!
//! ```text
//! scripts/bench sessions            # everything, about five minutes
//! scripts/bench sessions stream     # one measurement: stream, tty, memory, devices or mqtt
//! ```
//!
//! * stream: a scripted CLI, through a keeper and its journal, to readers of server-sent
//!   events; control alone; and a minimal axum server that echoes lines as such events.
//! * tty: a program on a terminal, to readers of a WebSocket; and the same with terminado.
//! * memory: control and its keepers, idle and at work.
//! * devices: the sealed envelope, beside the same requests over plain HTTP.
//! * mqtt: frames to a local mosquitto, beside mosquitto's own client.
//!
//! The last two are held to figures; if one is missed, the program says so and ends with 1.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where it cannot go on"
)]

mod devices;
mod echo;
mod figures;
mod mqtt;
mod peer;
mod program;
mod readers;
mod stamp;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use peer::{Control, Echo, Kept, Peer, Terminado, Whole};
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

/// Starts a peer.
type Start = fn() -> Box<dyn Peer>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [echo::ARGUMENT, ..] => {
            echo::serve();
            return ExitCode::SUCCESS;
        }
        [program::CLI, ..] => {
            program::cli();
            return ExitCode::SUCCESS;
        }
        [program::TERMINAL, go] => program::terminal(Path::new(go)),
        _ => {}
    }
    // cargo adds an option of its own.
    let chosen: Vec<_> = words.iter().filter(|word| !word.starts_with('-')).collect();
    for (name, measure) in [
        ("stream", stream as fn()),
        ("tty", tty),
        ("memory", memory),
        ("devices", devices::measure),
        ("mqtt", mqtt::measure),
    ] {
        if chosen.is_empty() || chosen.iter().any(|word| **word == name) {
            measure();
        }
    }
    if figures::is_missed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn stream() {
    let peers: [(&str, Start); 3] = [
        ("cib-session and cib-control", || {
            Box::new(Whole::start(1, Kept::Stream))
        }),
        ("cib-control alone", || Box::new(Control::start())),
        ("axum echo", || Box::new(Echo::start())),
    ];
    table("Token-level text, as server-sent events", &peers);
}

fn tty() {
    let peers: [(&str, Start); 2] = [
        ("cib-session and cib-control", || {
            Box::new(Whole::start(1, Kept::Terminal))
        }),
        ("terminado", || Box::new(Terminado::start())),
    ];
    table("Lines of a terminal, over WebSockets", &peers);
}

fn memory() {
    println!("\n### Memory (PSS)\n");
    println!("| idle sessions | control | with a reader on each | a keeper | the largest keeper |");
    println!("|---|---|---|---|---|");
    for sessions in SESSIONS {
        let whole = Whole::start(sessions, Kept::Stream);
        whole.list();
        let alone = whole.pss();
        let readers = whole.follow_all();
        let followed = whole.pss();
        let keepers = whole.keepers_pss();
        let (middle, largest) = (keepers[keepers.len() / 2], keepers[keepers.len() - 1]);
        println!("| {sessions} | {alone} KiB | {followed} KiB | {middle} KiB | {largest} KiB |");
        drop(readers);
    }
    let mut whole = Whole::start(1, Kept::Stream);
    whole.write(FRAMES, None);
    let peak = whole.writer_peak().unwrap_or_default();
    println!("\nA keeper that writes {FRAMES} frames as fast as they come: at most {peak} KiB.");
}

fn table(title: &str, peers: &[(&str, Start)]) {
    println!("\n### {title}\n");
    println!("| peer | readers | frames/s taken | frames/s to each reader | p50 | p99 |");
    println!("|---|---|---|---|---|---|");
    for readers in READERS {
        for (name, start) in peers {
            let (taken, read) = throughput(start().as_mut(), readers);
            let (p50, p99) = latency(start().as_mut(), readers);
            println!(
                "| {name} | {readers} | {taken} | {read:.0} | {} µs | {} µs |",
                p50.as_micros(),
                p99.as_micros()
            );
        }
    }
}

/// Frames a second that the server had taken, and that every reader had received. A program on
/// a terminal does not tell when its lines were taken.
fn throughput(peer: &mut dyn Peer, readers: usize) -> (String, f64) {
    let frames = FRAMES / readers as u64 + 1000;
    let readers = Readers::start(peer.address(), &peer.request(), readers, frames);
    let start = Instant::now();
    peer.write(frames, None);
    let taken = start.elapsed();
    let read = readers.finish();
    let is_told = !matches!(peer.request(), readers::Request::Socket(..));
    let taken = match is_told {
        true => format!("{:.0}", rate(frames, taken)),
        false => "—".to_owned(),
    };
    (taken, rate(frames, read.since(start)))
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
