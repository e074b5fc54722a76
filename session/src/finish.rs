//! Closing the record of a session whose keeper died without doing so.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cib_protocol::frame::{Data, Status, Stop};
use cib_protocol::session::{SessionId, State};
use cib_protocol::time::Timestamp;

use crate::journal::{FILE, Journal, OpenError, SyncPolicy};
use crate::lock::{Lock, LockError, PATIENCE};
use crate::meta;

/// Why a session's record could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// A keeper is at work, or what it left cannot be ended.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The journal cannot be read.
    #[error("cannot tell what session this is")]
    Meta(#[from] meta::LoadError),
    /// There is no journal, or nothing in it.
    #[error("no frame in a {FILE} here: not the directory of a session that has begun")]
    NoMeta,
    /// Neither the directory's name nor its journal says which session it is.
    #[error("cannot tell which session {} is of", .0.display())]
    Nameless(PathBuf),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The closing frames cannot be written.
    #[error("cannot write the end of the session")]
    Write(#[source] std::io::Error),
}

/// Repairs the journal, waits until the session's launcher has ended whatever ran, and if the
/// session was live, appends the closing frames. Doing it twice changes nothing, and nobody is
/// killed.
///
/// # Errors
/// If a keeper still has the session, or its files cannot be read or written.
pub fn finish(dir: &Path, state: State, sync: SyncPolicy) -> Result<(), FinishError> {
    if !cib_foreign::is_file(&dir.join(FILE)) {
        return Err(FinishError::NoMeta);
    }
    let _session = Lock::session(dir)?;
    let (mut journal, _) = Journal::open(dir, session_of(dir)?, sync)?;
    let fold = meta::fold(dir, &mut journal)?;
    let is_closed = fold.is_closed();
    let meta = fold.into_meta().ok_or(FinishError::NoMeta)?;
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
                ..Stop::default()
            }),
            closed(state),
        ];
        for data in &frames {
            let ts = Timestamp::now();
            journal.push(ts, data);
        }
        journal.flush().map_err(FinishError::Write)?;
        journal.sync().map_err(FinishError::Write)?;
    } else if !is_closed {
        // Whoever looks at the last frame alone has to see the end.
        journal.push(Timestamp::now(), &closed(meta.state));
        journal.flush().map_err(FinishError::Write)?;
        journal.sync().map_err(FinishError::Write)?;
    }
    Ok(())
}

fn closed(state: State) -> Data {
    Data::Status(Status {
        state,
        elapsed_ms: 0,
    })
}

/// Which session a directory is of: its name says so, else the first frame of its journal.
fn session_of(dir: &Path) -> Result<SessionId, FinishError> {
    let nameless = || FinishError::Nameless(dir.to_owned());
    let name = dir.canonicalize().ok();
    let name = name.as_deref().and_then(Path::file_name);
    if let Some(id) = name.and_then(|name| name.to_str()?.parse().ok()) {
        return Ok(id);
    }
    let file = cib_foreign::open(&dir.join(FILE)).map_err(|_| nameless())?;
    let mut head = [0; 48];
    let read = file.read_at(&mut head, 0).map_err(|_| nameless())?;
    let id = head[..read].strip_prefix(br#"{"session":""#);
    let id = id.and_then(|id| std::str::from_utf8(id.get(..36)?).ok());
    id.and_then(|id| id.parse().ok()).ok_or_else(nameless)
}
