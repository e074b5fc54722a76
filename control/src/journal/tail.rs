//! How far a journal is final, and whether more can come.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cib_protocol::session::{SessionId, State};
use serde::Deserialize;
use tokio::sync::watch;

use super::hub::Shared;
use super::{FILE, META, seek};

/// What a tail tells its readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the journal that are final.
    pub committed: u64,
    /// Set once nothing will be appended any more.
    pub end: Option<End>,
}

/// Why nothing will be appended any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The session ended in this state.
    Session(State),
    /// The session's directory was removed.
    Gone,
    /// The journal cannot be read; the log says why.
    Unreadable,
}

impl End {
    /// The word in the last event of a stream.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session(state) => state.as_str(),
            Self::Gone => "gone",
            Self::Unreadable => "journal_unreadable",
        }
    }
}

/// The tail of one session's journal, shared by all of its readers. It lives as long as one of
/// them does.
#[derive(Debug)]
pub struct Tail {
    session: SessionId,
    dir: PathBuf,
    file: Mutex<Option<Arc<File>>>,
    extent: watch::Sender<Extent>,
    registration: Registration,
}

/// What has to be undone in the hub when a tail goes.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) hub: Weak<Shared>,
    pub(super) generation: u64,
    pub(super) watch: Option<i32>,
}

impl Tail {
    pub(super) fn new(session: SessionId, dir: PathBuf, registration: Registration) -> Self {
        let tail = Self {
            session,
            dir,
            file: Mutex::default(),
            extent: watch::Sender::default(),
            registration,
        };
        tail.refresh();
        tail
    }

    /// The session whose journal this is.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The journal, once there is one. A journal that was replaced is another file from then
    /// on, with the same lines at the same offsets.
    #[must_use]
    pub fn file(&self) -> Option<Arc<File>> {
        self.slot().clone()
    }

    /// Tells when the extent changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }

    /// The extent as last seen.
    #[must_use]
    pub fn extent(&self) -> Extent {
        *self.extent.borrow()
    }

    /// Looks again. What `meta.json` says is read first: a keeper writes the last frame before
    /// it says that the session has ended, so nothing can be missed in between.
    pub fn refresh(&self) {
        let ended = ended(&self.dir);
        let extent = match self.measure() {
            Ok(committed) => Extent {
                committed,
                end: ended,
            },
            Err(error) => {
                tracing::error!(session = %self.session, %error, "cannot read a journal");
                Extent {
                    committed: self.extent().committed,
                    end: Some(End::Unreadable),
                }
            }
        };
        self.extent.send_if_modified(|current| {
            let changed = *current != extent;
            *current = extent;
            changed
        });
    }

    /// Opens the journal anew if another file has taken its name.
    pub(super) fn reopen(&self) {
        let mut slot = self.slot();
        let is_same = slot.as_ref().is_some_and(|file| {
            matches!(
                (file.metadata(), std::fs::metadata(self.dir.join(FILE))),
                (Ok(ours), Ok(theirs)) if ours.ino() == theirs.ino() && ours.dev() == theirs.dev()
            )
        });
        if !is_same {
            *slot = None;
        }
    }

    pub(super) fn set_gone(&self) {
        self.extent
            .send_modify(|extent| extent.end = Some(End::Gone));
    }

    fn measure(&self) -> io::Result<u64> {
        let mut slot = self.slot();
        let file = match &mut *slot {
            Some(file) => file,
            none => match File::open(self.dir.join(FILE)) {
                Ok(file) => none.insert(Arc::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            },
        };
        let len = file.metadata()?.len();
        let known = self.extent().committed;
        // A journal that shrank below what was final is not the one that was read so far.
        let floor = if len < known { 0 } else { known };
        seek::committed(&**file, len, floor)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<File>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if let Some(hub) = self.registration.hub.upgrade() {
            hub.forget(self.session, &self.registration);
        }
    }
}

/// Whether `meta.json` says that the session has ended. A session without one is just starting,
/// and a state that a newer keeper invented is taken for a live one.
fn ended(dir: &Path) -> Option<End> {
    #[derive(Deserialize)]
    struct Probe {
        state: State,
    }
    let bytes = std::fs::read(dir.join(META)).ok()?;
    let probe: Probe = serde_json::from_slice(&bytes).ok()?;
    (!probe.state.is_live()).then_some(End::Session(probe.state))
}
