//! How far a journal is final, and whether more can come.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cib_journal::line::Owner;
use cib_journal::seek;
use cib_protocol::session::{SessionId, State};
use tokio::sync::watch;

use super::FILE;
use super::watches::Watch;

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
    owner: Owner,
    dir: PathBuf,
    file: Mutex<Option<Arc<File>>>,
    extent: watch::Sender<Extent>,
    /// Where every line was found to be fit to be passed on, so that not every reader has to
    /// look.
    checked: Mutex<Range<u64>>,
    /// Ends with the tail.
    _watch: Watch,
}

impl Tail {
    pub(super) fn new(session: SessionId, dir: PathBuf, watch: Watch) -> Self {
        let tail = Self {
            owner: Owner::new(session),
            dir,
            file: Mutex::default(),
            extent: watch::Sender::default(),
            checked: Mutex::new(0..0),
            _watch: watch,
        };
        tail.refresh();
        tail
    }

    /// The session whose journal this is.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.owner.session()
    }

    /// What its lines have in common.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether every line between these offsets was found fit to be passed on.
    #[must_use]
    pub fn is_checked(&self, range: &Range<u64>) -> bool {
        let checked = self.checked();
        checked.start <= range.start && range.end <= checked.end
    }

    /// Remembers that every line between these offsets is.
    pub fn set_checked(&self, range: Range<u64>) {
        let mut checked = self.checked();
        if range.start <= checked.end && checked.start <= range.end {
            checked.start = checked.start.min(range.start);
            checked.end = checked.end.max(range.end);
        } else {
            *checked = range;
        }
    }

    fn checked(&self) -> MutexGuard<'_, Range<u64>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Looks again: how far the journal is final, and whether its last line is the end.
    pub fn refresh(&self) {
        let extent = match self.measure() {
            Ok(extent) => extent,
            Err(error) => {
                tracing::error!(session = %self.session(), %error, "cannot read a journal");
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
                (file.metadata(), std::fs::symlink_metadata(self.dir.join(FILE))),
                (Ok(ours), Ok(theirs)) if ours.ino() == theirs.ino() && ours.dev() == theirs.dev()
            )
        });
        if !is_same {
            *slot = None;
            *self.checked() = 0..0;
        }
    }

    pub(super) fn set_gone(&self) {
        self.extent
            .send_modify(|extent| extent.end = Some(End::Gone));
    }

    fn measure(&self) -> io::Result<Extent> {
        let mut slot = self.slot();
        let file = match &mut *slot {
            Some(file) => file,
            none => match cib_foreign::open(&self.dir.join(FILE)) {
                Ok(file) => none.insert(Arc::new(file)),
                Err(error) if error.is_absent() => return Ok(Extent::default()),
                Err(error) => return Err(io::Error::other(error)),
            },
        };
        let len = file.metadata()?.len();
        let known = self.extent().committed;
        // A journal that shrank below what was final is not the one that was read so far.
        let floor = if len < known { 0 } else { known };
        let committed = seek::committed(&**file, len, floor)?;
        let end = seek::closed(&**file, &self.owner, committed)?.map(End::Session);
        Ok(Extent { committed, end })
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<File>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
