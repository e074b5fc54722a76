//! What a device on a line of its own has asked and is being answered.

use std::collections::{HashMap, HashSet};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Request as HttpRequest, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use cib_envelope::head::Request;
use cib_envelope::item::{Item, Kind};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::super::envelope;
use crate::auth::Caller;
use crate::auth::address::Peer;
use crate::auth::gate::Arrival;
use crate::envelope::Asked;
use crate::envelope::events::{Events, Told};

/// Calls that are answered at once, streams included.
const MOST: usize = 24;

/// Bytes of the calls that are not whole yet.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// An item, or a piece of one.
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) goes_on: bool,
    pub(super) reference: u16,
    pub(super) payload: Bytes,
}

/// A device asks what may not be asked on a line.
#[derive(Debug)]
pub(super) struct BadCall;

/// The calls of one device.
pub(super) struct Calls {
    inner: Router,
    caller: Caller,
    arrival: Arrival,
    peer: Peer,
    /// By their refs, those that are not whole yet.
    coming: HashMap<u16, Vec<u8>>,
    coming_bytes: usize,
    /// The refs of those that are answered.
    answered: HashSet<u16>,
    answering: JoinSet<u16>,
}

impl Calls {
    pub(super) fn new(inner: Router, caller: Caller, arrival: Arrival, peer: Peer) -> Self {
        Self {
            inner,
            caller,
            arrival,
            peer,
            coming: HashMap::new(),
            coming_bytes: 0,
            answered: HashSet::new(),
            answering: JoinSet::new(),
        }
    }

    /// Waits until a call was answered to its end. Can be dropped and called again.
    pub(super) async fn ended(&mut self) {
        match self.answering.join_next().await {
            Some(Ok(reference)) => drop(self.answered.remove(&reference)),
            // One that panicked keeps its ref for as long as the line lives.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    /// Takes a piece of a call, and begins to answer the call when it is whole.
    pub(super) fn take(
        &mut self,
        item: &Item<'_>,
        room: usize,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<(), BadCall> {
        let reference = item.reference;
        let is_in_use = self.answered.contains(&reference);
        let is_full = self.coming.len() + self.answered.len() >= MOST;
        if is_in_use || (is_full && !self.coming.contains_key(&reference)) {
            return Err(BadCall);
        }
        self.coming_bytes += item.payload.len();
        if self.coming_bytes > MOST_BYTES {
            return Err(BadCall);
        }
        let call = self.coming.entry(reference).or_default();
        call.extend_from_slice(item.payload);
        if item.goes_on {
            return Ok(());
        }
        let call = self.coming.remove(&reference).unwrap_or_default();
        self.coming_bytes -= call.len();
        let (head, body) = Request::parse(&call).map_err(|_| BadCall)?;
        let asked = Asked {
            caller: self.caller.clone(),
            method: head.method,
            target: head.target,
            body: Bytes::copy_from_slice(body),
        };
        let request = envelope::request(asked, self.arrival, self.peer, None);
        let request = request.map_err(|_| BadCall)?;
        self.answered.insert(reference);
        let sink = Sink {
            pieces: pieces.clone(),
            reference,
            room,
        };
        let inner = self.inner.clone();
        self.answering.spawn(async move {
            // Nobody listens any more when the line has ended.
            let _ = answer(inner, request, &sink).await;
            reference
        });
        Ok(())
    }
}

/// The line has ended.
struct Gone;

/// Where the answer to one call goes.
struct Sink {
    pieces: mpsc::Sender<Piece>,
    reference: u16,
    room: usize,
}

impl Sink {
    async fn say(&self, kind: Kind, goes_on: bool, payload: Bytes) -> Result<(), Gone> {
        let piece = Piece {
            kind,
            goes_on,
            reference: self.reference,
            payload,
        };
        self.pieces.send(piece).await.map_err(|_| Gone)
    }

    /// A whole item, in as many pieces as it takes.
    async fn whole(&self, kind: Kind, mut payload: Bytes) -> Result<(), Gone> {
        while payload.len() > self.room {
            self.say(kind, true, payload.split_to(self.room)).await?;
        }
        self.say(kind, false, payload).await
    }
}

async fn answer(inner: Router, request: HttpRequest<Body>, sink: &Sink) -> Result<(), Gone> {
    let response = match inner.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let media = response
        .headers()
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    if media == Some(b"text/event-stream") && response.status() == StatusCode::OK {
        stream(response, sink).await
    } else {
        reply(response, sink).await
    }
}

/// A body as one reply, piece by piece. One that breaks off is followed by nothing.
async fn reply(response: Response, sink: &Sink) -> Result<(), Gone> {
    let status = response.status().as_u16().to_be_bytes();
    let mut waiting = BytesMut::from(&status[..]);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Gone)?.into_data() else {
            continue;
        };
        waiting.extend_from_slice(&data);
        while waiting.len() > sink.room {
            let piece = waiting.split_to(sink.room).freeze();
            sink.say(Kind::Reply, true, piece).await?;
        }
    }
    sink.say(Kind::Reply, false, waiting.freeze()).await
}

/// Events as frames, and the last as the stream's end.
async fn stream(response: Response, sink: &Sink) -> Result<(), Gone> {
    let mut events = Events::default();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Gone)?.into_data() else {
            continue;
        };
        events.push(&data);
        while let Some(told) = events.next() {
            match told {
                // The line has heartbeats of its own.
                Told::Life => {}
                Told::Event(data, _) => sink.whole(Kind::Frame, data).await?,
                Told::End(data) => return sink.whole(Kind::StreamEnd, data).await,
            }
        }
    }
    Ok(())
}
