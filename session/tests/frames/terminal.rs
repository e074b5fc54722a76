//! Plays captures of the terminal interface to the tty driver: hooks and transcript lines, in
//! the order of their times.

use cib_protocol::frame::{Data, Meta};
use cib_protocol::time::Timestamp;
use cib_session::ledger::Ledger;
use cib_session::stream_json::lines::Line;
use cib_session::tty::events::Abilities;
use cib_session::tty::{Out, Tty};
use serde_json::Value;

enum Event {
    Hook(String),
    Line(String),
}

/// Plays both captures; either may be empty.
pub(crate) fn replay(version: &str, hooks: &str, transcript: &str) -> Vec<Data> {
    let mut events = Vec::new();
    for line in hooks.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        if let Some(hook) = value.get("hook") {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "milliseconds of this century"
            )]
            let at = (value["t"].as_f64().unwrap() * 1000.0) as i64;
            events.push((at, Event::Hook(hook.to_string())));
        }
    }
    let mut at = 0;
    for line in transcript.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        if let Some(time) = value["timestamp"].as_str() {
            let time: Timestamp = serde_json::from_value(time.into()).unwrap();
            at = at.max(time.as_millis());
        }
        events.push((at, Event::Line(line.to_owned())));
    }
    events.sort_by_key(|(at, _)| *at);
    let begun = events.iter().map(|(at, _)| *at).find(|at| *at > 0).unwrap();
    let ledger = Ledger::starting(0, Meta::default());
    let mut tty = Tty::new(
        ledger,
        Abilities::of(version),
        Timestamp::from_millis(0),
        0.0,
    );
    let mut out = Out::default();
    let mut now_ms = 0;
    for (id, (at, event)) in (1..).zip(events) {
        let next_ms = u64::try_from(at - begun).unwrap_or(0);
        while let Some(due) = tty.deadline().filter(|due| *due <= next_ms) {
            tty.tick(due.max(now_ms), &mut out);
        }
        now_ms = next_ms;
        match event {
            Event::Hook(text) => tty.hook(id, &Line::whole(text.as_bytes()), now_ms, &mut out),
            Event::Line(text) => tty.transcript(&Line::whole(text.as_bytes()), now_ms, &mut out),
        }
    }
    tty.ended(now_ms, &mut out);
    out.frames
}
