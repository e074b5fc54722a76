//! Server-sent events as our own routes write them, taken apart again.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// What a route tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The stream lives.
    Life,
    /// An event's data, and its id if that is a number.
    Event(Bytes, Option<u64>),
    /// The data of the last event.
    End(Bytes),
}

/// Events that come in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Events {
    waiting: BytesMut,
    seen: usize,
}

impl Events {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next event that is whole; none if there is none yet.
    pub(crate) fn next(&mut self) -> Option<Told> {
        loop {
            let Some(end) = memmem::find(&self.waiting[self.seen..], b"\n\n") else {
                self.seen = self.waiting.len().saturating_sub(1);
                return None;
            };
            let block = self.waiting.split_to(self.seen + end + 2).freeze();
            self.seen = 0;
            if let Some(told) = told(&block) {
                return Some(told);
            }
        }
    }
}

/// What a block says; nothing for the greeting at a stream's beginning.
fn told(block: &Bytes) -> Option<Told> {
    let (mut is_end, mut id, mut data) = (false, None, None);
    for line in block.split(|byte| *byte == b'\n') {
        if line == b":keepalive" {
            return Some(Told::Life);
        } else if line == b"event: end" {
            is_end = true;
        } else if let Some(text) = line.strip_prefix(b"id: ") {
            id = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok());
        } else if let Some(text) = line.strip_prefix(b"data: ") {
            // JSON on one line: our routes write nothing else.
            data = Some(block.slice_ref(text));
        }
    }
    let data = data?;
    Some(if is_end {
        Told::End(data)
    } else {
        Told::Event(data, id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b":ok\nretry: 1000\n\nid: 1\nevent: text.delta\ndata: {\"seq\":1}\n\n\
        :keepalive\n\nid: 2\nevent: frame\ndata: {\"a\":\"event: end\"}\n\nevent: end\ndata: {\"last_seq\":2}\n\n";

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        let expected = [
            Told::Event(Bytes::from_static(b"{\"seq\":1}"), Some(1)),
            Told::Life,
            Told::Event(Bytes::from_static(b"{\"a\":\"event: end\"}"), Some(2)),
            Told::End(Bytes::from_static(b"{\"last_seq\":2}")),
        ];
        for size in 1..STREAM.len() {
            let (mut events, mut all) = (Events::default(), Vec::new());
            for piece in STREAM.chunks(size) {
                events.push(piece);
                while let Some(told) = events.next() {
                    all.push(told);
                }
            }
            assert_eq!(all, expected, "{size}");
        }
    }
}
