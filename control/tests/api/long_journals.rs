//! Whoever reads a long journal keeps nobody else waiting.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::keeper::{Keeper, text};
use crate::common::process::{Process, free_address};
use crate::common::world::{MASTER, World};

/// Bytes of the journal.
const LONG: usize = 96 << 20;

/// How long it is read, at most.
const READING: Duration = Duration::from_secs(4);

/// How soon health has to be answered, in the middle and at the worst.
const MEDIAN: Duration = Duration::from_millis(250);
const WORST: Duration = Duration::from_secs(1);

/// Appends lines of two lengths, those of a talk and those of a file that was shown.
fn fill(keeper: &mut Keeper) {
    let lines = [(2_000, 500), (1_000_000, 1)].map(|(bytes, times)| {
        let frame = text("All work and no play. ".repeat(bytes / 22));
        let line = String::from_utf8(keeper.next_line(&frame)).unwrap();
        let (head, rest) = line.split_once("\"seq\":").unwrap();
        let (_, rest) = rest.split_once(',').unwrap();
        (format!("{head}\"seq\":"), format!(",{rest}"), times)
    });
    let mut block = Vec::with_capacity(4 << 20);
    let mut journal = OpenOptions::new()
        .append(true)
        .open(keeper.dir().join("transcript.jsonl"))
        .unwrap();
    let (mut seq, mut written) = (0, 0);
    while written < LONG {
        block.clear();
        for (head, rest, times) in &lines {
            for _ in 0..*times {
                seq += 1;
                write!(block, "{head}{seq}{rest}").unwrap();
            }
        }
        journal.write_all(&block).unwrap();
        written += block.len();
    }
}

/// One request without a library in between, for its whole answer.
fn ask(address: SocketAddr, path: &str, headers: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn is_well(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200 ")
        && memchr::memmem::find(answer, br#""status":"ok""#).is_some()
}

#[tokio::test]
async fn health_is_answered_while_a_long_journal_is_read_from_all_sides() {
    let world = World::new();
    let mut keeper = world.keeper();
    fill(&mut keeper);
    let process = Process::start(&world, free_address());
    let (address, id) = (process.address, keeper.id);
    let is_over = AtomicBool::new(false);
    let token = format!("Authorization: Bearer {MASTER}\r\n");
    let routes = [
        format!("/api/sessions/{id}"),
        format!("/api/sessions/{id}/chat"),
        format!("/api/sessions/{id}/chat?since=9000"),
        format!("/api/sessions/{id}/transcript?limit=10000"),
        format!("/api/sessions/{id}/transcript?kinds=usage"),
        "/api/sessions".to_owned(),
    ];
    let (mut waits, answers) = std::thread::scope(|scope| {
        let readers: Vec<_> = routes
            .iter()
            .chain(&routes)
            .map(|route| {
                scope.spawn(|| {
                    let mut answers = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = ask(address, route, &token);
                        let is_told = answer.starts_with(b"HTTP/1.1 200 ")
                            || answer.starts_with(b"HTTP/1.1 503 ");
                        assert!(is_told, "{}", String::from_utf8_lossy(&answer));
                        answers += 1;
                    }
                    answers
                })
            })
            .collect();
        let mut waits = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < READING {
            let asked = Instant::now();
            let answer = ask(address, "/api/health", "");
            waits.push(asked.elapsed());
            assert!(is_well(&answer), "{}", String::from_utf8_lossy(&answer));
            std::thread::park_timeout(Duration::from_millis(10));
        }
        is_over.store(true, Ordering::Relaxed);
        let answers: Vec<usize> = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect();
        (waits, answers)
    });
    waits.sort_unstable();
    let (median, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!(
        "health while {} MB are read by {} clients ({answers:?} answers): \
         {} times, median {median:?}, worst {:?}",
        LONG >> 20,
        answers.len(),
        waits.len(),
        &waits[waits.len().saturating_sub(5)..],
    );
    assert!(median <= MEDIAN, "{median:?} in the middle");
    assert!(worst <= WORST, "{worst:?} at the worst");
}
