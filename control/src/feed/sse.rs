//! Events of the box as server-sent events.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{self, Stream};

use super::reader::{Finish, Reader, Told};
use super::ring::Event;
use crate::metrics::StreamGauge;
use crate::stream::sse::{HEARTBEAT, HELLO};

enum Stage {
    Hello(Box<Reader>),
    Listening(Box<Reader>),
    Ended,
}

/// The body of an event stream.
pub fn body(
    reader: Reader,
    gauge: StreamGauge,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(
        (Stage::Hello(Box::new(reader)), gauge),
        |(stage, gauge)| async move {
            let (bytes, stage) = match stage {
                Stage::Hello(reader) => (Bytes::from_static(HELLO), Stage::Listening(reader)),
                Stage::Listening(mut reader) => match reader.next().await {
                    Told::Events(told) => {
                        gauge.sent(told.len());
                        (events(&told), Stage::Listening(reader))
                    }
                    Told::Heartbeat => (Bytes::from_static(HEARTBEAT), Stage::Listening(reader)),
                    Told::End(finish) => (end(&finish), Stage::Ended),
                },
                Stage::Ended => return None,
            };
            Some((Ok(bytes), (stage, gauge)))
        },
    )
}

fn events(told: &[Event]) -> Bytes {
    let mut text = BytesMut::new().writer();
    for event in told {
        // Writing to a buffer that grows cannot fail; JSON has no line end in it.
        let _ = write!(text, "id: {}\nevent: {}\ndata: ", event.cursor, event.name);
        let _ = text.write_all(&event.json);
        let _ = text.write_all(b"\n\n");
    }
    text.into_inner().freeze()
}

fn end(finish: &Finish) -> Bytes {
    let body = serde_json::to_string(&finish.body()).unwrap_or_default();
    format!("event: end\ndata: {body}\n\n").into()
}
