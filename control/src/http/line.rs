//! Devices on a line of their own: records of the sealed envelope without HTTP.
//!
//! Hello, challenge, connect; then items both ways for as long as the line lives. What a device
//! asks is put to the same routes, and what they answer comes back item by item: TCP holds up who
//! reads slowly, and nobody else.

mod calls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::BytesMut;
use cib_envelope::head::{Answer, Carries};
use cib_envelope::item::{HEADER as ITEM_HEADER, Item, Kind};
use cib_envelope::message::{HELLO, LEAD, OPEN, Prefix};
use cib_envelope::record::{AROUND, MAX, MIN_MAX, Opener, Sealer};
use cib_envelope::server::{Refusal, TOLERANCE};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::limits::Limits;
use super::patient::Patient;
use super::places::{Busy, Place};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::address::Peer;
use crate::auth::gate::Arrival;
use crate::envelope::{Known, Sealed, answer};
use crate::fault::{Code, Fault};
use calls::{Calls, Piece};

/// Time until a device is connected.
const GREETING: Duration = Duration::from_secs(10);

/// A device says something at least this often.
const SILENCE: Duration = Duration::from_secs(90);

/// Bytes of the first record's plaintext: the device's time, and the longest record that it takes.
const FIRST: usize = 10;

/// Items that wait to be written.
const WAITING: usize = 4;

/// What one device's line needs.
pub(super) struct Line<S> {
    pub(super) stream: S,
    pub(super) peer: Peer,
    /// Whom it is counted for, which a trusted proxy says of a WebSocket.
    pub(super) arrival: Arrival,
    pub(super) place: Place,
    pub(super) app: Arc<App>,
    pub(super) inner: Router,
    pub(super) limits: Limits,
}

/// A device that is connected.
struct Connected {
    caller: Caller,
    opener: Opener,
    sealer: Sealer,
    max: usize,
    _busy: Busy,
}

/// Why a line ends before it is one.
enum Unconnected {
    /// For a word that anybody may hear.
    Refusal(Refusal),
    /// It is broken, or wanted by somebody else.
    Line,
    /// The device is told, under seal or as everybody is.
    Told(Vec<u8>),
}

impl From<io::Error> for Unconnected {
    fn from(_: io::Error) -> Self {
        Self::Line
    }
}

impl From<Refusal> for Unconnected {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// Serves a line until it ends.
/// `_held` is what the line holds meanwhile.
pub(super) async fn serve<S, H>(line: Line<S>, _held: H)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Line {
        stream,
        peer,
        arrival,
        place,
        app,
        inner,
        limits,
    } = line;
    let mut stream = Patient::new(stream, limits.write);
    let greeted = tokio::select! {
        greeted = timeout(GREETING, greet(&mut stream, &app, arrival, &place)) => greeted,
        () = place.wanted() => return,
    };
    let last = match greeted {
        Ok(Ok(connected)) => {
            let calls = Calls::new(inner, connected.caller.clone(), arrival, peer);
            tokio::select! {
                () = converse(&mut stream, &app, connected, calls) => {}
                () = place.wanted() => {}
            }
            return;
        }
        Ok(Err(Unconnected::Refusal(refusal))) => {
            format!(r#"{{"error":"{refusal}"}}"#).into_bytes()
        }
        Ok(Err(Unconnected::Told(bytes))) => bytes,
        Ok(Err(Unconnected::Line)) | Err(_) => return,
    };
    // Whoever does not take it has gone.
    let _ = say(&mut stream, &last).await;
    let _ = stream.shutdown().await;
}

/// Writes, to the last byte: a line inside of another has a buffer.
async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Until the device is connected: no more than a kilobyte is held for it.
async fn greet(
    stream: &mut Patient<impl AsyncRead + AsyncWrite + Unpin>,
    app: &App,
    arrival: Arrival,
    place: &Place,
) -> Result<Connected, Unconnected> {
    let mut lead = [0; LEAD];
    stream.read_exact(&mut lead).await?;
    if lead != HELLO {
        return Err(Refusal::Malformed.into());
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Unconnected::Line)?;
    say(stream, &app.envelope.challenge(random)).await?;

    let mut opening = [0; OPEN];
    stream.read_exact(&mut opening).await?;
    let (prefix, _) = Prefix::parse(&opening).map_err(|_| Refusal::Malformed)?;
    match &prefix {
        Prefix::Open(open) if open.is_connect() => {}
        _ => return Err(Refusal::Malformed.into()),
    }
    let candidate = app.envelope.judge(&prefix)?;
    let key = app.gate.tokens().key(candidate.key_id());
    let (mut opener, proven) = candidate.opener(&key);
    let mut record = [0; FIRST + AROUND];
    stream.read_exact(&mut record).await?;
    // A record of another length does not open: its first bytes say how long it is.
    opener.push(&record);
    let Ok(Some(first)) = opener.record() else {
        return Err(wrong(app, arrival));
    };
    let (caller, responder) = match app.envelope.known(app, proven, true) {
        Err(Refusal::Refused) => return Err(wrong(app, arrival)),
        Err(refusal) => return Err(refusal.into()),
        Ok(Known { caller, responder }) => (caller, responder),
    };
    let now = app.envelope.now();
    let (time, max) = hello(&first.plain);
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(|_| Unconnected::Line)?;
    let off = time.abs_diff(now);
    let fault = match &caller {
        None => Some(Fault::new(
            Code::TokenExpired,
            "the device token has expired",
        )),
        Some(_) if off > TOLERANCE => Some(Fault::new(
            Code::Clock,
            "the device's time is not the box's",
        )),
        Some(_) if first.is_last || !(MIN_MAX..=MAX).contains(&max) => {
            Some(Fault::new(Code::BadRecord, "it connects to nothing"))
        }
        Some(caller) => place.claim(&caller.who).err(),
    };
    let (Some(caller), None) = (caller, &fault) else {
        let fault = fault.unwrap_or_else(|| Fault::internal("nobody"));
        let sealed = Sealed {
            asked: Err(Fault::internal("it is told")),
            responder,
            max_record: max.clamp(MIN_MAX, MAX),
            now,
            salt,
        };
        let told = answer::whole(
            &sealed,
            fault.code().number(),
            fault_body(&fault).as_bytes(),
        );
        return Err(told.map_or(Unconnected::Line, Unconnected::Told));
    };
    let (mut out, mut sealer) = responder.begin(salt);
    let head = Answer {
        time_ms: now,
        status: 200,
        carries: Carries::Connection,
    };
    let opened = sealer.seal(&[&head.write()], false, &mut out);
    opened.map_err(|_| Unconnected::Line)?;
    say(stream, &out).await?;
    Ok(Connected {
        caller,
        opener,
        sealer,
        max,
        _busy: place.begin(),
    })
}

/// What the first record says: the device's time, and the longest record that it takes.
fn hello(plain: &[u8]) -> (u64, usize) {
    let time = plain.first_chunk().copied().map_or(0, u64::from_be_bytes);
    let max = plain.last_chunk().copied().map_or(0, u16::from_be_bytes);
    (time, max.into())
}

/// The refusal of a wrong key, which is the same for everybody until there were too many.
fn wrong(app: &App, arrival: Arrival) -> Unconnected {
    match app.gate.wrong_key(arrival) {
        Ok(()) => Refusal::Refused.into(),
        Err(fault) => Unconnected::Told(fault_body(&fault).into_bytes()),
    }
}

fn fault_body(fault: &Fault) -> String {
    serde_json::json!({"error": fault.code().as_str(), "detail": fault.detail()}).to_string()
}

/// What ends a conversation.
enum End {
    /// The line is broken, or the device broke the rules.
    Line,
    /// Both are told why.
    Reason(&'static str),
}

async fn converse(
    stream: &mut Patient<impl AsyncRead + AsyncWrite + Unpin>,
    app: &Arc<App>,
    mut connected: Connected,
    mut calls: Calls,
) {
    let (pieces, mut waiting) = mpsc::channel::<Piece>(WAITING);
    let mut caller = connected.caller.clone();
    let mut shutdown = app.shutdown();
    let mut buffer = BytesMut::with_capacity(MAX + AROUND);
    let (mut heard, mut said) = (Instant::now(), Instant::now());
    let end = loop {
        let mut out = Vec::new();
        tokio::select! {
            biased;
            lapse = caller.lapse() => break End::Reason(lapse.as_str()),
            () = shutdown.begun() => break End::Reason("shutting_down"),
            () = sleep_until(heard + SILENCE) => break End::Line,
            () = calls.ended() => {}
            read = stream.read_buf(&mut buffer) => {
                if !read.is_ok_and(|count| count > 0) {
                    break End::Line;
                }
                connected.opener.push(&buffer);
                buffer.clear();
                match hear(app, &mut connected, &mut calls, &pieces, &mut out) {
                    Ok(is_life) => if is_life { heard = Instant::now() },
                    Err(end) => break end,
                }
            }
            Some(piece) = waiting.recv() => {
                if !connected.say(piece.kind, piece.goes_on, piece.reference, &piece.payload, &mut out) {
                    break End::Reason("rekey");
                }
            }
            () = sleep_until(said + app.heartbeat) => {
                let now = app.envelope.now().to_be_bytes();
                connected.say(Kind::Heartbeat, false, 0, &now, &mut out);
            }
        }
        if !out.is_empty() {
            said = Instant::now();
            if say(stream, &out).await.is_err() {
                return;
            }
        }
    };
    if let End::Reason(reason) = end {
        let mut out = Vec::new();
        let body = serde_json::json!({"reason": reason}).to_string();
        let header = [Kind::End as u8, 0, 0, 0];
        let sealed = connected
            .sealer
            .seal(&[&header, body.as_bytes()], true, &mut out);
        if sealed.is_ok() && say(stream, &out).await.is_ok() {
            let _ = stream.shutdown().await;
        }
    }
}

/// Takes in what the device has said. Returns whether that was anything.
fn hear(
    app: &Arc<App>,
    connected: &mut Connected,
    calls: &mut Calls,
    pieces: &mpsc::Sender<Piece>,
    out: &mut Vec<u8>,
) -> Result<bool, End> {
    let mut is_life = false;
    while let Some(record) = connected.opener.record().map_err(|_| End::Line)? {
        is_life = true;
        let item = Item::parse(&record.plain).ok_or(End::Line)?;
        match item.kind() {
            Some(Kind::End) if record.is_last => return Err(End::Reason("bye")),
            Some(Kind::Heartbeat) if !record.is_last => {
                let now = app.envelope.now().to_be_bytes();
                connected.say(Kind::Heartbeat, false, 0, &now, out);
            }
            Some(Kind::Call) if !record.is_last => {
                let room = connected.max - ITEM_HEADER;
                calls.take(&item, room, pieces).map_err(|_| End::Line)?;
            }
            _ => return Err(End::Line),
        }
    }
    Ok(is_life)
}

impl Connected {
    /// Seals an item; not the last that the message may have.
    fn say(
        &mut self,
        kind: Kind,
        goes_on: bool,
        reference: u16,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let [high, low] = reference.to_be_bytes();
        let header = [kind as u8, u8::from(goes_on), high, low];
        self.sealer.left() > 1 && self.sealer.seal(&[&header, payload], false, out).is_ok()
    }
}
