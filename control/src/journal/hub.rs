//! One inotify descriptor for every journal that somebody reads.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cib_protocol::session::SessionId;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::FILE;
use super::tail::{Registration, Tail};
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
pub(super) struct Shared {
    sessions: PathBuf,
    inotify: Option<Arc<Inotify>>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    generation: u64,
    tails: HashMap<SessionId, Entry>,
    by_watch: HashMap<WatchDescriptor, SessionId>,
}

#[derive(Debug)]
struct Entry {
    generation: u64,
    tail: Weak<Tail>,
}

impl Hub {
    /// A hub for the sessions in a directory. [`Hub::run`] has to run for anything to be woken.
    #[must_use]
    pub fn new(sessions: &Path) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .inspect_err(|error| {
                tracing::warn!(%error, "no inotify, so journals are polled; streams lag {POLL:?}");
            })
            .ok()
            .map(Arc::new);
        Self {
            shared: Arc::new(Shared {
                sessions: sessions.to_owned(),
                inotify,
                table: Mutex::default(),
            }),
        }
    }

    /// The tail of a session's journal.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if the session has no directory.
    pub fn tail(&self, session: SessionId) -> io::Result<Arc<Tail>> {
        let dir = self.shared.sessions.join(session.to_string());
        let mut table = self.shared.table();
        if let Some(tail) = table
            .tails
            .get(&session)
            .and_then(|entry| entry.tail.upgrade())
        {
            return Ok(tail);
        }
        let watch = match &self.shared.inotify {
            Some(inotify) => watch(inotify, &dir)?,
            None => std::fs::symlink_metadata(&dir).map(|_| None)?,
        };
        table.generation += 1;
        let generation = table.generation;
        let tail = Arc::new(Tail::new(
            session,
            dir,
            Registration {
                hub: Arc::downgrade(&self.shared),
                generation,
                watch,
            },
        ));
        table.tails.insert(
            session,
            Entry {
                generation,
                tail: Arc::downgrade(&tail),
            },
        );
        if let Some(watch) = watch {
            table.by_watch.insert(watch, session);
        }
        Ok(tail)
    }

    /// How many journals are being read.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.shared.table().tails.len()
    }

    /// Wakes tails until it is dropped.
    ///
    /// # Errors
    /// If the inotify descriptor cannot be waited for or read.
    pub async fn run(self) -> io::Result<()> {
        let Some(inotify) = &self.shared.inotify else {
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
    /// Undoes what [`Hub::tail`] did, unless a newer tail of the session has taken over: the
    /// kernel gives the same watch for the same directory.
    pub(super) fn forget(&self, session: SessionId, registration: &Registration) {
        let mut table = self.table();
        if table
            .tails
            .get(&session)
            .is_none_or(|entry| entry.generation != registration.generation)
        {
            return;
        }
        table.tails.remove(&session);
        if let (Some(watch), Some(inotify)) = (registration.watch, &self.inotify) {
            table.by_watch.remove(&watch);
            // It fails when the directory is gone, and the watch with it.
            let _ = inotify.rm_watch(watch);
        }
    }

    fn watched_by(&self, watch: WatchDescriptor) -> Option<Arc<Tail>> {
        let table = self.table();
        table.tails.get(table.by_watch.get(&watch)?)?.tail.upgrade()
    }

    fn live(&self) -> Vec<Arc<Tail>> {
        let table = self.table();
        table
            .tails
            .values()
            .filter_map(|entry| entry.tail.upgrade())
            .collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches a session's directory, in which the journal grows.
/// That the directory itself goes is only said when nobody has the journal open any more, so
/// the journal's own removal has to do.
///
/// `None` if the kernel has no watches left, in which case readers look at every heartbeat.
fn watch(inotify: &Inotify, dir: &Path) -> io::Result<Option<WatchDescriptor>> {
    let flags = AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_ONLYDIR
        | AddWatchFlags::IN_DONT_FOLLOW;
    match inotify.add_watch(dir, flags) {
        Ok(watch) => Ok(Some(watch)),
        Err(Errno::ENOSPC | Errno::ENOMEM) => {
            tracing::warn!("no inotify watches left; raise fs.inotify.max_user_watches");
            Ok(None)
        }
        Err(Errno::ENOTDIR | Errno::ELOOP) => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error.into()),
    }
}
