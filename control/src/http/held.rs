//! What a request holds of its connection, until its answer was sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::places::{Busy, Place};
use crate::auth::Who;
use crate::fault::Fault;
use crate::metrics::Counted;

/// What a connection holds while a request on it is under way, as an extension of the request:
/// an answer is sent after its handler returned, and a WebSocket outlives the HTTP connection
/// that it began as.
#[derive(Clone, Debug)]
pub(super) struct Hold(Arc<Holding>);

#[derive(Debug)]
struct Holding {
    _busy: Busy,
    _gauge: Arc<Counted>,
    place: Place,
}

impl Hold {
    pub(super) fn new(place: &Place, gauge: Arc<Counted>) -> Self {
        Self(Arc::new(Holding {
            _busy: place.begin(),
            _gauge: gauge,
            place: place.clone(),
        }))
    }

    /// The connection's place.
    pub(super) fn place(&self) -> Place {
        self.0.place.clone()
    }

    /// Makes the connection one of a caller's.
    ///
    /// # Errors
    /// If the caller has as many as it may have.
    pub(super) fn claim(&self, who: &Who) -> Result<(), Fault> {
        self.0.place.claim(who)
    }

    /// Makes the connection one by which a port is looked at that a caller opened.
    ///
    /// # Errors
    /// If there are as many of those as there may be.
    pub(super) fn claim_for_port(&self, who: &Who) -> Result<(), Fault> {
        self.0.place.claim_for_port(who)
    }
}

/// A body with what its connection holds meanwhile.
#[derive(Debug)]
pub(super) struct Held {
    body: Body,
    _hold: Hold,
}

impl Held {
    pub(super) fn new(body: Body, hold: Hold) -> Self {
        Self { body, _hold: hold }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
