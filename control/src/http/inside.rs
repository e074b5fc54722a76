//! Requests that come by no connection of their own: a bridge puts them to the routes for somebody
//! whom it knows.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use tower::ServiceExt as _;

use super::limits::Limits;
use super::{envelope, reply, request};
use crate::app::App;
use crate::auth::gate::Arrival;
use crate::envelope::Asked;
use crate::fault::{Code, Fault};

/// The routes, for whoever is inside already.
#[derive(Clone, Debug)]
pub struct Inside {
    router: Router,
    arrival: Arrival,
}

impl Inside {
    /// The routes of an application, as devices have them.
    #[must_use]
    pub fn new(app: &Arc<App>) -> Self {
        Self {
            router: super::inner(app, Limits::default()),
            arrival: app.gate.origin(request::NOBODY, &HeaderMap::new()),
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

    async fn answer(&self, asked: Asked, most: usize) -> Result<(u16, Bytes), Fault> {
        let request = envelope::request(asked, self.arrival, request::NOBODY, None)?;
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
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
