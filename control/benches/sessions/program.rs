//! What the bench is when a peer starts it: a scripted CLI, or a program on a terminal.

use std::io::{BufRead as _, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::stamp;

/// The argument that makes the bench a CLI.
pub(super) const CLI: &str = "--cli";

/// The argument that makes the bench a program on a terminal.
pub(super) const TERMINAL: &str = "--terminal";

/// Lines that a program writes at once when it is pressed.
const BATCH: u64 = 32;

/// Speaks as much of Claude's stream-json as a keeper needs. A message `FRAMES MICROSECONDS`
/// makes a turn of so many pieces of text at such a pace.
pub(super) fn cli() {
    let mut input = std::io::stdin().lock().lines();
    let mut say = BufWriter::with_capacity(32 * 1024, std::io::stdout().lock());
    while let Some(Ok(line)) = input.next() {
        let message: serde_json::Value = serde_json::from_str(&line).unwrap();
        if message["type"] == "control_request" {
            let id = &message["request_id"];
            writeln!(say, r#"{{"type":"control_response","response":{{"subtype":"success","request_id":{id},"response":{{}}}}}}"#).unwrap();
        } else {
            let (frames, pace) = asked(message["message"]["content"].as_str().unwrap());
            let event = |event: &str| format!(r#"{{"type":"stream_event","event":{event}}}"#);
            let start = r#"{"type":"message_start","message":{"id":"m"}}"#;
            let block = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
            writeln!(say, "{}\n{}", event(start), event(block)).unwrap();
            paced(frames, pace, |flush| {
                let text = stamp::text();
                let delta = format!(
                    r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
                );
                writeln!(say, "{}", event(&delta)).unwrap();
                if flush {
                    say.flush().unwrap();
                }
            });
            writeln!(say, r#"{{"type":"result","subtype":"success","is_error":false,"terminal_reason":"completed","usage":{{}},"total_cost_usd":0}}"#).unwrap();
        }
        say.flush().unwrap();
    }
}

/// Prints lines once a file is there that says `FRAMES MICROSECONDS`, and stays.
pub(super) fn terminal(go: &Path) -> ! {
    let words = loop {
        match std::fs::read_to_string(go) {
            Ok(words) if words.ends_with('\n') => break words,
            _ => std::thread::park_timeout(Duration::from_millis(2)),
        }
    };
    let (frames, pace) = asked(&words);
    let mut say = BufWriter::with_capacity(32 * 1024, std::io::stdout().lock());
    paced(frames, pace, |flush| {
        writeln!(say, "{}", stamp::text()).unwrap();
        if flush {
            say.flush().unwrap();
        }
    });
    loop {
        std::thread::park();
    }
}

fn asked(words: &str) -> (u64, Option<Duration>) {
    let mut words = words.split_whitespace().map(|word| word.parse().unwrap());
    let (frames, pace) = (words.next().unwrap(), words.next().unwrap());
    let pace = (pace > 0).then(|| Duration::from_micros(pace));
    (frames, pace)
}

/// What [`asked`] reads.
pub(super) fn ask(frames: u64, pace: Option<Duration>) -> String {
    format!("{frames} {}\n", pace.map_or(0, |pace| pace.as_micros()))
}

/// Calls `each` so many times, at a pace or as fast as it can be, and says when to flush.
pub(super) fn paced(frames: u64, pace: Option<Duration>, mut each: impl FnMut(bool)) {
    let mut due = Instant::now();
    for frame in 1..=frames {
        if let Some(pace) = pace {
            due += pace;
            while let Some(wait) = due.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(wait);
            }
        }
        each(pace.is_some() || frame % BATCH == 0 || frame == frames);
    }
}
