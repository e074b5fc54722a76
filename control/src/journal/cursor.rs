//! A reader's place in a journal.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use cib_base::log::Seldom;
use cib_journal::line::Flaw;
use cib_journal::seek::Source as _;
use cib_journal::{MAX_LINE, seek};
use tokio::sync::watch;

use super::file;
use super::tail::{End, Extent, Tail};
use crate::work;

/// How much is read at a time.
pub(super) const CHUNK: usize = 64 * 1024;

/// Lines of so many bytes that nobody looked at yet are looked at where that keeps nobody
/// waiting. What a keeper just wrote is less, nearly always, and passed on at once.
const MUCH: usize = CHUNK / 2;

/// How long a reader waits before it asks again for a turn that it did not get.
const BREATH: Duration = Duration::from_millis(50);

/// A journal may have any number of lines that are no frames, and any number of readers.
static PASSED_OVER: Seldom = Seldom::new();

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

    /// The lines, as many in one piece as fit into so many bytes, with a newline between two of
    /// them. A longer one is a piece alone. Lines that stand together in the journal are not
    /// copied.
    pub fn packed(&self, most: usize) -> impl Iterator<Item = Bytes> + '_ {
        let mut frames = self.frames.iter().peekable();
        std::iter::from_fn(move || {
            let first = frames.next()?.line.clone();
            let mut run = first;
            let mut copied = BytesMut::new();
            while let Some(next) = frames.peek() {
                let size = copied.len() + run.len() + 1 + next.line.len();
                if size > most {
                    break;
                }
                if next.line.start == run.end + 1 {
                    run.end = next.line.end;
                } else {
                    copied.extend_from_slice(&self.bytes[run]);
                    copied.extend_from_slice(b"\n");
                    run = next.line.clone();
                }
                frames.next();
            }
            if copied.is_empty() {
                return Some(self.bytes.slice(run));
            }
            copied.extend_from_slice(&self.bytes[run]);
            Some(copied.freeze())
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
pub enum Read {
    /// Frames, at least one.
    Frames(Batch),
    /// Every frame was given, and no other will come.
    End(End),
}

/// What a reader gets that does not wait.
#[derive(Debug)]
pub enum Ready {
    /// Frames, at least one.
    Frames(Batch),
    /// Every frame that is there was given.
    Nothing,
    /// The time is over, and there may be more.
    Later,
}

/// A reader's place. Frames come in the order of their seqs, each once, whatever the pace.
#[derive(Debug)]
pub struct Cursor {
    tail: Arc<Tail>,
    extent: watch::Receiver<Extent>,
    kinds: Arc<Kinds>,
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
            kinds: Arc::new(kinds),
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

    /// The frames that are there now, or `None` if there are none. Can be dropped and called
    /// again without losing any.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn ready(&mut self) -> io::Result<Option<Batch>> {
        loop {
            let Some((file, want)) = self.wanted()? else {
                return Ok(None);
            };
            let read = file::read(&file, self.offset, want).await?;
            if let Some(lines) = self.add(read)? {
                let batch = if lines.len() < MUCH || self.is_checked(&lines) {
                    self.sift(lines)
                } else {
                    self.sift_elsewhere(lines).await
                };
                if batch.is_some() {
                    return Ok(batch);
                }
            }
            // A filter may pass over any number of frames, and others want their turn.
            tokio::task::yield_now().await;
        }
    }

    /// As [`Cursor::ready`], for a thread that may wait for a disk, until `by`.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn ready_by(&mut self, by: Instant) -> io::Result<Ready> {
        loop {
            let Some((file, want)) = self.wanted()? else {
                return Ok(Ready::Nothing);
            };
            let mut read = BytesMut::zeroed(want);
            let filled = file.read_at(&mut read, self.offset)?;
            read.truncate(filled);
            if let Some(lines) = self.add(read)?
                && let Some(batch) = self.sift(lines)
            {
                return Ok(Ready::Frames(batch));
            }
            if Instant::now() >= by {
                return Ok(Ready::Later);
            }
        }
    }

    /// What is to be read next, if there is anything.
    fn wanted(&mut self) -> io::Result<Option<(Arc<File>, usize)>> {
        let committed = self.extent.borrow_and_update().committed;
        if committed < self.offset {
            return Err(io::Error::other("the journal is shorter than it was"));
        }
        let file = self.tail.file().filter(|_| self.offset < committed);
        Ok(file.map(|file| {
            let left = usize::try_from(committed - self.offset).unwrap_or(usize::MAX);
            // A long line is read in ever larger pieces, so that it is not copied over and over.
            (file, left.min(CHUNK.max(self.pending.len())))
        }))
    }

    /// Takes up what was read, and hands out the whole lines in it.
    fn add(&mut self, read: BytesMut) -> io::Result<Option<Bytes>> {
        if read.is_empty() {
            return Err(io::Error::other("the journal is shorter than it was"));
        }
        self.offset += read.len() as u64;
        if self.pending.len() as u64 > MAX_LINE {
            let what = format!("a line has more than {MAX_LINE} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if self.pending.is_empty() {
            self.pending = read;
        } else {
            self.pending.extend_from_slice(&read);
        }
        let Some(newline) = memchr::memrchr(b'\n', &self.pending) else {
            return Ok(None);
        };
        let lines = self.pending.split_to(newline + 1).freeze();
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        }
        Ok(Some(lines))
    }

    /// Where the lines stand that [`Cursor::add`] has just handed out.
    fn place(&self, lines: &Bytes) -> Range<u64> {
        let behind = self.offset - self.pending.len() as u64;
        behind - lines.len() as u64..behind
    }

    fn is_checked(&self, lines: &Bytes) -> bool {
        self.tail.is_checked(&self.place(lines))
    }

    /// Takes the frames out of whole lines that are wanted.
    fn sift(&mut self, lines: Bytes) -> Option<Batch> {
        let place = self.place(&lines);
        let (frames, after) = sift(&self.tail, &self.kinds, self.after, place, &lines);
        self.after = after;
        (!frames.is_empty()).then_some(Batch {
            bytes: lines,
            frames,
        })
    }

    /// As [`Cursor::sift`], on another thread.
    async fn sift_elsewhere(&mut self, lines: Bytes) -> Option<Batch> {
        let place = self.place(&lines);
        // Whoever does not wait for the outcome reads them again.
        let (offset, pending) = (self.offset, std::mem::take(&mut self.pending));
        self.offset = place.start;
        let (frames, after) = loop {
            let (tail, kinds, after) =
                (Arc::clone(&self.tail), Arc::clone(&self.kinds), self.after);
            let (place, lines) = (place.clone(), lines.clone());
            let work = work::portion(move |_| sift(&tail, &kinds, after, place, &lines));
            match work.await {
                Ok(sifted) => break sifted,
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        };
        (self.offset, self.pending, self.after) = (offset, pending, after);
        (!frames.is_empty()).then_some(Batch {
            bytes: lines,
            frames,
        })
    }

    /// Waits for frames, or for the end. Can be dropped and called again without losing any.
    pub async fn next(&mut self) -> Read {
        loop {
            let end = self.extent.borrow_and_update().end;
            match self.ready().await {
                Ok(Some(batch)) => return Read::Frames(batch),
                Ok(None) => {}
                Err(error) => {
                    let session = self.tail.session();
                    tracing::error!(%session, %error, "cannot read a journal");
                    return Read::End(End::Unreadable);
                }
            }
            if let Some(end) = end {
                return Read::End(end);
            }
            // The tail is held, so its sender cannot be gone.
            let _ = self.extent.changed().await;
        }
    }
}

/// Says, now and then, that lines are no frames.
pub(super) fn passed_over(tail: &Tail, near: u64, flaw: &Flaw) {
    if let Some(times) = PASSED_OVER.happened() {
        let session = tail.session();
        tracing::warn!(%session, near, %flaw, times, "lines were passed over");
    }
}

/// Finds the frames in whole lines that are wanted and stand behind `after`, and the seq of the
/// last one that was passed.
fn sift(
    tail: &Tail,
    kinds: &Kinds,
    mut after: u64,
    place: Range<u64>,
    lines: &Bytes,
) -> (Vec<Place>, u64) {
    let is_checked = tail.is_checked(&place);
    let mut is_clean = true;
    let mut frames = Vec::new();
    let mut start = 0;
    for newline in memchr::memchr_iter(b'\n', lines) {
        let range = start..newline;
        start = newline + 1;
        let (owner, line) = (tail.owner(), &lines[range.clone()]);
        let head = if is_checked {
            owner.head(line)
        } else {
            owner.check(line)
        };
        let head = match head {
            Ok(head) => head,
            Err(flaw) => {
                is_clean = false;
                passed_over(tail, after, &flaw);
                continue;
            }
        };
        if head.seq <= after {
            continue;
        }
        after = head.seq;
        if kinds.want(&head.kind) {
            let kind = match head.kind {
                Cow::Borrowed(kind) => {
                    let start = kind.as_ptr().addr() - lines.as_ptr().addr();
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
        tail.set_checked(place);
    }
    (frames, after)
}
