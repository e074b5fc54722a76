//! Requests that come by no connection of their own: a bridge puts them to the routes for somebody
//! whom it knows.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use tower::ServiceExt as _;

use super::held::Hold;
use super::limits::Limits;
use super::{envelope, reply, request};
use crate::app::App;
use crate::auth::address::Peer;
use crate::auth::gate::Arrival;
use crate::envelope::Asked;
use crate::fault::{Code, Fault};

/// Bytes of a fault.
const FAULT: usize = 64 * 1024;

/// The routes, for whoever is inside already.
#[derive(Clone, Debug)]
pub struct Inside {
    router: Router,
    arrival: Arrival,
    peer: Peer,
    hold: Option<Hold>,
}

impl Inside {
    /// The routes of an application, as devices have them.
    #[must_use]
    pub fn new(app: &Arc<App>) -> Self {
        Self {
            router: super::inner(app, Limits::default()),
            arrival: app.gate.origin(request::NOBODY, &HeaderMap::new()),
            peer: request::NOBODY,
            hold: None,
        }
    }

    /// The same routes, for what came in a request.
    pub(super) fn of(router: Router, arrival: Arrival, peer: Peer, hold: Option<Hold>) -> Self {
        Self {
            router,
            arrival,
            peer,
            hold,
        }
    }

    /// Where what comes through a bridge comes from.
    #[must_use]
    pub fn arrival(&self) -> Arrival {
        self.arrival
    }

    /// Asks, and reads the whole answer: its status, and at most so many bytes. What would be a stream
    /// of events, or longer, is a fault.
    pub async fn ask(&self, asked: Asked, most: usize) -> (u16, Bytes) {
        match self.answer(asked, most).await {
            Ok(answer) => answer,
            Err(fault) => self.told(&fault, most).await,
        }
    }

    /// A fault as a route answers it.
    pub async fn told(&self, fault: &Fault, most: usize) -> (u16, Bytes) {
        let response = reply::fault(fault);
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), most).collect().await;
        (status, body.map(|body| body.to_bytes()).unwrap_or_default())
    }

    /// Asks for a stream of events; what is answered instead is an error.
    pub(super) async fn follow(&self, asked: Asked) -> Result<Body, (u16, Bytes)> {
        let response = match self.put(asked).await {
            Ok(response) => response,
            Err(fault) => return Err(self.told(&fault, FAULT).await),
        };
        if response.status() == StatusCode::OK {
            return Ok(response.into_body());
        }
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), FAULT).collect().await;
        Err((status, body.map(|body| body.to_bytes()).unwrap_or_default()))
    }

    async fn put(&self, asked: Asked) -> Result<Response, Fault> {
        let request = envelope::request(asked, self.arrival, self.peer, self.hold.clone())?;
        Ok(match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        })
    }

    async fn answer(&self, asked: Asked, most: usize) -> Result<(u16, Bytes), Fault> {
        let response = self.put(asked).await?;
        let status = response.status();
        let media = response
            .headers()
            .get(CONTENT_TYPE)
            .map(HeaderValue::as_bytes);
        if media == Some(b"text/event-stream") && status == StatusCode::OK {
            let detail = "a stream has no end, and this answer is one message";
            return Err(Fault::new(Code::BadValue, detail));
        }
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error: Box<dyn std::error::Error + Send + Sync>| {
            let detail = format!("the answer has more than {most} bytes; ask for less at a time");
            Fault::new(Code::TooLarge, detail).because(error)
        })?;
        Ok((status.as_u16(), body.to_bytes()))
    }
}
