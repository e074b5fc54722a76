//! The sealed envelopes that were published before, versions 1 and 2, where the box is told to serve
//! them: their bytes, and of what they leave open all that a server can close.
//!
//! What opens is put to the routes as its token's, as everything is. A message without a record opens
//! nothing, one that was here before does nothing, and an unknown key looks like a wrong one.

pub(crate) mod front;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use cib_base::hex;
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::legacy::{Direction, PAYLOAD, Type, V1, V2};
use cib_protocol::time::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::inside::Inside;
use super::limits::Limits;
use super::request;
use crate::app::App;
use crate::auth::Caller;
use crate::auth::tokens::Holder;
use crate::envelope::Asked;
use crate::envelope::earlier::{self, Answer, Earlier, Translated};
use crate::envelope::seen::{Seen, Verdict};
use crate::fault::{Code, Fault};
use crate::work;

/// Bytes of a request.
const MOST: usize = 1 << 20;

/// Bytes of a request that anybody may have the box hold; the first record of version 2 is in them.
const SHORT: usize = 8 << 10;

/// Longer requests of each version that are held at once.
const LONG: usize = 8;

/// How long a longer request waits for its turn.
const TURN: Duration = Duration::from_secs(2);

/// Nothing of a message of version 1 is proven before it is whole, so those are apart from those of
/// version 2, whose first record opens before they are read on.
static TURNS: [Semaphore; 2] = [Semaphore::const_new(LONG), Semaphore::const_new(LONG)];

/// Bytes of an answer that is no stream.
const MOST_ANSWER: usize = 64 << 20;

/// How far a time may be from the box's, in milliseconds, by version.
const TOLERANCE: (u64, u64) = (300_000, 150_000);

const ENVELOPE: HeaderName = HeaderName::from_static("sec-cib-envelope");
const KEY_ID: HeaderName = HeaderName::from_static("sec-cib-keyid");
const NONCE: HeaderName = HeaderName::from_static("sec-cib-nonce");
const STREAM: HeaderName = HeaderName::from_static("sec-cib-stream");
const TIMESTAMP: HeaderName = HeaderName::from_static("sec-cib-timestamp");

/// The media type of version 2.
const MEDIA: &str = "application/cib-stream-1";

/// A refusal in the clear.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

fn refuse(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal {
        status,
        code,
        detail: detail.into(),
    }
}

fn malformed(detail: &str) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, "BadEnvelope", detail)
}

/// One word for a key that there is not, another key, and damage.
fn bad_tag() -> Refusal {
    refuse(
        StatusCode::BAD_REQUEST,
        "BadTag",
        "the message does not open",
    )
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, "an earlier envelope is not answered");
    refuse(
        StatusCode::INTERNAL_SERVER_ERROR,
        "ServerError",
        "something failed inside",
    )
}

impl Refusal {
    fn respond(self) -> Response {
        let body = json!({"error": self.code, "detail": self.detail});
        clear(self.status, &body)
    }
}

fn clear(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a message's headers say, and what it is sealed with.
struct Letter {
    version: Version,
    key_id: String,
    timestamp: String,
    method: String,
    path: String,
    key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// With its nonce.
    One([u8; 12]),
    /// With its stream.
    Two([u8; 16]),
}

/// Whether a path is one of theirs.
pub(super) fn is_one(path: &str) -> bool {
    path.strip_prefix("/aes/")
        .is_some_and(|rest| !matches!(rest.split('/').next(), Some("v3")))
}

/// Answers a request of an earlier envelope.
pub(super) async fn serve(
    app: Arc<App>,
    inside: Inside,
    limits: Limits,
    request: Request,
) -> Response {
    let answered = answer(&app, &inside, limits, request).await;
    answered.unwrap_or_else(Refusal::respond)
}

async fn answer(
    app: &Arc<App>,
    inside: &Inside,
    limits: Limits,
    request: Request,
) -> Result<Response, Refusal> {
    let Some(seen) = app.envelope.seen() else {
        return Err(refuse(
            StatusCode::NOT_FOUND,
            "no_such_route",
            "there is nothing here",
        ));
    };
    let (parts, body) = request.into_parts();
    match (parts.method.as_str(), parts.uri.path()) {
        ("GET", "/aes/time") => {
            let (_, tolerance) = TOLERANCE;
            let body = json!({
                "server_now": app.envelope.now(),
                "tolerance_ms": tolerance,
                "envelope": "2",
                "max_record_plaintext": 4096,
            });
            return Ok(clear(StatusCode::OK, &body));
        }
        ("GET", "/aes/keyinfo") => return keyinfo(&parts),
        _ => {}
    }
    let letter = letter(app, &parts)?;
    let read = read(&letter, body, &parts, limits).await;
    let plain = match read.and_then(|held| open(&letter, &held.bytes)) {
        Err(refusal) if refusal.code == "BadTag" => {
            app.gate.wrong_key(inside.arrival()).map_err(|fault| {
                refuse(
                    StatusCode::TOO_MANY_REQUESTS,
                    "TooManyAttempts",
                    fault.detail(),
                )
            })?;
            return Err(refusal);
        }
        opened => opened?,
    };
    let caller = match app.gate.tokens().legacy(&letter.key_id, Timestamp::now()) {
        // It opened with a key that nobody was given.
        Holder::Nobody => return Err(bad_tag()),
        Holder::Expired => {
            let fault = Fault::new(Code::TokenExpired, "the device token has expired");
            return told(inside, &letter, &fault).await;
        }
        Holder::Caller(caller) => *caller,
    };
    take(seen, &letter).await?;
    let body: Map<String, Value> = if plain.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(&plain) {
            Ok(body) => body,
            Err(error) => {
                let fault = Fault::new(Code::BadJson, error.to_string());
                return told(inside, &letter, &fault).await;
            }
        }
    };
    match earlier::translate(&letter.method, &letter.path, body) {
        Earlier::Ask(asked) => ask(inside, &letter, caller, asked).await,
        Earlier::Stream(wanted) if matches!(letter.version, Version::Two(_)) => {
            streams::follow(inside, &letter, caller, wanted).await
        }
        Earlier::Stream(_) | Earlier::Nothing => {
            let detail = format!("there is nothing at {}", letter.path);
            let fault = Fault::new(Code::NoSuchRoute, detail);
            told(inside, &letter, &fault).await
        }
    }
}

/// The same for every id, so that nobody learns which there are.
fn keyinfo(parts: &Parts) -> Result<Response, Refusal> {
    let query = parts.uri.query().unwrap_or_default();
    let id = query.strip_prefix("id=").filter(|id| front::is_id(id));
    let id = id.ok_or_else(|| malformed("`id` is the id of a device token"))?;
    let body = json!({
        "id": id,
        "algorithm": "aes-256-gcm",
        "derive_subkeys": false,
        "envelope": "2",
        "max_record_plaintext": 4096,
        "content_type": MEDIA,
    });
    Ok(clear(StatusCode::OK, &body))
}

fn letter(app: &App, parts: &Parts) -> Result<Letter, Refusal> {
    let front = front::read(&parts.headers)?;
    // Nothing else of the address is sealed.
    if parts.uri.query().is_some() {
        return Err(malformed("a query is not sealed, so none is taken"));
    }
    if front.time.abs_diff(app.envelope.now()) > front.tolerance {
        let detail = "the time is too far from the box's, which /aes/time tells";
        return Err(refuse(StatusCode::UNAUTHORIZED, "ClockDrift", detail));
    }
    Ok(Letter {
        version: front.version,
        key_id: front.key_id,
        timestamp: front.timestamp,
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        key: app.gate.tokens().legacy_key(KeyId(front.bytes)),
    })
}

/// A message, and its turn if it is a longer one.
struct Held {
    bytes: Bytes,
    _turn: Option<SemaphorePermit<'static>>,
}

/// Reads a message. Of one that is longer a stranger has the box hold no more than its beginning, as far
/// as the version lets the box know one.
async fn read(letter: &Letter, body: Body, parts: &Parts, limits: Limits) -> Result<Held, Refusal> {
    let unread = |fault: Fault| match fault.code() {
        Code::TooLarge => refuse(StatusCode::PAYLOAD_TOO_LARGE, "BadEnvelope", fault.detail()),
        _ => malformed(fault.detail()),
    };
    let coming = request::Coming::begin(body, parts, MOST, limits).await;
    let mut coming = coming.map_err(unread)?;
    let mut turn = None;
    if !coming.read_to(SHORT).await.map_err(unread)? {
        match take_turn(letter, &coming.whole).await {
            Ok(taken) => turn = Some(taken),
            Err(refusal) => {
                coming.discard().await;
                return Err(refusal);
            }
        }
        coming.read_to(MOST).await.map_err(unread)?;
    }
    Ok(Held {
        bytes: coming.whole.freeze(),
        _turn: turn,
    })
}

/// The turn of a longer message, by its beginning.
async fn take_turn(letter: &Letter, beginning: &[u8]) -> Result<SemaphorePermit<'static>, Refusal> {
    let [one, two] = &TURNS;
    let turns = match letter.version {
        Version::One(_) => one,
        Version::Two(stream) => {
            let (id, path) = (&letter.key_id, &letter.path);
            let records = V2::new(&letter.key, Direction::Request, id, path, stream);
            let first = records.and_then(|mut records| records.open(beginning).map(drop));
            first.map_err(|_| bad_tag())?;
            two
        }
    };
    let turn = timeout(TURN, turns.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| {
        let detail = "too many long requests are on their way; try again";
        refuse(StatusCode::SERVICE_UNAVAILABLE, "Busy", detail)
    })
}

/// What a message says. One without a record says nothing, and one without an end is cut.
fn open(letter: &Letter, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    match letter.version {
        Version::One(nonce) => V1 {
            key_id: &letter.key_id,
            timestamp: &letter.timestamp,
            method: &letter.method,
            path: &letter.path,
            nonce,
        }
        .open(&letter.key, bytes)
        .map_err(|_| bad_tag()),
        Version::Two(stream) => {
            let (id, path) = (&letter.key_id, &letter.path);
            let opened = V2::new(&letter.key, Direction::Request, id, path, stream);
            let mut records = opened.map_err(|_| bad_tag())?;
            let (mut rest, mut plain, mut count) = (bytes, Vec::new(), 0);
            loop {
                // Where a record ends without another or the end, somebody has cut it.
                if rest.is_empty() {
                    return Err(malformed("the message has no end"));
                }
                match records.open(rest).map_err(|_| bad_tag())? {
                    Some(record) if record.number == Type::Json as u8 => {
                        plain.extend_from_slice(&record.payload);
                        rest = record.rest;
                    }
                    Some(record) if record.number == Type::Heartbeat as u8 => rest = record.rest,
                    Some(_) => return Err(malformed("a request has records of JSON alone")),
                    None if count == 0 => return Err(malformed("the message has no record")),
                    None => return Ok(plain),
                }
                count += 1;
            }
        }
    }
}

/// Nothing that was recorded is done again.
async fn take(seen: Arc<Seen>, letter: &Letter) -> Result<(), Refusal> {
    let (token, mut number) = (letter.key_id.clone(), [0; 16]);
    match letter.version {
        // A nonce is told from a stream by what stands before it.
        Version::One(nonce) => {
            number[0] = 1;
            number[4..].copy_from_slice(&nonce);
        }
        Version::Two(stream) => number = stream,
    }
    let taken = work::run(move || seen.take(&token, number)).await;
    match taken {
        Ok(Verdict::New) => Ok(()),
        Ok(Verdict::Seen) => Err(refuse(
            StatusCode::CONFLICT,
            "ReplayedNonce",
            "this request was here before",
        )),
        Ok(Verdict::Full) => Err(refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "TokenSpent",
            "the token has asked a million times, which is all that is remembered; mint another",
        )),
        Err(fault) => {
            fault.log("aes");
            Err(refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "ServerError",
                "it cannot be remembered, so it is not done",
            ))
        }
    }
}

async fn ask(
    inside: &Inside,
    letter: &Letter,
    caller: Caller,
    asked: Translated,
) -> Result<Response, Refusal> {
    let ask = |method, target: String, body: &Value| {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let asked = Asked {
            caller: caller.clone(),
            method,
            target,
            body,
        };
        inside.ask(asked, MOST_ANSWER)
    };
    let (status, body) = ask(asked.method, asked.target.clone(), &asked.body).await;
    let value = serde_json::from_slice::<Value>(&body).unwrap_or_else(|_| json!({}));
    if status >= 400 {
        return seal(letter, status, &value);
    }
    let mut answer = asked.answer.tell(value);
    if asked.answer == Answer::Page && answer["frames"].as_array().is_none_or(Vec::is_empty) {
        let session = asked.target.split("/transcript").next().unwrap_or_default();
        let (_, meta) = ask(
            cib_envelope::head::Method::Get,
            session.to_owned(),
            &Value::Null,
        )
        .await;
        let meta = serde_json::from_slice::<Value>(&meta).unwrap_or_default();
        if matches!(
            meta["state"].as_str(),
            Some("stopped" | "failed" | "interrupted")
        ) {
            answer["closed"] = Value::Bool(true);
        }
    }
    seal(letter, status, &answer)
}

async fn told(inside: &Inside, letter: &Letter, fault: &Fault) -> Result<Response, Refusal> {
    let (status, body) = inside.told(fault, MOST_ANSWER).await;
    let value = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    seal(letter, status, &value)
}

fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| broken(&error))?;
    Ok(bytes)
}

/// An answer that is whole.
fn seal(letter: &Letter, status: u16, value: &Value) -> Result<Response, Refusal> {
    let plain = value.to_string().into_bytes();
    let (mut headers, body) = match letter.version {
        Version::One(_) => {
            let nonce = random()?;
            let timestamp = Timestamp::now().as_millis().to_string();
            let sealed = V1 {
                key_id: &letter.key_id,
                timestamp: &timestamp,
                method: "RESPONSE",
                path: &letter.path,
                nonce,
            }
            .seal(&letter.key, &plain)
            .map_err(|error| broken(&error))?;
            (headers(letter, "1", &NONCE, &nonce, &timestamp)?, sealed)
        }
        Version::Two(_) => {
            let (mut sealer, headers) = begin(letter)?;
            let mut sealed = Vec::with_capacity(plain.len() + plain.len() / 64 + 64);
            for piece in plain.chunks(PAYLOAD) {
                sealer
                    .seal(Type::Json, piece, &mut sealed)
                    .map_err(|error| broken(&error))?;
            }
            sealed.extend_from_slice(&[0, 0]);
            (headers, sealed)
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    std::mem::swap(response.headers_mut(), &mut headers);
    Ok(response)
}

/// An answer of version 2 that begins: what seals it, and its headers.
fn begin(letter: &Letter) -> Result<(V2, HeaderMap), Refusal> {
    let stream = random()?;
    let timestamp = Timestamp::now().as_millis().to_string();
    let (id, path) = (&letter.key_id, &letter.path);
    let sealer = V2::new(&letter.key, Direction::Response, id, path, stream);
    let sealer = sealer.map_err(|error| broken(&error))?;
    Ok((sealer, headers(letter, "2", &STREAM, &stream, &timestamp)?))
}

fn headers(
    letter: &Letter,
    version: &'static str,
    name: &HeaderName,
    number: &[u8],
    timestamp: &str,
) -> Result<HeaderMap, Refusal> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| broken(&error));
    let media = if version == "1" {
        "application/octet-stream"
    } else {
        MEDIA
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ENVELOPE, HeaderValue::from_static(version));
    headers.insert(KEY_ID, value(&letter.key_id)?);
    headers.insert(name.clone(), value(&hex::encode(number))?);
    headers.insert(TIMESTAMP, value(timestamp)?);
    Ok(headers)
}
