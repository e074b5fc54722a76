//! A reader's place in a journal.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cib_journal::{MAX_LINE, seek};
use tokio::sync::watch;

use super::file;
use super::tail::{End, Extent, Tail};

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind the frame with this seq; 0 is the beginning.
    After(u64),
    /// With the first whole frame in the last so many bytes of the journal.
    Recent(u64),
}

/// Which kinds a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds(Vec<String>);

impl Kinds {
    /// Reads a list like `text.delta,status,tool.*`; an empty one is everything.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let kinds = list
            .split(',')
            .map(str::trim)
            .filter(|kind| !kind.is_empty());
        Self(kinds.map(str::to_owned).collect())
    }

    /// Whether frames of a kind are wanted.
    #[must_use]
    pub fn want(&self, kind: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => kind.starts_with(prefix),
                None => wanted == kind,
            })
    }
}

/// Frames that were read together.
#[derive(Debug)]
pub struct Batch {
    bytes: Bytes,
    frames: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    seq: u64,
    kind: Kind,
    line: Range<usize>,
}

/// Where a frame's kind is. Nearly always in the line itself, which saves an allocation for
/// every frame and reader.
#[derive(Debug)]
enum Kind {
    InBatch(Range<usize>),
    Apart(Box<str>),
}

/// One frame as it stands in the journal.
#[derive(Debug)]
pub struct Line<'a> {
    /// Its seq.
    pub seq: u64,
    /// Its kind.
    pub kind: &'a str,
    /// The whole line without its newline, sharing the batch's memory.
    pub bytes: Bytes,
}

impl Batch {
    /// The frames, in order.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line<'_>> {
        self.frames.iter().map(|place| Line {
            seq: place.seq,
            kind: match &place.kind {
                // It was UTF-8 when the range was taken.
                Kind::InBatch(range) => str::from_utf8(&self.bytes[range.clone()]).unwrap_or(""),
                Kind::Apart(kind) => kind,
            },
            bytes: self.bytes.slice(place.line.clone()),
        })
    }

    /// Bytes of all lines together, newlines included, at most.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// What a reader gets.
#[derive(Debug)]
pub enum Step {
    /// Frames, at least one.
    Frames(Batch),
    /// Every frame was given, and no other will come.
    End(End),
}

/// A reader's place. Frames come in the order of their seqs, each once, whatever the pace.
#[derive(Debug)]
pub struct Cursor {
    tail: Arc<Tail>,
    extent: watch::Receiver<Extent>,
    kinds: Kinds,
    /// Seq of the last frame that was given or passed over.
    after: u64,
    /// Offset behind everything in `pending`.
    offset: u64,
    /// The beginning of a line whose end was not read yet.
    pending: BytesMut,
}

impl Cursor {
    /// A place in a journal.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn open(tail: Arc<Tail>, start: Start, kinds: Kinds) -> io::Result<Self> {
        let extent = tail.subscribe();
        let end = extent.borrow().committed;
        let find = move |file: &File| match start {
            Start::After(0) => Ok((0, 0)),
            Start::After(after) => Ok((seek::seek(file, end, after)?, after)),
            Start::Recent(bytes) => seek::recent(file, end, bytes),
        };
        let (offset, after) = match (tail.file(), start) {
            (Some(file), _) => tokio::task::spawn_blocking(move || find(&file))
                .await
                .map_err(io::Error::other)??,
            (None, Start::After(after)) => (0, after),
            (None, Start::Recent(_)) => (0, 0),
        };
        Ok(Self {
            tail,
            extent,
            kinds,
            after,
            offset,
            pending: BytesMut::new(),
        })
    }

    /// Seq of the last frame that was given or passed over.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.after
    }

    /// Seq of the last frame that is there.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn last_seq(&self) -> io::Result<u64> {
        let end = self.extent.borrow().committed;
        let Some(file) = self.tail.file() else {
            return Ok(self.after);
        };
        tokio::task::spawn_blocking(move || seek::last_seq(&*file, end))
            .await
            .map_err(io::Error::other)?
    }

    /// Looks whether the journal has grown, for where nobody says so.
    pub fn nudge(&self) {
        self.tail.refresh();
    }

    /// The frames that are there now, or `None` if there are none.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn ready(&mut self) -> io::Result<Option<Batch>> {
        loop {
            let committed = self.extent.borrow_and_update().committed;
            if committed < self.offset {
                return Err(io::Error::other("the journal is shorter than it was"));
            }
            let Some(file) = self.tail.file().filter(|_| self.offset < committed) else {
                return Ok(None);
            };
            let left = usize::try_from(committed - self.offset).unwrap_or(usize::MAX);
            // A long line is read in ever larger pieces, so that it is not copied over and over.
            let want = left.min(CHUNK.max(self.pending.len()));
            let read = file::read(&file, self.offset, want).await?;
            if read.is_empty() {
                return Err(io::Error::other("the journal is shorter than it was"));
            }
            self.offset += read.len() as u64;
            if self.pending.len() as u64 > MAX_LINE {
                let what = format!("a line has more than {MAX_LINE} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            if let Some(batch) = self.take(read) {
                return Ok(Some(batch));
            }
            // A filter may pass over any number of frames, and others want their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for frames, or for the end. Can be dropped and called again without losing any.
    pub async fn next(&mut self) -> Step {
        loop {
            let end = self.extent.borrow_and_update().end;
            match self.ready().await {
                Ok(Some(batch)) => return Step::Frames(batch),
                Ok(None) => {}
                Err(error) => {
                    let session = self.tail.session();
                    tracing::error!(%session, %error, "cannot read a journal");
                    return Step::End(End::Unreadable);
                }
            }
            if let Some(end) = end {
                return Step::End(end);
            }
            // The tail is held, so its sender cannot be gone.
            let _ = self.extent.changed().await;
        }
    }

    /// Takes the whole lines out of what was read, and keeps the rest.
    fn take(&mut self, read: BytesMut) -> Option<Batch> {
        if self.pending.is_empty() {
            self.pending = read;
        } else {
            self.pending.extend_from_slice(&read);
        }
        let end = memchr::memrchr(b'\n', &self.pending)? + 1;
        let bytes = self.pending.split_to(end).freeze();
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        }
        let behind = self.offset - self.pending.len() as u64;
        let place = behind - bytes.len() as u64..behind;
        let is_checked = self.tail.is_checked(&place);
        let mut is_clean = true;
        let mut frames = Vec::new();
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &bytes) {
            let range = start..newline;
            start = newline + 1;
            let (owner, line) = (self.tail.owner(), &bytes[range.clone()]);
            let head = if is_checked {
                owner.head(line)
            } else {
                owner.check(line)
            };
            let head = match head {
                Ok(head) => head,
                Err(flaw) => {
                    is_clean = false;
                    let session = self.tail.session();
                    tracing::warn!(%session, after = self.after, %flaw, "passed over");
                    continue;
                }
            };
            if head.seq <= self.after {
                continue;
            }
            self.after = head.seq;
            if self.kinds.want(&head.kind) {
                let kind = match head.kind {
                    Cow::Borrowed(kind) => {
                        let start = kind.as_ptr().addr() - bytes.as_ptr().addr();
                        Kind::InBatch(start..start + kind.len())
                    }
                    Cow::Owned(kind) => Kind::Apart(kind.into()),
                };
                frames.push(Place {
                    seq: head.seq,
                    kind,
                    line: range,
                });
            }
        }
        if is_clean && !is_checked {
            self.tail.set_checked(place);
        }
        (!frames.is_empty()).then_some(Batch { bytes, frames })
    }
}
