//! Journals on their way to the broker: each is read on only as what was read before is taken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cib_protocol::session::{Program, SessionId};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::coalesce;
use crate::app::App;
use crate::fault::Fault;
use crate::journal::cursor::{Batch, Cursor, Kinds, Read, Start};
use crate::routes::streams::tail;

/// A frame.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) kind: String,
    pub(super) bytes: Bytes,
}

/// What frames are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// The topics of a session.
    Journal(SessionId),
    /// Who asked for them again, by a number.
    Again(u64),
    /// A device that has subscribed, by its subscription's number.
    Push(u64),
}

/// What a source has to say.
#[derive(Debug)]
pub(super) enum Piece {
    /// Frames.
    Frames(Origin, Vec<Line>),
    /// The journal has no more for now.
    Over(Origin),
    /// That was all that was asked for again, up to a seq; or why there is nothing.
    Done(u64, Result<u64, String>),
}

fn lines(batch: &Batch) -> Vec<Line> {
    let line = |line: crate::journal::cursor::Line<'_>| Line {
        seq: line.seq,
        kind: line.kind.to_owned(),
        bytes: line.bytes,
    };
    batch.lines().map(line).collect()
}

/// The first pause before a journal that gave nothing is read again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often each was read in vain, one time after another.
#[derive(Debug, Default)]
pub(super) struct Vain(HashMap<Origin, u32>);

impl Vain {
    /// How long a journal rests before it is read: not at all, unless it gave nothing.
    pub(super) fn pause(&self, origin: Origin) -> Duration {
        match self.0.get(&origin).copied().unwrap_or(0) {
            0 => Duration::ZERO,
            times => (PAUSE.0 * (1 << (times - 1).min(6))).min(PAUSE.1),
        }
    }

    /// It was read to its end, or could not be.
    pub(super) fn over(&mut self, origin: Origin) {
        let times = self.0.entry(origin).or_default();
        *times = times.saturating_add(1);
    }

    /// It gave something, or is followed no longer.
    pub(super) fn forget(&mut self, origin: Origin) {
        self.0.remove(&origin);
    }
}

/// Where a journal is read on.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) session: SessionId,
    /// Behind this seq.
    pub(super) after: u64,
    pub(super) kinds: Kinds,
    /// For how long pieces of a text are joined.
    pub(super) coalesce: Duration,
}

/// Bytes of frames that are joined at once.
const JOINED: usize = 64 * 1024;

/// What there is besides when a piece of a text has had time to be followed by more of it.
async fn more(cursor: &mut Cursor, frames: Vec<Line>, coalesce: Duration) -> Vec<Line> {
    if coalesce.is_zero() {
        return frames;
    }
    let mut frames = frames;
    if frames.last().is_some_and(coalesce::is_piece) {
        sleep(coalesce).await;
        let size = |frames: &[Line]| frames.iter().map(|line| line.bytes.len()).sum::<usize>();
        // What cannot be read now is found out where reading goes on.
        while size(&frames) < JOINED
            && let Ok(Some(batch)) = cursor.ready().await
        {
            frames.extend(lines(&batch));
        }
    }
    coalesce::joined(frames)
}

/// Reads a session's journal to its end, after a pause.
pub(super) async fn follow(
    app: Arc<App>,
    origin: Origin,
    place: Place,
    pause: Duration,
    pieces: mpsc::Sender<Piece>,
) {
    let Place {
        session,
        after,
        kinds,
        coalesce,
    } = place;
    sleep(pause).await;
    if let Ok(Ok(tail)) = tail(&app, session).await
        && let Ok(mut cursor) = Cursor::open(tail, Start::After(after), kinds).await
    {
        while let Read::Frames(batch) = cursor.next().await {
            let frames = more(&mut cursor, lines(&batch), coalesce).await;
            if pieces.send(Piece::Frames(origin, frames)).await.is_err() {
                return;
            }
        }
    }
    // Nobody listens any more when the connection has ended.
    let _ = pieces.send(Piece::Over(origin)).await;
}

/// What is to be said again.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) session: SessionId,
    /// Behind this seq.
    pub(super) after: u64,
    /// Up to this one, if that is said.
    pub(super) to: Option<u64>,
    pub(super) kinds: Kinds,
}

/// Reads a part of a journal again, as far as it is there.
pub(super) async fn again(app: Arc<App>, wanted: Wanted, number: u64, pieces: mpsc::Sender<Piece>) {
    let read = async {
        let why = |fault: Fault| fault.detail().to_owned();
        // A shell's journal is no session's: it has a scope of its own.
        let admitted = app.store.admit(Program::Claude, wanted.session).await;
        admitted.map_err(why)?;
        let tail = tail(&app, wanted.session).await.map_err(why)?;
        let tail = tail.map_err(|error| error.to_string())?;
        let cursor = Cursor::open(tail, Start::After(wanted.after), wanted.kinds).await;
        let mut cursor = cursor.map_err(|error| error.to_string())?;
        let mut last = wanted.after;
        while let Some(batch) = cursor.ready().await.map_err(|error| error.to_string())? {
            let mut lines = lines(&batch);
            let all = lines.len();
            lines.retain(|line| wanted.to.is_none_or(|to| line.seq <= to));
            let is_end = lines.len() < all;
            last = lines.last().map_or(last, |line| line.seq);
            let frames = Piece::Frames(Origin::Again(number), lines);
            if pieces.send(frames).await.is_err() || is_end {
                break;
            }
        }
        Ok(last)
    };
    let outcome = read.await;
    let _ = pieces.send(Piece::Done(number, outcome)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_gives_nothing_is_read_ever_more_seldom_and_at_once_when_it_gives() {
        let (mut vain, id) = (Vain::default(), Origin::Journal(SessionId::default()));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(vain.pause(id).as_secs());
            vain.over(id);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        vain.forget(id);
        assert_eq!(vain.pause(id), Duration::ZERO);
    }
}
