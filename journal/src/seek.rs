//! Finding lines in a journal by position, without an index.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cib_protocol::frame::Status;
use cib_protocol::session::State;
use serde::Deserialize;

use crate::line::Owner;
use crate::{MAX_LINE, line};

/// Enough for everything in front of a frame's data as keepers write it.
const HEAD: usize = 256;

/// How much is looked through at a time for the end of a line.
const BLOCK: usize = 4096;

/// Lines in a row that may be no frames before a search gives up.
const MAX_STRAYS: usize = 10_000;

/// What a search says that found no end.
fn endless() -> io::Error {
    let what = format!("a line has more than {MAX_LINE} bytes");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What a search says that found nothing but other things.
fn strays() -> io::Error {
    let what = format!("more than {MAX_STRAYS} lines in a row are no frames");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Bytes that can be read at an offset: a journal, or a test's.
pub trait Source {
    /// Reads into `buffer` what stands at `offset`; fewer bytes only at the end.
    ///
    /// # Errors
    /// As the file system has them.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// How much of the first `len` bytes is final: everything up to the last newline. `floor` is
/// an offset up to which that is already known.
///
/// # Errors
/// If the journal cannot be read. [`io::ErrorKind::InvalidData`] if it has a line of more than
/// [`MAX_LINE`] bytes, or too many lines in a row that are no frames.
pub fn committed(source: &impl Source, len: u64, floor: u64) -> io::Result<u64> {
    let newline = newline_before(source, len, floor)?;
    Ok(newline.map_or(floor, |at| at + 1))
}

/// Offset of the first line with a seq above `after` among the first `end` bytes, which end
/// with a newline; `end` if there is none. Lines that are no frames are passed over.
///
/// # Errors
/// If the journal cannot be read. [`io::ErrorKind::InvalidData`] if it has a line of more than
/// [`MAX_LINE`] bytes, or too many lines in a row that are no frames.
pub fn seek(source: &impl Source, end: u64, after: u64) -> io::Result<u64> {
    // Every line that starts below `low` has a seq up to `after`; every frame that starts at
    // `high` or later has a higher one, and the first of those starts at `found`.
    let (mut low, mut high, mut found) = (0, end, end);
    while low < high {
        let middle = low + (high - low) / 2;
        match first_frame(source, middle, high)? {
            None => high = middle,
            Some((start, seq)) if seq > after => {
                found = start;
                high = middle;
            }
            Some((start, _)) => low = start + 1,
        }
    }
    Ok(found)
}

/// Offset of the first frame that starts in the last `bytes` bytes of the first `end`, which
/// end with a newline, and the seq of the frame before it. If none does, nothing is left over.
///
/// # Errors
/// If the journal cannot be read. [`io::ErrorKind::InvalidData`] if it has a line of more than
/// [`MAX_LINE`] bytes, or too many lines in a row that are no frames.
pub fn recent(source: &impl Source, end: u64, bytes: u64) -> io::Result<(u64, u64)> {
    let from = end.saturating_sub(bytes);
    Ok(match first_frame(source, from, end)? {
        Some((start, seq)) => (start, seq.saturating_sub(1)),
        None => (end, last_seq(source, end)?),
    })
}

/// Seq of the last frame among the first `end` bytes, which end with a newline; 0 without one.
///
/// # Errors
/// If the journal cannot be read. [`io::ErrorKind::InvalidData`] if it has a line of more than
/// [`MAX_LINE`] bytes, or too many lines in a row that are no frames.
pub fn last_seq(source: &impl Source, end: u64) -> io::Result<u64> {
    let mut end = end;
    let mut passed = 0;
    while end > 0 {
        let start = newline_before(source, end - 1, 0)?.map_or(0, |at| at + 1);
        if let Some(seq) = seq_at(source, start, end)? {
            return Ok(seq);
        }
        passed += 1;
        if passed > MAX_STRAYS {
            return Err(strays());
        }
        end = start;
    }
    Ok(0)
}

/// The state that the last line among the first `end` bytes closes the session with; `None` if
/// that line says something else. A keeper's last word is its `status`, and nothing follows.
///
/// # Errors
/// If the journal cannot be read.
pub fn closed(source: &impl Source, owner: &Owner, end: u64) -> io::Result<Option<State>> {
    #[derive(Deserialize)]
    struct Closing {
        data: Status,
    }
    let mut block = [0; HEAD];
    let from = end.saturating_sub(HEAD as u64);
    let want = usize::try_from(end - from).unwrap_or(HEAD);
    let read = source.read_at(&mut block[..want], from)?;
    let Some(lines) = block[..read].strip_suffix(b"\n") else {
        return Ok(None);
    };
    let line = match memchr::memrchr(b'\n', lines) {
        Some(at) => &lines[at + 1..],
        None if from == 0 => lines,
        None => return Ok(None),
    };
    if !matches!(owner.head(line), Ok(head) if head.kind == "status") {
        return Ok(None);
    }
    let closing = std::str::from_utf8(line).ok();
    let closing: Option<Closing> = closing.and_then(|line| serde_json::from_str(line).ok());
    let state = closing.map(|closing| closing.data.state);
    Ok(state.filter(|state| !state.is_live()))
}

/// The first frame that starts in `from..to`, with its seq.
fn first_frame(source: &impl Source, from: u64, to: u64) -> io::Result<Option<(u64, u64)>> {
    let mut start = match from.checked_sub(1) {
        None => 0,
        Some(before) => match newline_from(source, before, to)? {
            None => return Ok(None),
            Some(at) => at + 1,
        },
    };
    let mut passed = 0;
    while start < to {
        if let Some(seq) = seq_at(source, start, u64::MAX)? {
            return Ok(Some((start, seq)));
        }
        passed += 1;
        if passed > MAX_STRAYS {
            return Err(strays());
        }
        match newline_from(source, start, to)? {
            None => return Ok(None),
            Some(at) => start = at + 1,
        }
    }
    Ok(None)
}

/// Seq of the line at `start`, which goes no further than `limit`.
fn seq_at(source: &impl Source, start: u64, limit: u64) -> io::Result<Option<u64>> {
    let mut head = [0; HEAD];
    let read = source.read_at(&mut head, start)?;
    let head = &head[..read];
    let newline = memchr::memchr(b'\n', head);
    if let Some(head) = line::head(&head[..newline.unwrap_or(read)]) {
        return Ok(Some(head.seq));
    }
    if newline.is_some() {
        return Ok(None);
    }
    let Some(end) = newline_from(source, start, limit)? else {
        return Ok(None);
    };
    let mut whole = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
    let read = source.read_at(&mut whole, start)?;
    Ok(line::head(&whole[..read]).map(|head| head.seq))
}

/// Offset of the first newline in `from..to`.
fn newline_from(source: &impl Source, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut block = [0; BLOCK];
    let mut offset = from;
    while offset < to {
        let want = usize::try_from(to - offset).map_or(BLOCK, |left| left.min(BLOCK));
        let read = source.read_at(&mut block[..want], offset)?;
        if let Some(at) = memchr::memchr(b'\n', &block[..read]) {
            return Ok(Some(offset + at as u64));
        }
        if read < want {
            break;
        }
        offset += read as u64;
        if offset - from > MAX_LINE {
            return Err(endless());
        }
    }
    Ok(None)
}

/// Offset of the last newline in `floor..before`.
fn newline_before(source: &impl Source, before: u64, floor: u64) -> io::Result<Option<u64>> {
    let mut block = [0; BLOCK];
    let mut end = before;
    // A journal nearly always ends with a newline, so a little is read first.
    let mut size = 64;
    while end > floor {
        let start = end.saturating_sub(size).max(floor);
        let want = usize::try_from(end - start).unwrap_or(BLOCK);
        let read = source.read_at(&mut block[..want], start)?;
        if let Some(at) = memchr::memrchr(b'\n', &block[..read]) {
            return Ok(Some(start + at as u64));
        }
        end = start;
        if before - end > MAX_LINE {
            return Err(endless());
        }
        size = BLOCK as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Bytes(Vec<u8>);

    impl Source for Bytes {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let from = usize::try_from(offset).unwrap().min(self.0.len());
            let n = buffer.len().min(self.0.len() - from);
            buffer[..n].copy_from_slice(&self.0[from..from + n]);
            Ok(n)
        }
    }

    fn frame(seq: u64, padding: usize) -> String {
        format!(
            r#"{{"session":"00000000-0000-0000-0000-000000000000","seq":{seq},"ts":"2026-01-01T00:00:00.000Z","kind":"raw","data":"{}"}}"#,
            "x".repeat(padding)
        ) + "\n"
    }

    #[test]
    fn an_empty_journal_has_no_lines() {
        let journal = Bytes(Vec::new());
        assert_eq!(seek(&journal, 0, 0).unwrap(), 0);
        assert_eq!(last_seq(&journal, 0).unwrap(), 0);
        assert_eq!(committed(&journal, 0, 0).unwrap(), 0);
    }

    #[test]
    fn a_torn_line_is_not_there_however_long_it_is() {
        let whole = frame(1, 10);
        for torn in [1, 63, 64, 65, BLOCK, 3 * BLOCK] {
            let text = whole.clone() + &"y".repeat(torn);
            let journal = Bytes(text.into_bytes());
            let len = journal.0.len() as u64;
            assert_eq!(committed(&journal, len, 0).unwrap(), whole.len() as u64);
            assert_eq!(
                committed(&journal, len, whole.len() as u64).unwrap(),
                whole.len() as u64
            );
        }
    }

    /// A file that is mostly hole.
    struct Hole {
        len: u64,
        tail: &'static [u8],
    }

    impl Source for Hole {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let n = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
            let n = n.min(buffer.len());
            for (place, byte) in (offset..).zip(&mut buffer[..n]) {
                let behind = place.checked_sub(self.len - self.tail.len() as u64);
                *byte = behind.map_or(0, |at| self.tail[usize::try_from(at).unwrap()]);
            }
            Ok(n)
        }
    }

    #[test]
    fn an_endless_line_is_given_up_and_not_read() {
        for tail in [&b""[..], b"\n", b"\nx"] {
            let hole = Hole {
                len: 15 << 40,
                tail,
            };
            let found = committed(&hole, hole.len, 0).and_then(|end| last_seq(&hole, end));
            assert_eq!(found.unwrap_err().kind(), io::ErrorKind::InvalidData);
            let found = seek(&hole, hole.len, 1);
            assert_eq!(found.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_journal_of_nothing_but_newlines_is_given_up() {
        let journal = Bytes(vec![b'\n'; 1 << 20]);
        let end = 1 << 20;
        assert_eq!(
            last_seq(&journal, end).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert_eq!(
            seek(&journal, end, 1).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    proptest! {
        #[test]
        fn every_position_is_found(
            paddings in prop::collection::vec(prop_oneof![0usize..40, 3000usize..9000], 1..40),
            garbage in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        ) {
            let mut text = String::new();
            let mut starts = Vec::new();
            let broken: Vec<_> = garbage.iter().map(|at| at.index(paddings.len())).collect();
            for (i, padding) in paddings.iter().enumerate() {
                if broken.contains(&i) {
                    text += "this is no frame\n";
                }
                starts.push(text.len() as u64);
                text += &frame(i as u64 + 1, *padding);
            }
            let end = text.len() as u64;
            let journal = Bytes(text.into_bytes());
            for after in 0..=paddings.len() {
                let expected = starts.get(after).copied().unwrap_or(end);
                prop_assert_eq!(seek(&journal, end, after as u64).unwrap(), expected);
            }
            prop_assert_eq!(last_seq(&journal, end).unwrap(), paddings.len() as u64);
            for bytes in [0, 1, 200, 5000, end, end * 2] {
                let from = end.saturating_sub(bytes);
                let before = starts.iter().filter(|start| **start < from).count();
                let expected = starts.get(before).copied().unwrap_or(end);
                let after = before as u64;
                prop_assert_eq!(recent(&journal, end, bytes).unwrap(), (expected, after));
            }
        }
    }
}
