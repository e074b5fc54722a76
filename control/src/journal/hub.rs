//! One inotify descriptor for every journal that somebody reads.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cib_protocol::session::SessionId;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, Inotify, WatchDescriptor};

use super::FILE;
use super::tail::Tail;
use super::watches::Watches;
use crate::sys;

/// How often journals are looked at where inotify cannot be had: a user may only have so many
/// instances on one kernel, all containers counted together.
const POLL: Duration = Duration::from_millis(200);

/// Hands out tails and wakes them.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// How the folder of a journal is called.
    name: fn(SessionId) -> String,
    watches: Arc<Watches>,
    tails: Mutex<HashMap<SessionId, Weak<Tail>>>,
}

impl Hub {
    /// A hub for the sessions in a directory. [`Hub::run`] has to run for anything to be woken.
    #[must_use]
    pub fn new(sessions: &Path) -> Self {
        Self::named(sessions, |session| session.to_string())
    }

    /// A hub for other journals, whose directories are called otherwise.
    #[must_use]
    pub fn named(folder: &Path, name: fn(SessionId) -> String) -> Self {
        let (watches, error) = Watches::new();
        if let Some(error) = error {
            tracing::warn!(%error, "no inotify, so journals are polled; streams lag {POLL:?}");
        }
        Self {
            shared: Arc::new(Shared {
                folder: folder.to_owned(),
                name,
                watches: Arc::new(watches),
                tails: Mutex::default(),
            }),
        }
    }

    /// The tail of a session's journal.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if the session has no directory.
    pub fn tail(&self, session: SessionId) -> io::Result<Arc<Tail>> {
        let mut tails = self.shared.tails();
        if let Some(tail) = tails.get(&session).and_then(Weak::upgrade) {
            return Ok(tail);
        }
        let dir = self.shared.folder.join((self.shared.name)(session));
        let watch = self.shared.watches.add(session, &dir)?;
        let tail = Arc::new(Tail::new(session, dir, watch));
        // A tail that nobody reads any more leaves its place behind.
        tails.retain(|_, tail| tail.strong_count() > 0);
        tails.insert(session, Arc::downgrade(&tail));
        Ok(tail)
    }

    /// How many journals are being read.
    #[must_use]
    pub fn watched(&self) -> usize {
        let tails = self.shared.tails();
        tails
            .values()
            .filter(|tail| tail.strong_count() > 0)
            .count()
    }

    /// Wakes tails until it is dropped.
    ///
    /// # Errors
    /// If the inotify descriptor cannot be waited for or read.
    pub async fn run(self) -> io::Result<()> {
        let Some(inotify) = self.shared.watches.inotify() else {
            loop {
                tokio::time::sleep(POLL).await;
                self.shared.live().iter().for_each(|tail| tail.refresh());
            }
        };
        let ready = sys::readable(Arc::clone(inotify))?;
        loop {
            let mut guard = ready.readable().await?;
            if self.drain(inotify)? {
                guard.clear_ready();
            }
            // A busy journal makes the descriptor readable again at once.
            tokio::task::yield_now().await;
        }
    }

    /// Takes one buffer of events and looks at each session in it once. Returns whether the
    /// descriptor is empty now.
    fn drain(&self, inotify: &Inotify) -> io::Result<bool> {
        let mut grown = HashSet::new();
        let mut replaced = HashSet::new();
        let mut gone = HashSet::new();
        let mut overflow = false;
        let events = match inotify.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return Ok(true),
            Err(Errno::EINTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            let flags = event.mask;
            let is_journal = event.name.as_deref() == Some(OsStr::new(FILE));
            if flags.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                overflow = true;
            } else if flags.intersects(AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_IGNORED)
                || flags.contains(AddWatchFlags::IN_DELETE) && is_journal
            {
                gone.insert(event.wd);
            } else if is_journal {
                grown.insert(event.wd);
                if !flags.contains(AddWatchFlags::IN_MODIFY) {
                    replaced.insert(event.wd);
                }
            }
        }
        if overflow {
            for tail in self.shared.live() {
                tail.reopen();
                tail.refresh();
            }
        }
        for watch in replaced {
            self.shared
                .watched_by(watch)
                .iter()
                .for_each(|tail| tail.reopen());
        }
        for watch in grown {
            self.shared
                .watched_by(watch)
                .iter()
                .for_each(|tail| tail.refresh());
        }
        for watch in gone {
            self.shared
                .watched_by(watch)
                .iter()
                .for_each(|tail| tail.set_gone());
        }
        Ok(false)
    }
}

impl Shared {
    fn watched_by(&self, watch: WatchDescriptor) -> Option<Arc<Tail>> {
        let session = self.watches.session(watch)?;
        self.tails().get(&session)?.upgrade()
    }

    fn live(&self) -> Vec<Arc<Tail>> {
        self.tails().values().filter_map(Weak::upgrade).collect()
    }

    fn tails(&self) -> MutexGuard<'_, HashMap<SessionId, Weak<Tail>>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
