//! A stream of frames as version 2 of the envelope has it.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cib_envelope::head::Method;
use cib_envelope::legacy::{Bad, PAYLOAD, Type, V2};
use futures_util::stream;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep_until};

use super::{Letter, Refusal, begin, seal};
use crate::auth::Caller;
use crate::envelope::Asked;
use crate::envelope::earlier::Wanted;
use crate::envelope::events::{Events, Told};
use crate::http::inside::Inside;
use crate::stream::preview;

/// What ends every message.
const TERMINATOR: [u8; 2] = [0, 0];

struct Live {
    body: Body,
    events: Events,
    sealer: V2,
    left: Option<u64>,
    until: Instant,
    heartbeat: Duration,
    is_over: bool,
}

/// Answers with frames until there are enough, or the time is up.
pub(super) async fn follow(
    inside: &Inside,
    letter: &Letter,
    caller: Caller,
    wanted: Wanted,
) -> Result<Response, Refusal> {
    let asked = Asked {
        caller,
        method: Method::Get,
        target: wanted.target,
        body: Bytes::new(),
    };
    let body = match inside.follow(asked).await {
        Ok(body) => body,
        Err((status, body)) => {
            let value = serde_json::from_slice(&body).unwrap_or_default();
            return seal(letter, status, &value);
        }
    };
    let (sealer, headers) = begin(letter)?;
    let live = Live {
        body,
        events: Events::default(),
        sealer,
        left: wanted.most,
        until: Instant::now() + Duration::from_millis(wanted.wait_ms),
        heartbeat: Duration::from_millis(wanted.heartbeat_ms),
        is_over: false,
    };
    let pieces = stream::try_unfold(live, |mut live| async move {
        if live.is_over {
            return Ok::<_, Bad>(None);
        }
        let piece = live.next().await?;
        Ok(Some((Bytes::from(piece), live)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    *response.headers_mut() = headers;
    Ok(response)
}

impl Live {
    /// What is written next; never nothing.
    async fn next(&mut self) -> Result<Vec<u8>, Bad> {
        let mut out = Vec::new();
        let beat = Instant::now() + self.heartbeat;
        while out.is_empty() {
            tokio::select! {
                frame = self.body.frame() => match frame {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            self.events.push(&data);
                            self.tell(&mut out)?;
                        }
                    }
                    // Without a word more: whoever reads it takes it for a cut.
                    Some(Err(_)) | None => return Err(Bad),
                },
                () = sleep_until(self.until) => self.end(&mut out),
                () = sleep_until(beat) => self.sealer.seal(Type::Heartbeat, b"", &mut out)?,
            }
        }
        Ok(out)
    }

    fn tell(&mut self, out: &mut Vec<u8>) -> Result<(), Bad> {
        while !self.is_over
            && let Some(told) = self.events.next()
        {
            match told {
                Told::Life => {}
                Told::Event(data, _) => {
                    let cut = (data.len() > PAYLOAD).then(|| preview::shortened(&data, PAYLOAD));
                    self.sealer
                        .seal(Type::Frame, cut.as_deref().unwrap_or(&data), out)?;
                    self.left = self.left.map(|left| left.saturating_sub(1));
                    if self.left == Some(0) {
                        self.end(out);
                    }
                }
                Told::End(_) => {
                    let reason = br#"{"reason":"session_closed"}"#;
                    self.sealer.seal(Type::End, reason, out)?;
                    self.end(out);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&TERMINATOR);
        self.is_over = true;
    }
}
