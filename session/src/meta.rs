//! What a session was before its keeper begins: what its journal says, and what keepers of
//! earlier versions said in a file beside it.

use std::fs;
use std::io;
use std::path::Path;

use cib_foreign::ForeignError;
use cib_journal::fold::{self, Fold, FoldError};
use cib_protocol::frame::{Data, Meta, Status};
use cib_protocol::session::{SessionId, SessionMeta};
use cib_protocol::time::Timestamp;

use crate::journal::Journal;
use crate::json;

pub use cib_journal::fold::{apply, begin};

/// What earlier versions kept beside the journal. The agent could write it.
pub const OLD_FILE: &str = "meta.json";

/// Bytes of that file that are read.
const MOST: u64 = 1024 * 1024;

/// Why nothing can be said of a session's past.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] FoldError),
    /// What was taken over cannot be written.
    #[error("cannot write what {OLD_FILE} told into the journal")]
    Write(#[source] io::Error),
}

/// What the journal says that the session is; `None` if there is no frame in it. What an
/// earlier version left beside it is taken over first, once, and then removed.
///
/// # Errors
/// If the journal cannot be read, or what was taken over cannot be written.
pub fn load(dir: &Path, journal: &mut Journal) -> Result<Option<SessionMeta>, LoadError> {
    Ok(fold(dir, journal)?.into_meta())
}

/// As [`load`], with what else is known of the journal's end.
///
/// # Errors
/// As [`load`].
pub fn fold(dir: &Path, journal: &mut Journal) -> Result<Fold, LoadError> {
    let session = journal.session();
    let known = fold::load(dir, session)?;
    let old = dir.join(OLD_FILE);
    if fs::symlink_metadata(&old).is_err() {
        return Ok(known);
    }
    let is_wanted = !known.is_opened();
    let Some(frames) = known.meta().filter(|_| is_wanted).map(|meta| {
        let told = read(&old, session);
        take_over(meta, told)
    }) else {
        // Nothing is missing, or there is no session for it to tell of.
        remove(&old);
        return Ok(known);
    };
    for data in &frames {
        journal.push(Timestamp::now(), data);
    }
    journal.flush().map_err(LoadError::Write)?;
    journal.sync().map_err(LoadError::Write)?;
    remove(&old);
    Ok(fold::load(dir, session)?)
}

fn read(path: &Path, session: SessionId) -> Result<SessionMeta, String> {
    let bytes = cib_foreign::read(path, MOST).map_err(|error| match error {
        ForeignError::NotRegular { .. } => "it is no regular file".to_owned(),
        error => error.to_string(),
    })?;
    let told: SessionMeta =
        json::from_bytes(&bytes).map_err(|_| "it is not what a keeper wrote".to_owned())?;
    if told.id != session {
        return Err("it is another session's".to_owned());
    }
    Ok(told)
}

/// Frames that say what only the file knew. The journal's own word comes first where both have
/// one: the file was as easy to write for the agent as the journal was.
fn take_over(known: &SessionMeta, told: Result<SessionMeta, String>) -> Vec<Data> {
    let news = match told {
        Ok(told) => {
            let mut opening = fold::opening(&told);
            opening.exit_code = told.exit_code;
            opening.ended_in = told.ended_in;
            Meta {
                title: told.title,
                model: known.model.is_none().then_some(told.model).flatten(),
                workdir: known
                    .workdir
                    .as_os_str()
                    .is_empty()
                    .then(|| told.workdir.display().to_string()),
                note: Some(format!(
                    "limits, title and age come from a {OLD_FILE} that the session's own \
                     programs could write; they are shown and vouched for by nobody"
                )),
                opening: Some(Box::new(opening)),
                ..Meta::default()
            }
        }
        Err(why) => Meta {
            note: Some(format!("{OLD_FILE} is not used: {why}")),
            opening: Some(Box::new(fold::opening(known))),
            ..Meta::default()
        },
    };
    let mut frames = vec![Data::Meta(news)];
    if !known.state.is_live() {
        // The last frame of a session that has ended says so.
        frames.push(Data::Status(Status {
            state: known.state,
            elapsed_ms: 0,
        }));
    }
    frames
}

fn remove(path: &Path) {
    // A folder of that name stays, and does no harm.
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}
