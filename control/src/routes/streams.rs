//! Frames: by page, as events, over a WebSocket.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use cib_protocol::session::{Program, SessionId};
use futures_util::stream;

use super::call::{Call, Conversation, Reply};
use crate::app::App;
use crate::auth::credential;
use crate::fault::{Code, Fault};
use crate::journal::cursor::{Batch, Cursor, Kinds, Read, Start};
use crate::journal::earlier::Earlier;
use crate::journal::tail::Tail;
use crate::metrics::Transport;
use crate::sessions::store::nothing_of;
use crate::stream::socket::{self, Speaker, Wire};
use crate::stream::{Follow, sse};

/// The kind that a terminal shows.
const TERMINAL: &str = "pty.raw";

/// Frames in a page if nothing is said.
const DEFAULT_LIMIT: u64 = 1000;

/// How long a journal is read backwards for one page; a filter may pass over any number of frames.
const SEARCH: Duration = Duration::from_secs(2);

/// Bytes of a journal that a terminal is shown of what it missed, if nothing is said.
const SCROLLBACK: u64 = 128 * 1024;

pub(super) async fn events(call: Call) -> Result<Reply, Fault> {
    follow_events(&call, Program::Claude).await
}

pub(super) async fn shell_events(call: Call) -> Result<Reply, Fault> {
    follow_events(&call, Program::Shell).await
}

pub(super) async fn socket(call: Call) -> Result<Reply, Fault> {
    follow_socket(&call, Program::Claude, wire(&call)).await
}

pub(super) async fn ttyd(call: Call) -> Result<Reply, Fault> {
    follow_socket(&call, Program::Claude, Wire::Ttyd).await
}

pub(super) async fn shell_ttyd(call: Call) -> Result<Reply, Fault> {
    follow_socket(&call, Program::Shell, Wire::Ttyd).await
}

/// What a page of ttyd's asks for before it connects. Its token is what it has shown to get this.
pub(super) fn ttyd_token(_: &Call) -> Result<Reply, Fault> {
    Reply::json(&serde_json::json!({"token": ""}))
}

pub(super) async fn shell_socket(call: Call) -> Result<Reply, Fault> {
    follow_socket(&call, Program::Shell, wire(&call)).await
}

pub(super) async fn transcript(call: Call) -> Result<Reply, Fault> {
    page(&call, Program::Claude).await
}

pub(super) async fn shell_transcript(call: Call) -> Result<Reply, Fault> {
    page(&call, Program::Shell).await
}

async fn follow_events(call: &Call, program: Program) -> Result<Reply, Fault> {
    let start = start(call, None)?;
    let follow = follow(call, program, start, kinds(call)).await?;
    let gauge = call.app.metrics.streaming(Transport::Sse);
    let most = call.query.number("max_frame");
    let most = most.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    });
    Ok(Reply::Chunks {
        media: "text/event-stream",
        chunks: Box::pin(sse::body(follow, gauge, most)),
    })
}

async fn follow_socket(call: &Call, program: Program, wire: Wire) -> Result<Reply, Fault> {
    let (start, kinds) = match wire {
        Wire::Json | Wire::Lines => (start(call, None)?, kinds(call)),
        Wire::Terminal | Wire::Ttyd => (start(call, Some(SCROLLBACK))?, Kinds::parse(TERMINAL)),
    };
    let follow = follow(call, program, start, kinds).await?;
    let speaker = Speaker::new(call.app.clone(), call.caller()?, program, call.id(program)?);
    let gauge = call.app.metrics.streaming(Transport::WebSocket);
    Ok(Reply::Socket(Box::new(Conversation {
        follow,
        speaker,
        wire,
        tells_life: call.query.get("keepalive") == Some("1"),
        gauge,
    })))
}

/// How the client wants to speak: by lines if it can, else as JSON, unless it only offers to be a
/// terminal.
pub(super) fn wire(call: &Call) -> Wire {
    let offers = |name| credential::subprotocols(&call.headers).any(|offered| offered == name);
    if offers(socket::LINES) {
        Wire::Lines
    } else if offers(socket::BINARY) && !offers(socket::SUBPROTOCOL) {
        Wire::Terminal
    } else {
        Wire::Json
    }
}

async fn follow(
    call: &Call,
    program: Program,
    start: Start,
    kinds: Kinds,
) -> Result<Follow, Fault> {
    let cursor = open(call, program, start, kinds).await?;
    let id = call.id(program)?;
    Ok(Follow::new(&call.app, id, cursor, call.caller()?))
}

/// Where the client was: `from`, or where a browser that reconnects with the same address has
/// got to meanwhile.
fn position(call: &Call) -> Result<u64, Fault> {
    let from = call.query.number("from").unwrap_or(0);
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

/// Where a stream begins: where `tail` says, else where the client was, else where such a
/// stream begins if nothing is said.
pub(super) fn start(call: &Call, scrollback: Option<u64>) -> Result<Start, Fault> {
    let is_back = call.query.get("from").is_some() || call.headers.contains_key("last-event-id");
    match call.query.number("tail") {
        Some(_) if call.query.get("from").is_some() => Err(Fault::new(
            Code::BadValue,
            "`from` and `tail` both say where to begin; send one of them",
        )),
        // A browser that reconnects sends the old address, and knows better by now.
        Some(bytes) if !is_back => Ok(Start::Recent(bytes)),
        Some(_) => Ok(Start::After(position(call)?)),
        None => Ok(match scrollback.filter(|_| !is_back) {
            Some(bytes) => Start::Recent(bytes),
            None => Start::After(position(call)?),
        }),
    }
}

pub(super) fn kinds(call: &Call) -> Kinds {
    Kinds::parse(call.query.get("kinds").unwrap_or_default())
}

/// A place in the journal of what the path names.
pub(super) async fn cursor(
    call: &Call,
    program: Program,
    after: u64,
    kinds: Kinds,
) -> Result<Cursor, Fault> {
    open(call, program, Start::After(after), kinds).await
}

async fn open(call: &Call, program: Program, start: Start, kinds: Kinds) -> Result<Cursor, Fault> {
    let tail = named(call, program).await?;
    Cursor::open(tail, start, kinds).await.map_err(unreadable)
}

/// The journal of what the path names.
async fn named(call: &Call, program: Program) -> Result<Arc<Tail>, Fault> {
    let id = call.id(program)?;
    call.app.store.admit(program, id).await?;
    tail(&call.app, id)
        .await?
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => nothing_of(program, id),
            _ => Fault::internal(error),
        })
}

/// The tail of a journal. Its first look at a file may have to wait for a disk.
pub(crate) async fn tail(app: &App, id: SessionId) -> Result<io::Result<Arc<Tail>>, Fault> {
    let hub = app.hub.clone();
    crate::work::run(move || Ok::<_, io::Error>(hub.tail(id))).await
}

/// What is wrong with one session's journal is that session's fault alone.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
pub(super) fn unreadable(error: io::Error) -> Fault {
    Fault::new(Code::JournalUnreadable, error.to_string())
}

/// The page in front of a frame.
async fn earlier(call: &Call, program: Program, before: u64) -> Result<Reply, Fault> {
    if ["from", "wait_ms"]
        .iter()
        .any(|name| call.query.get(name).is_some())
    {
        return Err(Fault::new(
            Code::BadValue,
            "`before` reads backwards, so neither `from` nor `wait_ms` goes with it",
        ));
    }
    let limit = call.query.number("limit").unwrap_or(DEFAULT_LIMIT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (tail, kinds) = (named(call, program).await?, kinds(call));
    let by = Instant::now() + SEARCH;
    let open =
        crate::work::run(move || Ok::<_, io::Error>(Earlier::open(tail, before, limit, kinds)));
    let mut page = open.await?.map_err(unreadable)?;
    loop {
        let portion = crate::work::portion(move |by| {
            let is_all = page.read(by);
            (page, is_all)
        });
        let is_all;
        (page, is_all) = portion.await?;
        if is_all.map_err(unreadable)? || Instant::now() >= by {
            break;
        }
    }
    let (id, last_seq) = (call.id(program)?, page.last_seq());
    let mut body = format!(r#"{{"id":"{id}","last_seq":{last_seq},"frames":["#).into_bytes();
    for (n, line) in page.lines().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        body.extend_from_slice(line);
    }
    let (next, previous) = (page.next(), page.previous());
    body.extend_from_slice(format!(r#"],"next":{next},"previous":{previous}}}"#).as_bytes());
    Ok(Reply::Json(body))
}

async fn page(call: &Call, program: Program) -> Result<Reply, Fault> {
    if let Some(before) = call.query.number("before") {
        return earlier(call, program, before).await;
    }
    let limit = call.query.number("limit").unwrap_or(DEFAULT_LIMIT);
    let wait = call.query.number("wait_ms").unwrap_or(0);
    let mut cursor = cursor(call, program, position(call)?, kinds(call)).await?;
    let first = first(&mut cursor, call, Duration::from_millis(wait)).await?;
    let id = call.id(program)?;
    let last_seq = cursor.last_seq().await.map_err(unreadable)?;
    let head = format!(r#"{{"id":"{id}","last_seq":{last_seq},"frames":["#);
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
    if let Some(batch) = cursor.ready().await.map_err(unreadable)? {
        return Ok(Some(batch));
    }
    if wait.is_zero() {
        return Ok(None);
    }
    let mut shutdown = call.app.shutdown();
    tokio::select! {
        step = cursor.next() => Ok(match step {
            Read::Frames(batch) => Some(batch),
            Read::End(_) => None,
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
