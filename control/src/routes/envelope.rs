//! The sealed envelope: messages of devices, opened.
//!
//! What comes from strangers is judged in the order of `docs/AES-TRANSPORT.md`, and answered in
//! the clear with one word that is the same for everybody. From where a message is proven, faults
//! are sealed as well.

use std::time::Duration;

use bytes::Bytes;
use cib_envelope::MEDIA;
use cib_envelope::head::Request;
use cib_envelope::message::{LEAD, Prefix};
use cib_envelope::record::{MIN_MAX, Opener};
use cib_envelope::server::{Refusal, TOLERANCE};
use http::StatusCode;
use tokio::time::timeout;

use super::call::{Call, Reply, Upload};
use crate::app::App;
use crate::auth::gate::Arrival;
use crate::envelope::{Asked, Known, Sealed};
use crate::fault::{Code, Fault};

/// Bytes of what a sealed request may carry: an input of the largest size, as JSON.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Time for a whole message.
const WHOLE: Duration = Duration::from_secs(120);

/// Why there is no sealed answer.
enum Unsealed {
    /// For a word that anybody may hear.
    Refusal(Refusal),
    /// For a limit that every route has.
    Fault(Fault),
}

impl From<Refusal> for Unsealed {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Fault> for Unsealed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a whole message is answered with.
pub(crate) enum Opened {
    /// A challenge, or a word that anybody may hear.
    Clear(Vec<u8>),
    /// What the request in it is answered with, sealed.
    Sealed(Box<Sealed>),
}

/// Opens a message that came as a whole, by no connection of its own.
pub(crate) async fn open_whole(app: &App, arrival: Arrival, message: &[u8]) -> Opened {
    let mut incoming = Incoming {
        upload: Upload::none(),
        waiting: message.to_vec(),
    };
    let reply = match open(app, arrival, &mut incoming).await {
        Ok(Some(sealed)) => return Opened::Sealed(Box::new(sealed)),
        Ok(None) => fresh_challenge(app),
        Err(Unsealed::Refusal(refusal)) => refuse(refusal),
        Err(Unsealed::Fault(fault)) => Err(fault),
    };
    Opened::Clear(match reply {
        Ok(Reply::Bytes { bytes, .. }) => bytes,
        Ok(_) => Vec::new(),
        Err(fault) => format!(r#"{{"error":"{}"}}"#, fault.code().as_str()).into_bytes(),
    })
}

pub(super) fn challenge(call: &Call) -> Result<Reply, Fault> {
    fresh_challenge(&call.app)
}

fn fresh_challenge(app: &App) -> Result<Reply, Fault> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(Fault::internal)?;
    Ok(Reply::Bytes {
        status: StatusCode::OK,
        media: MEDIA,
        bytes: app.envelope.challenge(random).to_vec(),
    })
}

/// What happens there the line of a device decides.
pub(super) fn line(_: &Call) -> Result<Reply, Fault> {
    Ok(Reply::SealedSocket)
}

pub(super) async fn sealed(mut call: Call) -> Result<Reply, Fault> {
    let Some(upload) = call.upload.take() else {
        return refuse(Refusal::Malformed);
    };
    let mut incoming = Incoming {
        upload,
        waiting: Vec::new(),
    };
    let opened = timeout(WHOLE, open(&call.app, call.arrival, &mut incoming)).await;
    match opened.unwrap_or_else(|_| Err(late().into())) {
        Ok(Some(sealed)) => Ok(Reply::Sealed(Box::new(sealed))),
        Ok(None) => challenge(&call),
        Err(Unsealed::Refusal(refusal)) => refuse(refusal),
        Err(Unsealed::Fault(fault)) => Err(fault),
    }
}

fn late() -> Fault {
    let detail = format!(
        "the message did not arrive within {} seconds",
        WHOLE.as_secs()
    );
    Fault::new(Code::RequestTimeout, detail)
}

/// One word, for everybody the same.
fn refuse(refusal: Refusal) -> Result<Reply, Fault> {
    let status = match refusal {
        Refusal::Malformed => StatusCode::BAD_REQUEST,
        Refusal::Stale => StatusCode::UNAUTHORIZED,
        Refusal::Refused => StatusCode::FORBIDDEN,
        Refusal::Replayed => StatusCode::CONFLICT,
        Refusal::TooMany => {
            let fault = Fault::new(Code::TooManyAttempts, "the token opens too many sessions");
            return Err(fault.retry_after(Duration::from_secs(60)));
        }
    };
    Ok(Reply::Bytes {
        status,
        media: "application/json",
        bytes: format!(r#"{{"error":"{refusal}"}}"#).into_bytes(),
    })
}

/// A message as it comes.
struct Incoming {
    upload: Upload,
    waiting: Vec<u8>,
}

impl Incoming {
    /// More of it; nothing at its end.
    async fn more(&mut self) -> Result<Option<Bytes>, Fault> {
        self.upload.next().await.transpose()
    }

    /// Waits until there are so many bytes of it.
    async fn until(&mut self, count: usize) -> Result<(), Unsealed> {
        while self.waiting.len() < count {
            let piece = self.more().await?.ok_or(Refusal::Malformed)?;
            self.waiting.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// What it begins with. What was read of its records stays.
    async fn prefix(&mut self) -> Result<Prefix, Unsealed> {
        self.until(LEAD).await?;
        let lead = self
            .waiting
            .first_chunk::<LEAD>()
            .ok_or(Refusal::Malformed)?;
        let length = Prefix::length(lead).map_err(|_| Refusal::Malformed)?;
        self.until(length).await?;
        let (prefix, records) = Prefix::parse(&self.waiting).map_err(|_| Refusal::Malformed)?;
        self.waiting = records.to_vec();
        Ok(prefix)
    }
}

/// Opens a message; nothing for a hello.
async fn open(
    app: &App,
    arrival: Arrival,
    incoming: &mut Incoming,
) -> Result<Option<Sealed>, Unsealed> {
    let prefix = incoming.prefix().await?;
    let opens = match &prefix {
        Prefix::Hello if incoming.waiting.is_empty() && incoming.more().await?.is_none() => {
            return Ok(None);
        }
        Prefix::Hello => return Err(Refusal::Malformed.into()),
        // A connection is for lines that carry both ways at once.
        Prefix::Open(open) if open.is_connect() => return Err(Refusal::Malformed.into()),
        Prefix::Open(_) => true,
        Prefix::Next(_) => false,
    };
    let candidate = app.envelope.judge(&prefix)?;
    // The same work for every key id, whether there is such a token or not.
    let key = app.gate.tokens().key(candidate.key_id());
    let (mut opener, proven) = candidate.opener(&key);
    opener.push(&std::mem::take(&mut incoming.waiting));
    let first = loop {
        match opener.record() {
            Ok(Some(first)) => break Some(first),
            Ok(None) => match incoming.more().await? {
                Some(piece) => opener.push(&piece),
                None => break None,
            },
            Err(_) => break None,
        }
    };
    let Some(first) = first else {
        app.gate.wrong_key(arrival)?;
        return Err(Refusal::Refused.into());
    };
    let Known { caller, responder } = match app.envelope.known(app, proven, opens) {
        Err(Refusal::Refused) => {
            app.gate.wrong_key(arrival)?;
            return Err(Refusal::Refused.into());
        }
        known => known?,
    };
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(Fault::internal)?;
    let now = app.envelope.now();
    // From here on the device is told under seal.
    let head = Request::parse(&first.plain);
    let max_record = head
        .as_ref()
        .map_or(MIN_MAX, |(head, _)| head.max_record.into());
    let asked = match head {
        Ok((head, rest)) => match (caller, head.time_ms.abs_diff(now) > TOLERANCE) {
            (None, _) => Err(Fault::new(
                Code::TokenExpired,
                "the device token has expired",
            )),
            (Some(_), true) => {
                let detail = "the device's time is not the box's, which this answer begins with";
                Err(Fault::new(Code::Clock, detail))
            }
            (Some(caller), false) => body(rest.to_vec(), &mut opener, incoming)
                .await
                .map(|body| Asked {
                    caller,
                    method: head.method,
                    target: head.target,
                    body,
                }),
        },
        Err(error) => Err(Fault::new(Code::BadRecord, error.to_string())),
    };
    Ok(Some(Sealed {
        asked,
        responder,
        max_record,
        now,
        salt,
    }))
}

/// The rest of a request, to its end.
async fn body(
    mut body: Vec<u8>,
    opener: &mut Opener,
    incoming: &mut Incoming,
) -> Result<Bytes, Fault> {
    let bad = |detail: &str| Fault::new(Code::BadRecord, detail.to_owned());
    loop {
        while let Some(record) = opener.record().map_err(|error| bad(&error.to_string()))? {
            body.extend_from_slice(&record.plain);
            if body.len() > MAX_BODY {
                let detail = format!("the body has more than {MAX_BODY} bytes");
                return Err(Fault::new(Code::TooLarge, detail));
            }
        }
        match incoming.more().await? {
            Some(piece) => opener.push(&piece),
            None if opener.is_over() => return Ok(body.into()),
            None => return Err(bad("the message has no last record")),
        }
    }
}
