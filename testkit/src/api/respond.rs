//! Turns one HTTP request into one HTTP answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::Server;
use super::conversation::{MessagesRequest, Play, count_tokens};
use super::script::{Block, Fault, Step};
use super::wire::{Event, Reply, error};
use crate::log::{ApiRequest, Request};

/// What a prompt without a script is answered.
const SMALL_ANSWER: &str = "Done.";
/// What is answered when the script has no step left.
const OVER_ANSWER: &str = "The script is over.";

/// Answers any request.
pub(super) async fn any(
    State(server): State<Arc<Server>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let mut seen = ApiRequest {
        method: method.to_string(),
        path: uri.to_string(),
        auth: credential(&headers),
        ..ApiRequest::default()
    };
    let answer = match (method, uri.path()) {
        (Method::POST, "/v1/messages") => server.messages(&headers, &body, &mut seen)?,
        (Method::POST, "/v1/messages/count_tokens") => match refused(&headers, &seen) {
            Some(refusal) => refusal,
            None => Answer::Json(StatusCode::OK, count_tokens(&body)),
        },
        (Method::GET, "/v1/models") => match refused(&headers, &seen) {
            Some(refusal) => refusal,
            None => Answer::Json(StatusCode::OK, models()),
        },
        (Method::GET, "/api/hello") => Answer::Json(StatusCode::OK, json!({"message": "hello"})),
        (Method::HEAD | Method::GET, "/") => Answer::Json(StatusCode::OK, json!({})),
        _ => Answer::Error(StatusCode::NOT_FOUND, "Not found".into()),
    };
    let request_id = server.id("req");
    let response = answer.into_response(&request_id);
    seen.status = response.status().as_u16();
    server.log.add(peer, Request::Api(seen)).map_err(Failure)?;
    Ok(response)
}

/// The log could not be written: nothing the server then says can be relied on.
pub(super) struct Failure(io::Error);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let text = format!("the stand-in cannot keep its log: {}", self.0);
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    }
}

enum Answer {
    Json(StatusCode, Value),
    Error(StatusCode, String),
    Events {
        events: Vec<Event>,
        pace: Duration,
        cut: bool,
    },
}

impl Server {
    fn messages(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        seen: &mut ApiRequest,
    ) -> Result<Answer, Failure> {
        if let Some(refusal) = refused(headers, seen) {
            return Ok(refusal);
        }
        let request: MessagesRequest = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(fault) => return Ok(Answer::Error(StatusCode::BAD_REQUEST, fault.to_string())),
        };
        self.keep_body(body).map_err(Failure)?;
        seen.model = Some(request.model.clone());
        let effort = request.output_config.get("effort");
        seen.effort = effort.and_then(|effort| effort.as_str().map(str::to_owned));
        seen.messages = request.messages.len();
        seen.tools = request.tools.len();
        seen.stream = request.stream;
        let step = match request.next() {
            Ok(Play::Step { index, step }) => {
                seen.step = Some(index);
                step
            }
            Ok(Play::Small) => words(SMALL_ANSWER),
            Ok(Play::Over) => words(OVER_ANSWER),
            Err(fault) => return Ok(Answer::Error(StatusCode::BAD_REQUEST, fault.to_string())),
        };
        Ok(self.play(&request, step, body.len() / 4))
    }

    fn play(&self, request: &MessagesRequest, mut step: Step, input_tokens: usize) -> Answer {
        step.fault = step
            .fault
            .filter(|fault| self.fails_again(request.place(), fault.times()));
        if let Some(Fault::Status { status, .. }) = step.fault {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            return Answer::Error(status, format!("scripted {status}"));
        }
        let cut = matches!(step.fault, Some(Fault::Drop { .. }));
        let pace = step.pace;
        let id = self.id("msg");
        let reply = Reply {
            id,
            model: request.model.clone(),
            step,
            input_tokens,
        };
        if request.stream {
            let mut events = reply.events();
            if cut {
                events.truncate(events.len() / 2);
            }
            Answer::Events { events, pace, cut }
        } else if cut {
            Answer::Events {
                events: Vec::new(),
                pace,
                cut,
            }
        } else {
            Answer::Json(StatusCode::OK, reply.whole())
        }
    }
}

impl Answer {
    fn into_response(self, request_id: &str) -> Response {
        let id = [("request-id", request_id)];
        match self {
            Self::Json(status, value) => (status, id, axum::Json(value)).into_response(),
            Self::Error(status, message) => {
                let body = error(status.as_u16(), &message, request_id);
                (status, id, axum::Json(body)).into_response()
            }
            Self::Events { events, pace, cut } => {
                let kind = [
                    (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
                    (header::CACHE_CONTROL, "no-cache"),
                ];
                (kind, id, paced(events, pace, cut)).into_response()
            }
        }
    }
}

/// A body that sends `events` one by one, each delta after `pace`; `cut` ends the connection
/// instead of the body.
fn paced(events: Vec<Event>, pace: Duration, cut: bool) -> Body {
    let events = events.into_iter();
    Body::from_stream(stream::unfold(
        (events, cut),
        move |(mut events, cut)| async move {
            match events.next() {
                Some(event) => {
                    if event.is_delta() && !pace.is_zero() {
                        tokio::time::sleep(pace).await;
                    }
                    Some((Ok(event.encode()), (events, cut)))
                }
                None if cut => {
                    // What was said so far has to leave before the connection is cut.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Err(io::Error::other("scripted cut")), (events, false)))
                }
                None => None,
            }
        },
    ))
}

fn words(text: &str) -> Step {
    Step {
        blocks: vec![Block::Text(text.into())],
        ..Step::default()
    }
}

fn credential(headers: &HeaderMap) -> Option<String> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if headers.get("x-api-key").is_some_and(|key| !key.is_empty()) {
        Some("x-api-key".into())
    } else {
        bearer
            .is_some_and(|value| value.starts_with("Bearer "))
            .then(|| "bearer".into())
    }
}

/// A page of the list of models, which is the whole of it.
fn models() -> Value {
    let ids = ["claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5"];
    let data = ids.map(|id| json!({"type": "model", "id": id, "display_name": id}));
    json!({"data": data, "has_more": false, "first_id": ids[0], "last_id": ids[2]})
}

/// The API's refusal of a request without a key or a version.
fn refused(headers: &HeaderMap, seen: &ApiRequest) -> Option<Answer> {
    if seen.auth.is_none() {
        let message = "x-api-key header is required".into();
        return Some(Answer::Error(StatusCode::UNAUTHORIZED, message));
    }
    if !headers.contains_key("anthropic-version") {
        let message = "anthropic-version: header is required".into();
        return Some(Answer::Error(StatusCode::BAD_REQUEST, message));
    }
    None
}
