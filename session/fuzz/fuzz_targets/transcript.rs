//! Lines of a transcript, and the same bytes as a state file.

#![no_main]

use cib_protocol::frame::Meta;
use cib_protocol::time::Timestamp;
use cib_session::ledger::Ledger;
use cib_session::stream::lines::{Limits, Splitter};
use cib_session::tty::events::Abilities;
use cib_session::tty::{Out, Tty};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = Splitter::new(Limits::for_output(64));
    let ledger = Ledger::starting(0, Meta::default());
    let mut tty = Tty::new(ledger, Abilities::newest(), Timestamp::from_millis(0), 0.0);
    let mut out = Out::default();
    lines.feed(bytes, |line| tty.transcript(&line, 1, &mut out));
    tty.state_file(&String::from_utf8_lossy(bytes), 2, &mut out);
    while let Some(at) = tty.deadline() {
        tty.tick(at, &mut out);
    }
});
