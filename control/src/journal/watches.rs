//! Directories of journals that the kernel is asked to tell about.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cib_protocol::session::SessionId;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// One inotify descriptor, and which session each of its watches is for.
#[derive(Debug)]
pub(super) struct Watches {
    inotify: Option<Arc<Inotify>>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    generation: u64,
    sessions: HashMap<WatchDescriptor, Entry>,
}

#[derive(Debug)]
struct Entry {
    generation: u64,
    session: SessionId,
}

/// A directory is watched as long as this lives.
#[derive(Debug)]
pub(super) struct Watch {
    watches: Arc<Watches>,
    /// The watch and its generation; nothing where the kernel has none left.
    held: Option<(WatchDescriptor, u64)>,
}

impl Watches {
    /// Fails for a reason of the kernel's: a user may only have so many instances, all containers
    /// on it counted together. Then nothing is ever told.
    pub(super) fn new() -> (Self, Option<Errno>) {
        let (inotify, error) = match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => (Some(Arc::new(inotify)), None),
            Err(error) => (None, Some(error)),
        };
        let table = Mutex::default();
        (Self { inotify, table }, error)
    }

    /// What becomes readable when there is something to tell, if anything ever will.
    pub(super) fn inotify(&self) -> Option<&Arc<Inotify>> {
        self.inotify.as_ref()
    }

    /// Watches a session's directory, in which the journal grows.
    ///
    /// [`io::ErrorKind::NotFound`] if there is no such directory.
    pub(super) fn add(self: &Arc<Self>, session: SessionId, dir: &Path) -> io::Result<Watch> {
        let watches = Arc::clone(self);
        let Some(inotify) = &self.inotify else {
            std::fs::symlink_metadata(dir)?;
            let held = None;
            return Ok(Watch { watches, held });
        };
        // Held over the call: the kernel gives the same watch for the same directory, and a watch
        // that is given up meanwhile would take the new one along.
        let mut table = self.table();
        let Some(descriptor) = watch(inotify, dir)? else {
            let held = None;
            return Ok(Watch { watches, held });
        };
        table.generation += 1;
        let generation = table.generation;
        let entry = Entry {
            generation,
            session,
        };
        table.sessions.insert(descriptor, entry);
        drop(table);
        let held = Some((descriptor, generation));
        Ok(Watch { watches, held })
    }

    /// The session that a watch is for.
    pub(super) fn session(&self, watch: WatchDescriptor) -> Option<SessionId> {
        self.table().sessions.get(&watch).map(|entry| entry.session)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some((descriptor, generation)) = self.held else {
            return;
        };
        let mut table = self.watches.table();
        let is_ours = table
            .sessions
            .get(&descriptor)
            .is_some_and(|entry| entry.generation == generation);
        if is_ours {
            table.sessions.remove(&descriptor);
            if let Some(inotify) = &self.watches.inotify {
                // It fails when the directory is gone, and the watch with it.
                let _ = inotify.rm_watch(descriptor);
            }
        }
    }
}

/// That the directory itself goes is only said when nobody has the journal open any more, so the
/// journal's own removal has to do.
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
