//! Bytes from the CLI's standard output, in two pieces.

#![no_main]

use cib_protocol::frame::Meta;
use cib_session::ledger::Ledger;
use cib_session::stream::lines::{Limits, Splitter};
use cib_session::stream::{Out, Stream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = Splitter::new(Limits::for_output(64));
    let mut stream = Stream::new(Ledger::starting(0, Meta::default()), 0.0);
    let mut out = Out::default();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    lines.feed(first, |line| stream.line(&line, 1, &mut out));
    lines.feed(second, |line| stream.line(&line, 2, &mut out));
    lines.finish(|line| stream.line(&line, 3, &mut out));
});
