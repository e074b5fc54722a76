//! Frames as server-sent events.
//!
//! `id` is the frame's seq, so a browser that reconnects says by itself where it was.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{self, Stream};

use super::{Event, Finish, Follow, preview};
use crate::journal::cursor::Batch;
use crate::metrics::StreamGauge;

/// Sent at once, so that a client knows that it is connected, and how soon to come back.
pub(crate) const HELLO: &[u8] = b":ok\nretry: 1000\n\n";

/// A comment, which clients ignore and proxies count as life.
pub(crate) const HEARTBEAT: &[u8] = b":keepalive\n\n";

/// Around a frame stand `id`, `event` and `data` with a seq and a kind.
const AROUND: usize = 64;

enum Stage {
    Hello(Box<Follow>),
    Following(Box<Follow>),
    Ended,
}

/// The body of an event stream, in which no frame has more bytes than `most`.
pub fn body(
    follow: Follow,
    gauge: StreamGauge,
    most: usize,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(
        (Stage::Hello(Box::new(follow)), gauge),
        move |(stage, gauge)| async move {
            let (bytes, stage) = match stage {
                Stage::Hello(follow) => (Bytes::from_static(HELLO), Stage::Following(follow)),
                Stage::Following(mut follow) => match follow.next().await {
                    Event::Frames(batch) => {
                        gauge.sent(batch.lines().len());
                        (frames(&batch, most), Stage::Following(follow))
                    }
                    Event::Heartbeat => (Bytes::from_static(HEARTBEAT), Stage::Following(follow)),
                    Event::End(finish) => (end(finish), Stage::Ended),
                },
                Stage::Ended => return None,
            };
            Some((Ok(bytes), (stage, gauge)))
        },
    )
}

fn frames(batch: &Batch, most: usize) -> Bytes {
    let lines = batch.lines();
    let mut text = BytesMut::with_capacity(batch.size() + lines.len() * AROUND).writer();
    for line in lines {
        // A line end in a kind would let a frame pretend to be another event.
        let event = if line.kind.contains(['\r', '\n']) {
            "frame"
        } else {
            line.kind
        };
        // Writing to a buffer that grows cannot fail.
        let _ = write!(text, "id: {}\nevent: {event}\ndata: ", line.seq);
        let _ = if line.bytes.len() > most {
            text.write_all(&preview::shortened(&line.bytes, most))
        } else {
            text.write_all(&line.bytes)
        };
        let _ = text.write_all(b"\n\n");
    }
    text.into_inner().freeze()
}

fn end(finish: Finish) -> Bytes {
    let body = serde_json::to_string(&finish.body()).unwrap_or_default();
    format!("event: end\ndata: {body}\n\n").into()
}
