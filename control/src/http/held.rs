//! A body that keeps its connection's place busy until it was sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::server::Hold;

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
