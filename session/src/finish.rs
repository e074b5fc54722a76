//! Closing the record of a session whose keeper died without doing so.

use std::path::Path;

use cib_protocol::frame::{Data, Status, Stop};
use cib_protocol::session::State;
use cib_protocol::time::Timestamp;

use crate::journal::{Journal, OpenError, SyncPolicy};
use crate::lock::{Lock, LockError, PATIENCE};
use crate::{meta, replay};

/// Why a session's record could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// A keeper is at work, or what it left cannot be ended.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// `meta.json` cannot be read.
    #[error("cannot tell what session this is")]
    Meta(#[from] meta::LoadError),
    /// There is no `meta.json`.
    #[error("no {} here: not the directory of a session", meta::FILE)]
    NoMeta,
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The closing frames or `meta.json` cannot be written.
    #[error("cannot write the end of the session")]
    Write(#[source] std::io::Error),
}

/// Repairs the journal, waits until the session's launcher has ended whatever ran, and if the
/// session was live, appends the closing frames and replaces `meta.json`. Doing it twice
/// changes nothing, and nobody is killed.
///
/// # Errors
/// If a keeper still has the session, or its files cannot be read or written.
pub fn finish(dir: &Path, state: State, sync: SyncPolicy) -> Result<(), FinishError> {
    let _session = Lock::session(dir)?;
    let mut meta = meta::load(dir)?.ok_or(FinishError::NoMeta)?;
    let (mut journal, opened) = Journal::open(dir, meta.id, sync)?;
    replay::catch_up(dir, &mut meta);
    if let Some(claude) = meta.claude_session {
        match Lock::conversation(dir, claude, PATIENCE) {
            Ok(mut lock) => lock.clear_driver(),
            // Another session has resumed it meanwhile; it is no business of this one.
            Err(LockError::Held(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if meta.state.is_live() {
        let reason = match state {
            State::Interrupted => "interrupted",
            _ => "exit",
        };
        let frames = [
            Data::Stop(Stop {
                reason: reason.to_owned(),
                last: true,
                detail: None,
                ..Stop::default()
            }),
            Data::Status(Status {
                state,
                elapsed_ms: 0,
            }),
        ];
        for data in &frames {
            let ts = Timestamp::now();
            let seq = journal.push(ts, data);
            meta::apply(&mut meta, seq, ts, data);
        }
        journal.flush().map_err(FinishError::Write)?;
        journal.sync().map_err(FinishError::Write)?;
    } else {
        meta.last_seq = opened.last_seq;
    }
    meta.claude_pid = None;
    meta::store(dir, &meta, true).map_err(FinishError::Write)
}
