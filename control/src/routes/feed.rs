//! The whole box: what changes in it, as events and over a WebSocket.

use super::call::{Broadcast, Call, Reply};
use super::streams::wire;
use crate::fault::Fault;
use crate::feed::reader::Reader;
use crate::feed::sse;
use crate::metrics::Transport;

pub(super) fn events(call: &Call) -> Result<Reply, Fault> {
    let gauge = call.app.metrics.streaming(Transport::Sse);
    Ok(Reply::Chunks {
        media: "text/event-stream",
        chunks: Box::pin(sse::body(reader(call)?, gauge)),
    })
}

pub(super) fn socket(call: &Call) -> Result<Reply, Fault> {
    Ok(Reply::Feed(Box::new(Broadcast {
        reader: reader(call)?,
        wire: wire(call),
        tells_life: call.query.get("keepalive") == Some("1"),
        gauge: call.app.metrics.streaming(Transport::WebSocket),
    })))
}

/// Behind where the client was. A browser that reconnects sends the old address, and knows better
/// by now.
fn reader(call: &Call) -> Result<Reader, Fault> {
    let last = call.headers.get("last-event-id");
    let last = last.and_then(|value| value.to_str().ok());
    let cursor = last.or_else(|| call.query.get("cursor"));
    Ok(Reader::new(&call.app, call.caller()?, cursor))
}
