//! One session of the index: its journal, as far as it was taken up.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cib_base::errors::chain;
use cib_journal::fold::Saved;
use cib_journal::fold::spent::Spent;
use cib_journal::{FILE, Fold, Progress, fold};
use cib_protocol::session::{SessionId, State};
use cib_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::View;
use super::mark::Mark;

/// How long a session's directory may be without a frame before that is damage.
const YOUTH: Duration = Duration::from_secs(60);

/// A file at a moment. As long as nothing of this changes, nobody has written to it: the kernel
/// lets nobody set back when a file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl From<&fs::Metadata> for Stamp {
    fn from(file: &fs::Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// What is kept of an entry on the disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept<'a> {
    seen: Stamp,
    mark: Mark,
    is_done: bool,
    fold: Saved<'a>,
}

impl Kept<'_> {
    pub(super) fn id(&self) -> SessionId {
        self.fold.meta.id
    }
}

/// What a look at a journal took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// Bytes that were read of it.
    pub(super) bytes: u64,
    /// Whether what was known of it turned out to be of no use.
    pub(super) is_anew: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    fold: Fold,
    /// The journal as it was when it was taken up.
    seen: Option<Stamp>,
    /// What stands in it in front of what was not taken up.
    mark: Option<Mark>,
    /// Whether all of it was.
    is_done: bool,
    /// Why it cannot be used.
    trouble: Option<String>,
    /// When the session's directory was made or changed last, if it has to stand for more.
    at: Timestamp,
}

impl Entry {
    pub(super) fn new(id: SessionId) -> Self {
        Self {
            fold: Fold::new(id),
            seen: None,
            mark: None,
            is_done: false,
            trouble: None,
            at: Timestamp::from_millis(0),
        }
    }

    /// An entry as it was kept. Whether its journal is still the same is seen when it is looked
    /// at.
    pub(super) fn restored(kept: Kept<'_>) -> Self {
        let mut entry = Self::new(kept.id());
        entry.fold = Fold::restored(kept.fold);
        entry.seen = Some(kept.seen);
        entry.mark = Some(kept.mark);
        entry.is_done = kept.is_done;
        entry
    }

    /// What is to be kept, if it is of use.
    pub(super) fn kept(&self) -> Option<Kept<'_>> {
        let is_sound = self.trouble.is_none();
        Some(Kept {
            seen: self.seen.filter(|_| is_sound)?,
            mark: self.mark.clone()?,
            is_done: self.is_done,
            fold: self.fold.saved()?,
        })
    }

    pub(super) fn refresh(
        &mut self,
        id: SessionId,
        dir: &Path,
        found: &fs::Metadata,
        by: Instant,
    ) -> Taken {
        self.at = Timestamp::from_millis(found.mtime().saturating_mul(1000));
        let path = dir.join(FILE);
        let now = fs::symlink_metadata(&path).ok();
        if self.is_done && now.is_some() && now.as_ref().map(Stamp::from) == self.seen {
            return Taken::default();
        }
        self.is_done = true;
        self.trouble = None;
        let is_young = || found.modified().is_ok_and(is_recent);
        let (file, stamp) = match open(&path) {
            Ok(opened) => opened,
            Err(error) => {
                self.seen = None;
                if now.is_none() {
                    self.fold = Fold::new(id);
                }
                if !(now.is_none() && is_young()) {
                    self.trouble = Some(error);
                }
                return Taken::default();
            }
        };
        let is_anew = !self.goes_on(&file, &stamp);
        let was_known = is_anew && self.fold.offset() > 0;
        if is_anew {
            self.fold = Fold::new(id);
        }
        self.seen = Some(stamp);
        let before = self.fold.offset();
        match self.fold.read(&file, || Instant::now() >= by) {
            Ok(Progress::Done) => {}
            Ok(Progress::More) => self.is_done = false,
            // It was cut under our hands: the next look begins anew.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.fold = Fold::new(id);
                self.is_done = false;
            }
            Err(error) => self.trouble = Some(chain(&error)),
        }
        self.mark = Mark::before(&file, self.fold.offset()).ok();
        if self.is_done && self.trouble.is_none() && self.fold.meta().is_none() {
            self.trouble = match self.fold.flaw() {
                Some(flaw) => Some(format!("no line of the journal is a frame: {flaw}")),
                None if is_young() => None,
                None => Some("the journal is empty".to_owned()),
            };
            if is_young() {
                self.seen = None;
            }
        }
        Taken {
            bytes: self.fold.offset().saturating_sub(before),
            is_anew: was_known,
        }
    }

    /// Whether a journal is the one that was taken up, with nothing but more behind it.
    fn goes_on(&self, file: &File, now: &Stamp) -> bool {
        let (Some(then), Some(mark)) = (self.seen, &self.mark) else {
            return false;
        };
        // What a keeper appends makes it longer, unless it takes a piece of a line back first and
        // comes to the same length, which is seldom enough to be read anew.
        let is_edited = now.size == then.size && now.changed != then.changed;
        (now.device, now.inode) == (then.device, then.inode)
            && !is_edited
            && now.size >= self.fold.offset()
            && Mark::before(file, self.fold.offset()).is_ok_and(|found| found == *mark)
    }

    /// What was used, as far as the journal was taken up.
    pub(super) fn spent(&self) -> Arc<Spent> {
        Arc::clone(self.fold.spent())
    }

    pub(super) fn view(&self, id: SessionId) -> View {
        if let Some(trouble) = &self.trouble {
            let known = self.fold.meta().cloned();
            let mut meta = known.unwrap_or_else(|| fold::unknown(id, self.at));
            if meta.state.is_live() {
                meta.state = State::Failed;
            }
            meta.damage = Some(trouble.clone());
            return View::Known(Arc::new(meta));
        }
        if !self.is_done {
            return View::Unfinished;
        }
        self.fold.shared().map_or(View::Nothing, View::Known)
    }
}

/// Opens a journal as it is now.
fn open(path: &Path) -> Result<(File, Stamp), String> {
    let file = cib_foreign::open(path).map_err(|error| chain(&error))?;
    let stamp = Stamp::from(&file.metadata().map_err(|error| chain(&error))?);
    Ok((file, stamp))
}

fn is_recent(time: SystemTime) -> bool {
    // A clock that stepped back makes it young.
    time.elapsed().is_ok_and(|age| age < YOUTH) || time.elapsed().is_err()
}
