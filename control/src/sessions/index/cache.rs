//! The index on the disk, so that a control that starts does not read every journal again.
//!
//! It is control's own file, and a cache: what is in it is used for a journal that is still what
//! it was, and thrown away as a whole if anything is wrong with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use cib_base::errors::chain;
use cib_base::{files, hex};
use cib_foreign::ForeignError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::entry::{Entry, Kept, Taken};
use crate::VERSION;

/// Rises whenever something else is made of a journal, or kept of it, than before.
const FORMAT: u32 = 3;

/// Bytes that the file may have.
const MOST: usize = 64 << 20;

/// Bytes that one session may have in it. One with more is read again at the next start.
const MOST_OF_ONE: usize = 16 << 10;

/// So many bytes of journals are read again rather than written about.
const LITTLE: u64 = 1 << 20;

/// Why the file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("it cannot be read")]
    Read(#[from] ForeignError),
    #[error("another version made it, or something else")]
    Foreign,
    #[error("it is cut or damaged")]
    Damaged,
    #[error("a line of it is not what this version writes")]
    Line(#[from] serde_json::Error),
}

/// The last line.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    entries: usize,
    sha256: String,
}

/// The file, and whether it is worth to be written again.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    loaded: Once,
    /// Held while it is written.
    writing: Mutex<()>,
    /// Bytes of journals that were taken up since.
    unsaved: AtomicU64,
    /// Whether it tells of something that is not so any more.
    is_wrong: AtomicBool,
    /// Bytes that it has.
    size: AtomicU64,
}

impl Cache {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            loaded: Once::new(),
            writing: Mutex::default(),
            unsaved: AtomicU64::new(0),
            is_wrong: AtomicBool::new(false),
            size: AtomicU64::new(0),
        }
    }

    /// Hands out what was kept, the first time.
    pub(super) fn load(&self, mut take: impl FnMut(Kept<'_>)) {
        self.loaded.call_once(|| match self.read(&mut take) {
            Ok(()) => {}
            Err(LoadError::Read(error)) if error.is_absent() => {}
            Err(error) => {
                let path = self.path.display();
                let why = chain(&error);
                tracing::warn!(%path, why, "a cache is thrown away and made again");
                self.is_wrong.store(true, Ordering::Relaxed);
            }
        });
    }

    fn read(&self, take: &mut impl FnMut(Kept<'_>)) -> Result<(), LoadError> {
        let text = cib_foreign::read_to_string(&self.path, MOST as u64)?;
        let entries = parse(&text)?;
        self.size.store(text.len() as u64, Ordering::Relaxed);
        entries.into_iter().for_each(take);
        Ok(())
    }

    /// Takes up that a journal was looked at.
    pub(super) fn note(&self, taken: Taken) {
        self.unsaved.fetch_add(taken.bytes, Ordering::Relaxed);
        if taken.is_anew {
            self.forget();
        }
    }

    /// Takes up that something is not there any more, and so must not be kept.
    pub(super) fn forget(&self) {
        self.is_wrong.store(true, Ordering::Relaxed);
    }

    /// Whether it saves more work than it makes to write it again: at most as much is written
    /// here as was written to journals.
    pub(super) fn is_due(&self) -> bool {
        let worth = LITTLE.max(self.size.load(Ordering::Relaxed));
        self.is_wrong.load(Ordering::Relaxed) || self.unsaved.load(Ordering::Relaxed) >= worth
    }

    /// Writes what is known, in one piece or not at all, if there is anything new.
    ///
    /// # Errors
    /// The kernel's answer; the file is then the old one.
    pub(super) fn save(&self, entries: impl FnOnce(&mut Writer)) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // What changes from here on is for the next time.
        let unsaved = self.unsaved.swap(0, Ordering::Relaxed);
        let was_wrong = self.is_wrong.swap(false, Ordering::Relaxed);
        if unsaved == 0 && !was_wrong {
            return Ok(());
        }
        let mut writer = Writer::new();
        entries(&mut writer);
        let written = writer.finish().and_then(|bytes| {
            files::replace(&self.path, &bytes)?;
            Ok(bytes.len() as u64)
        });
        match written {
            Ok(size) => self.size.store(size, Ordering::Relaxed),
            Err(_) => {
                self.unsaved.fetch_add(unsaved, Ordering::Relaxed);
                self.is_wrong.fetch_or(was_wrong, Ordering::Relaxed);
            }
        }
        written.map(drop)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The file while it is made.
pub(super) struct Writer {
    bytes: Vec<u8>,
    entries: usize,
}

impl Writer {
    fn new() -> Self {
        Self {
            bytes: header().into_bytes(),
            entries: 0,
        }
    }

    /// Adds an entry, if it is of use and there is room for it.
    pub(super) fn add(&mut self, entry: &Entry) {
        let Some(line) = entry.kept().and_then(|kept| serde_json::to_vec(&kept).ok()) else {
            return;
        };
        if line.len() <= MOST_OF_ONE && self.bytes.len() + line.len() + MOST_OF_ONE <= MOST {
            self.bytes.extend_from_slice(&line);
            self.bytes.push(b'\n');
            self.entries += 1;
        }
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        let end = End {
            entries: self.entries,
            sha256: hex::encode(&Sha256::digest(&self.bytes)),
        };
        serde_json::to_writer(&mut self.bytes, &end)?;
        self.bytes.push(b'\n');
        Ok(self.bytes)
    }
}

fn header() -> String {
    format!("{{\"cache\":\"sessions\",\"format\":{FORMAT},\"control\":\"{VERSION}\"}}\n")
}

/// Reads the whole file or nothing of it.
fn parse(text: &str) -> Result<Vec<Kept<'_>>, LoadError> {
    if !text.starts_with(&header()) {
        return Err(LoadError::Foreign);
    }
    let lines = text.strip_suffix('\n').ok_or(LoadError::Damaged)?;
    let at = lines.rfind('\n').ok_or(LoadError::Damaged)? + 1;
    let (above, last) = (&text[..at], &lines[at..]);
    let end: End = serde_json::from_str(last).map_err(|_| LoadError::Damaged)?;
    if end.sha256 != hex::encode(&Sha256::digest(above)) {
        return Err(LoadError::Damaged);
    }
    let entries: Vec<Kept<'_>> = above
        .lines()
        .skip(1)
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    if entries.len() == end.entries {
        Ok(entries)
    } else {
        Err(LoadError::Damaged)
    }
}
