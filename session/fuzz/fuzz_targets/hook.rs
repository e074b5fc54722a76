//! Inputs of hooks, one a line.

#![no_main]

use cib_protocol::frame::Meta;
use cib_protocol::time::Timestamp;
use cib_session::ledger::Ledger;
use cib_session::stream::lines::Line;
use cib_session::tty::events::Abilities;
use cib_session::tty::{Out, Tty};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let ledger = Ledger::starting(0, Meta::default());
    let mut tty = Tty::new(ledger, Abilities::newest(), Timestamp::from_millis(0), 0.0);
    let mut out = Out::default();
    for (id, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        tty.hook(id, &Line::whole(line), id, &mut out);
    }
    while let Some(at) = tty.deadline() {
        tty.tick(at, &mut out);
    }
});
