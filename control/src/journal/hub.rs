//! One inotify descriptor for every journal that somebody reads.

use std::collections::{HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use cib_protocol::session::SessionId;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

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
    inotify: Option<Arc<OwnedFd>>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    generation: u64,
    tails: HashMap<SessionId, Entry>,
    by_watch: HashMap<i32, SessionId>,
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
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
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
    fn drain(&self, inotify: &OwnedFd) -> io::Result<bool> {
        let mut grown = HashSet::new();
        let mut replaced = HashSet::new();
        let mut gone = HashSet::new();
        let mut overflow = false;
        let mut is_empty = false;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let flags = event.events();
                    let name = event.file_name().map(std::ffi::CStr::to_bytes);
                    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                        overflow = true;
                    } else if flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::IGNORED)
                        || flags.contains(ReadFlags::DELETE) && name == Some(FILE.as_bytes())
                    {
                        gone.insert(event.wd());
                    } else if name == Some(FILE.as_bytes()) {
                        grown.insert(event.wd());
                        if !flags.contains(ReadFlags::MODIFY) {
                            replaced.insert(event.wd());
                        }
                    }
                }
                Err(Errno::AGAIN) => {
                    is_empty = true;
                    break;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if reader.is_buffer_empty() {
                break;
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
        Ok(is_empty)
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
            let _ = inotify::remove_watch(inotify, watch);
        }
    }

    fn watched_by(&self, watch: i32) -> Option<Arc<Tail>> {
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
fn watch(inotify: &OwnedFd, dir: &Path) -> io::Result<Option<i32>> {
    let flags = WatchFlags::MODIFY
        | WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::ONLYDIR
        | WatchFlags::DONT_FOLLOW;
    match inotify::add_watch(inotify, dir, flags) {
        Ok(watch) => Ok(Some(watch)),
        Err(Errno::NOSPC | Errno::NOMEM) => {
            tracing::warn!("no inotify watches left; raise fs.inotify.max_user_watches");
            Ok(None)
        }
        Err(Errno::NOTDIR | Errno::LOOP) => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error.into()),
    }
}
