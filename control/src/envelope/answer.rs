//! An answer, sealed as it comes: nothing is read from a route before the device has taken what
//! was read before.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cib_envelope::head::{Answer, Carries};
use cib_envelope::item::{self, HEADER, Kind};
use cib_envelope::record::{AROUND, Exhausted, MAX, Sealer};
use futures_util::stream::{self, BoxStream, Stream};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::Sealed;
use super::events::{Events, Told};
use crate::app::App;

/// Why an answer breaks off: without its last record, so that nobody takes it for the whole.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The route's own answer broke off.
    #[error("the answer broke off")]
    Route(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It had more records than a message may have.
    #[error(transparent)]
    Full(#[from] Exhausted),
}

/// What a route answers, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// An answer's beginning.
struct Begun {
    out: Vec<u8>,
    sealer: Sealer,
    max: usize,
}

impl Begun {
    fn new(sealed: &Sealed) -> Self {
        let (out, sealer) = sealed.responder.begin(sealed.salt);
        Self {
            out,
            sealer,
            max: sealed.max_record.min(MAX),
        }
    }

    fn head(sealed: &Sealed, status: u16, carries: Carries) -> [u8; cib_envelope::head::ANSWER] {
        Answer {
            time_ms: sealed.now,
            status,
            carries,
        }
        .write()
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }
}

/// A whole body at once.
///
/// # Errors
/// If it has more records than a message may have.
pub fn whole(sealed: &Sealed, status: u16, body: &[u8]) -> Result<Vec<u8>, Exhausted> {
    let mut begun = Begun::new(sealed);
    let head = Begun::head(sealed, status, Carries::Body);
    let (first, rest) = body.split_at(body.len().min(begun.max - head.len()));
    let count = rest.len().div_ceil(begun.max);
    begun
        .out
        .reserve(body.len() + head.len() + (count + 1) * AROUND);
    begun
        .sealer
        .seal(&[&head, first], count == 0, &mut begun.out)?;
    for (n, piece) in rest.chunks(begun.max).enumerate() {
        begun
            .sealer
            .seal(&[piece], n + 1 == count, &mut begun.out)?;
    }
    Ok(begun.out)
}

/// A body that comes piece by piece.
pub fn body(
    sealed: &Sealed,
    status: u16,
    pieces: Pieces,
) -> impl Stream<Item = Result<Bytes, Broken>> + Send + use<> {
    let head = Begun::head(sealed, status, Carries::Body);
    let state = (Begun::new(sealed), pieces, BytesMut::from(&head[..]));
    stream::try_unfold(Some(state), |state| async move {
        let Some((mut begun, mut pieces, mut waiting)) = state else {
            return Ok(None);
        };
        loop {
            let Some(piece) = pieces.try_next().await.map_err(Broken::Route)? else {
                break;
            };
            waiting.extend_from_slice(&piece);
            // What may be the end is held back: only the last record says that it is.
            while waiting.len() > begun.max {
                let record = waiting.split_to(begun.max);
                begun.sealer.seal(&[&record], false, &mut begun.out)?;
            }
            if !begun.out.is_empty() && waiting.len() < piece.len() {
                return Ok(Some((begun.take(), Some((begun, pieces, waiting)))));
            }
        }
        begun.sealer.seal(&[&waiting], true, &mut begun.out)?;
        Ok(Some((begun.take(), None)))
    })
}

/// A stream of events while it is sealed.
struct Live {
    begun: Begun,
    pieces: Pieces,
    events: Events,
    app: Arc<App>,
    last_seq: u64,
    is_over: bool,
}

/// A stream of events, each an item.
pub fn events(
    sealed: &Sealed,
    app: &Arc<App>,
    pieces: Pieces,
) -> impl Stream<Item = Result<Bytes, Broken>> + Send + use<> {
    let mut begun = Begun::new(sealed);
    let head = Begun::head(sealed, 200, Carries::Stream);
    let opened = begun.sealer.seal(&[&head], false, &mut begun.out);
    let first = opened.map(|()| begun.take()).map_err(Broken::from);
    let live = Live {
        begun,
        pieces,
        events: Events::default(),
        app: Arc::clone(app),
        last_seq: 0,
        is_over: false,
    };
    let rest = stream::try_unfold(live, |mut live| async move {
        while !live.is_over {
            // A stream of our own ends with an event that says so.
            let Some(piece) = live.pieces.try_next().await.map_err(Broken::Route)? else {
                return Err(Broken::Route("the stream has no end".into()));
            };
            live.events.push(&piece);
            while !live.is_over
                && let Some(told) = live.events.next()
            {
                live.tell(told)?;
            }
            if !live.begun.out.is_empty() {
                return Ok(Some((live.begun.take(), live)));
            }
        }
        Ok(None)
    });
    stream::iter([first]).chain(rest)
}

impl Live {
    fn tell(&mut self, told: Told) -> Result<(), Exhausted> {
        match told {
            Told::Life => {
                let now = self.app.envelope.now().to_be_bytes();
                self.item(Kind::Heartbeat, &now)
            }
            Told::Event(data, id) => {
                self.item(Kind::Frame, &data)?;
                self.last_seq = id.unwrap_or(self.last_seq);
                Ok(())
            }
            Told::End(data) => {
                self.is_over = true;
                self.item(Kind::End, &data)
            }
        }
    }

    fn item(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Exhausted> {
        let Begun { out, sealer, max } = &mut self.begun;
        let records = payload.len().div_ceil(*max - HEADER).max(1);
        if kind != Kind::End && sealer.left() <= records {
            // The device asks anew, from where it is.
            self.is_over = true;
            let end = format!(r#"{{"reason":"rekey","last_seq":{}}}"#, self.last_seq);
            let header = [Kind::End as u8, 0, 0, 0];
            return sealer.seal(&[&header, end.as_bytes()], true, out);
        }
        let is_end = kind == Kind::End;
        for (n, (header, piece)) in item::pieces(kind, 0, payload, *max).enumerate() {
            let is_last = is_end && n + 1 == records;
            sealer.seal(&[&header, piece], is_last, out)?;
        }
        Ok(())
    }
}
