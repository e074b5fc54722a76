//! A journal read backwards: the frames in front of a place, for a reader that began at the end.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use cib_journal::seek::Source as _;
use cib_journal::{MAX_LINE, seek};

use super::cursor::{CHUNK, Kinds, passed_over};
use super::tail::Tail;

/// Bytes of frames after which a page is full, whatever was asked for.
const ROOM: usize = 4 * 1024 * 1024;

/// The last frames in front of a seq, as far as they were found.
#[derive(Debug)]
pub struct Earlier {
    tail: Arc<Tail>,
    file: Option<Arc<File>>,
    kinds: Kinds,
    /// Seq of the last frame in the journal.
    last_seq: u64,
    before: u64,
    /// Offset from which on everything was read.
    offset: u64,
    /// What was read of a line whose beginning was not, with its newline.
    pending: Bytes,
    /// Seq of the frame that was looked at last, which is the lowest.
    lowest: u64,
    left: usize,
    room: usize,
    /// Copies, so that a few frames do not hold all the memory that was read to find them.
    frames: Vec<Bytes>,
}

impl Earlier {
    /// The last `limit` frames of these kinds whose seq is below `before`. Reads nothing yet but
    /// what it takes to find the place; may wait for a disk.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn open(tail: Arc<Tail>, before: u64, limit: usize, kinds: Kinds) -> io::Result<Self> {
        let (file, end) = (tail.file(), tail.extent().committed);
        let (last_seq, offset) = match &file {
            None => (0, 0),
            Some(file) => {
                let last = seek::last_seq(&**file, end)?;
                let offset = if before > last {
                    end
                } else {
                    seek::seek(&**file, end, before.saturating_sub(1))?
                };
                (last, offset)
            }
        };
        Ok(Self {
            tail,
            file,
            kinds,
            last_seq,
            before,
            offset,
            pending: Bytes::new(),
            lowest: before,
            left: limit,
            room: ROOM,
            frames: Vec::new(),
        })
    }

    /// Reads on until `by`; returns whether that is all.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn read(&mut self, by: Instant) -> io::Result<bool> {
        let Some(file) = self.file.clone() else {
            return Ok(true);
        };
        while self.offset > 0 && self.wants_more() {
            let size = (CHUNK.max(self.pending.len()) as u64).min(self.offset);
            let start = self.offset - size;
            let size = usize::try_from(size).unwrap_or(CHUNK);
            let mut block = BytesMut::zeroed(size);
            if file.read_at(&mut block, start)? < size {
                return Err(io::Error::other("the journal is shorter than it was"));
            }
            block.extend_from_slice(&self.pending);
            let block = block.freeze();
            self.offset = start;
            let whole = match memchr::memchr(b'\n', &block) {
                _ if start == 0 => 0,
                Some(newline) => newline + 1,
                None => block.len(),
            };
            self.pending = block.slice(..whole);
            if self.pending.len() as u64 > MAX_LINE {
                let what = format!("a line has more than {MAX_LINE} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.take(&block[whole..], start + whole as u64);
            if Instant::now() >= by {
                break;
            }
        }
        Ok(self.offset == 0 || !self.wants_more())
    }

    fn wants_more(&self) -> bool {
        self.left > 0 && self.room > 0
    }

    /// Takes the frames that are wanted out of whole lines, the last first.
    fn take(&mut self, lines: &[u8], at: u64) {
        let place = at..at + lines.len() as u64;
        let is_checked = self.tail.is_checked(&place);
        let mut is_clean = true;
        let mut end = lines.len();
        while end > 0 && self.wants_more() {
            let start = memchr::memrchr(b'\n', &lines[..end - 1]).map_or(0, |at| at + 1);
            let line = &lines[start..end - 1];
            end = start;
            is_clean &= self.look(line, is_checked);
        }
        if is_clean && !is_checked {
            let looked_at: Range<u64> = at + end as u64..place.end;
            self.tail.set_checked(looked_at);
        }
    }

    /// Returns whether the line was fit to be passed on.
    fn look(&mut self, line: &[u8], is_checked: bool) -> bool {
        let owner = self.tail.owner();
        let head = if is_checked {
            owner.head(line)
        } else {
            owner.check(line)
        };
        let head = match head {
            Ok(head) => head,
            Err(flaw) => {
                passed_over(&self.tail, self.lowest, &flaw);
                return false;
            }
        };
        // What is numbered 0 stands in front of the first frame and is told to nobody.
        if head.seq < self.lowest && head.seq > 0 {
            self.lowest = head.seq;
            if self.kinds.want(&head.kind) {
                self.frames.push(Bytes::copy_from_slice(line));
                self.left -= 1;
                self.room = self.room.saturating_sub(line.len());
            }
        }
        true
    }

    /// Seq of the last frame in the journal.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Where a reader goes on who has this page and wants what comes behind it.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.last_seq.min(self.before.saturating_sub(1))
    }

    /// What `before` is for the page in front of this one; 0 if there is nothing in front.
    #[must_use]
    pub fn previous(&self) -> u64 {
        let is_first = self.offset == 0 && self.wants_more() || self.lowest <= 1;
        if is_first { 0 } else { self.lowest }
    }

    /// The frames that were found, in the journal's order, each as its line stands there.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().rev().map(|line| &line[..])
    }
}
