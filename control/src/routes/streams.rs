//! Frames: by page, as events, over a WebSocket.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;

use super::call::{Call, Conversation, Reply};
use crate::fault::{Code, Fault};
use crate::journal::cursor::{Batch, Cursor, Kinds, Step};
use crate::metrics::Transport;
use crate::sessions::store::no_such_session;
use crate::stream::socket::Speaker;
use crate::stream::{Follow, sse};

/// Frames in a page if nothing is said.
const DEFAULT_LIMIT: u64 = 1000;

/// Most frames in a page.
const MAX_LIMIT: u64 = 100_000;

/// Most milliseconds that a page waits for its first frame.
const MAX_WAIT: u64 = 30_000;

pub(super) async fn events(call: Call) -> Result<Reply, Fault> {
    let follow = follow(&call).await?;
    let gauge = call.app.metrics.streaming(Transport::Sse);
    Ok(Reply::Chunks {
        media: "text/event-stream",
        chunks: Box::pin(sse::body(follow, gauge)),
    })
}

pub(super) async fn socket(call: Call) -> Result<Reply, Fault> {
    let follow = follow(&call).await?;
    let speaker = Speaker::new(call.app.clone(), call.caller()?, call.session()?);
    let gauge = call.app.metrics.streaming(Transport::WebSocket);
    Ok(Reply::Socket(Box::new(Conversation {
        follow,
        speaker,
        gauge,
    })))
}

async fn follow(call: &Call) -> Result<Follow, Fault> {
    let cursor = cursor(call, position(call)?, kinds(call)).await?;
    Ok(Follow::new(
        cursor,
        call.caller()?,
        call.app.shutdown(),
        call.app.heartbeat,
    ))
}

/// Where the client was: `from`, or where a browser that reconnects with the same address has
/// got to meanwhile.
fn position(call: &Call) -> Result<u64, Fault> {
    let from = call.query.number("from")?.unwrap_or(0);
    let last = match call.headers.get("last-event-id") {
        None => 0,
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|value| value.trim().parse().ok())
            .ok_or_else(|| Fault::new(Code::BadValue, "`Last-Event-ID` is not a seq"))?,
    };
    Ok(from.max(last))
}

fn kinds(call: &Call) -> Kinds {
    Kinds::parse(call.query.get("kinds").unwrap_or_default())
}

/// A place in the journal of the session in the path.
pub(super) async fn cursor(call: &Call, after: u64, kinds: Kinds) -> Result<Cursor, Fault> {
    let id = call.session()?;
    let tail = call.app.hub.tail(id).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_such_session(id),
        _ => Fault::internal(error),
    })?;
    Cursor::open(tail, after, kinds)
        .await
        .map_err(Fault::internal)
}

pub(super) async fn transcript(call: Call) -> Result<Reply, Fault> {
    let limit = call.query.number("limit")?.unwrap_or(DEFAULT_LIMIT);
    let wait = call.query.number("wait_ms")?.unwrap_or(0);
    let too_much = |name: &str, max: u64| {
        Err(Fault::new(
            Code::BadValue,
            format!("`{name}` is at most {max}"),
        ))
    };
    if limit == 0 {
        return Err(Fault::new(Code::BadValue, "`limit` is at least 1"));
    }
    if limit > MAX_LIMIT {
        return too_much("limit", MAX_LIMIT);
    }
    if wait > MAX_WAIT {
        return too_much("wait_ms", MAX_WAIT);
    }
    let mut cursor = cursor(&call, position(&call)?, kinds(&call)).await?;
    let first = first(&mut cursor, &call, Duration::from_millis(wait)).await?;
    let meta = call.app.store.get(call.session()?).await;
    let last_seq = match meta {
        Ok(meta) => meta.last_seq,
        // Its directory is there before its keeper has written what it is.
        Err(fault) if fault.code() == Code::NoSuchSession => cursor.position(),
        Err(fault) => return Err(fault),
    };
    let head = format!(
        r#"{{"id":"{}","last_seq":{last_seq},"frames":["#,
        call.session()?
    );
    let page = Page {
        cursor,
        left: limit,
        next: None,
        is_first: true,
    };
    Ok(Reply::Chunks {
        media: "application/json",
        chunks: Box::pin(stream::unfold(
            Stage::Head(head, first, page),
            |stage| async move {
                let (bytes, stage) = stage.next().await?;
                Some((Ok::<_, Infallible>(bytes), stage))
            },
        )),
    })
}

/// The first frames, waiting for them if the client wants that.
async fn first(cursor: &mut Cursor, call: &Call, wait: Duration) -> Result<Option<Batch>, Fault> {
    if let Some(batch) = cursor.ready().await.map_err(Fault::internal)? {
        return Ok(Some(batch));
    }
    if wait.is_zero() {
        return Ok(None);
    }
    let mut shutdown = call.app.shutdown();
    tokio::select! {
        step = cursor.next() => Ok(match step {
            Step::Frames(batch) => Some(batch),
            Step::End(_) => None,
        }),
        () = shutdown.begun() => Ok(None),
        () = tokio::time::sleep(wait) => Ok(None),
    }
}

/// A page while it is being sent: it may be larger than anybody wants to hold in memory.
enum Stage {
    Head(String, Option<Batch>, Page),
    Frames(Page),
    Sent,
}

struct Page {
    cursor: Cursor,
    left: u64,
    /// Seq of the last frame in the page, once it is full.
    next: Option<u64>,
    is_first: bool,
}

impl Stage {
    async fn next(self) -> Option<(Bytes, Self)> {
        match self {
            Self::Head(mut text, batch, mut page) => {
                let frames = batch.map(|batch| page.take(&batch)).unwrap_or_default();
                if frames.is_empty() {
                    text += &page.foot();
                    return Some((text.into(), Self::Sent));
                }
                let mut bytes = BytesMut::from(text.as_bytes());
                bytes.extend_from_slice(&frames);
                Some((bytes.freeze(), Self::Frames(page)))
            }
            Self::Frames(mut page) => {
                let batch = if page.left == 0 {
                    None
                } else {
                    // A journal that breaks now ends the page; the next one says why.
                    page.cursor.ready().await.ok().flatten()
                };
                Some(match batch {
                    Some(batch) => (page.take(&batch), Self::Frames(page)),
                    None => (page.foot().into(), Self::Sent),
                })
            }
            Self::Sent => None,
        }
    }
}

impl Page {
    /// As many frames as still fit.
    fn take(&mut self, batch: &Batch) -> Bytes {
        let mut bytes = BytesMut::with_capacity(batch.size());
        for line in batch.lines() {
            if self.left == 0 {
                break;
            }
            if !std::mem::take(&mut self.is_first) {
                bytes.put_u8(b',');
            }
            bytes.extend_from_slice(&line.bytes);
            self.left -= 1;
            if self.left == 0 {
                self.next = Some(line.seq);
            }
        }
        bytes.freeze()
    }

    fn foot(&self) -> String {
        let next = self.next.unwrap_or_else(|| self.cursor.position());
        format!(r#"],"next":{next}}}"#)
    }
}
