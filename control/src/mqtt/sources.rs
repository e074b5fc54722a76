//! Journals on their way to the broker: each is read on only as what was read before is taken.

use std::sync::Arc;

use bytes::Bytes;
use cib_protocol::session::SessionId;
use tokio::sync::mpsc;

use crate::app::App;
use crate::journal::cursor::{Batch, Cursor, Kinds, Read, Start};
use crate::routes::streams::tail;

/// A frame.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) kind: String,
    pub(super) bytes: Bytes,
}

/// What a source has to say.
#[derive(Debug)]
pub(super) enum Piece {
    /// Frames of a session.
    Frames(SessionId, Vec<Line>),
    /// A session's journal has no more for now.
    Over(SessionId),
    /// Frames that were asked for again, by the number of who asked.
    Again(u64, Vec<Line>),
    /// That was all of them, up to a seq; or why there are none.
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

/// Reads a session's journal to its end.
pub(super) async fn follow(
    app: Arc<App>,
    session: SessionId,
    after: u64,
    kinds: Kinds,
    pieces: mpsc::Sender<Piece>,
) {
    if let Ok(Ok(tail)) = tail(&app, session).await
        && let Ok(mut cursor) = Cursor::open(tail, Start::After(after), kinds).await
    {
        while let Read::Frames(batch) = cursor.next().await {
            if pieces
                .send(Piece::Frames(session, lines(&batch)))
                .await
                .is_err()
            {
                return;
            }
        }
    }
    // Nobody listens any more when the connection has ended.
    let _ = pieces.send(Piece::Over(session)).await;
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
        let tail = tail(&app, wanted.session)
            .await
            .map_err(|fault| fault.detail().to_owned())?;
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
            if pieces.send(Piece::Again(number, lines)).await.is_err() || is_end {
                break;
            }
        }
        Ok(last)
    };
    let outcome = read.await;
    let _ = pieces.send(Piece::Done(number, outcome)).await;
}
