//! Finding the last whole frame of a journal, and cutting off what a crash left behind it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cib_journal::MAX_LINE;
use cib_protocol::session::SessionId;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek64};
use serde::Deserialize;

/// Bytes read at a time while walking backwards.
const STEP: u64 = 64 * 1024;

/// Bytes read first.
const SHORT: u64 = 1024;

/// Bytes behind the last frame that are looked through, holes not counted. What a crash leaves
/// there is what the disk had not yet got, and far less.
const MOST: u64 = 128 << 20;

/// Holes behind the last frame that are passed over.
const MOST_HOLES: u32 = 1000;

/// Lines behind the last frame that are tried.
const MOST_LINES: u32 = 10_000;

/// Why the end of a journal cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// It cannot be read or cut.
    #[error("cannot read or cut its end")]
    Io(#[from] io::Error),
    /// Its last frame is another session's.
    #[error("it belongs to session {0}")]
    OtherSession(SessionId),
    /// There are whole lines, and not one of them is a frame.
    #[error("it holds lines but no frame; move it away to start a new one")]
    NotAJournal,
    /// So much stands behind its last frame, if there is one, that no crash has left it there.
    #[error("no frame stands near its end; move it away to start a new one")]
    Endless,
}

/// Where a journal ends after its repair.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) last_seq: u64,
    /// Length in bytes.
    pub(super) len: u64,
    /// Bytes that were cut off.
    pub(super) torn: u64,
}

/// The fields of a frame that continuing needs.
#[derive(Deserialize)]
struct Head {
    session: SessionId,
    seq: u64,
}

/// Cuts off everything behind the last whole frame.
///
/// A crash of the keeper leaves at most a piece of one line. A crash of the host may leave
/// more: a file system may have grown the file before it wrote the blocks, which then read as
/// zeros. So lines are tried from the last one backwards until one is a frame.
pub(super) fn repair(file: &File, session: SessionId) -> Result<End, RecoveryError> {
    let size = file.metadata()?.len();
    let mut back = Back {
        file,
        left: MOST,
        holes: MOST_HOLES,
    };
    let mut end = size;
    let mut lines = 0u32;
    let (last_seq, len) = loop {
        // `end` is the end of what has not been tried yet; a line ends with its newline.
        let Some(newline) = back.newline(end)? else {
            break (0, 0);
        };
        let start = back.newline(newline)?.map_or(0, |at| at + 1);
        match head(file, start, newline)? {
            Some(head) if !(1..u64::MAX).contains(&head.seq) => {}
            Some(head) if head.session == session => break (head.seq, newline + 1),
            Some(head) => return Err(RecoveryError::OtherSession(head.session)),
            None => {}
        }
        lines += 1;
        if lines > MOST_LINES {
            return Err(RecoveryError::Endless);
        }
        end = start;
    };
    if len == 0 && lines > 0 {
        return Err(RecoveryError::NotAJournal);
    }
    if len < size {
        file.set_len(len)?;
    }
    Ok(End {
        last_seq,
        len,
        torn: size - len,
    })
}

/// Whether there is nothing but zeros, which is what a hole reads as.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes
        .chunks(ZEROS.len())
        .all(|part| *part == ZEROS[..part.len()])
}

/// The head of a line, if it is a frame.
fn head(file: &File, start: u64, end: u64) -> io::Result<Option<Head>> {
    if end - start > MAX_LINE {
        return Ok(None);
    }
    let mut line = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut line, start)?;
    Ok(crate::json::from_bytes(&line).ok())
}

/// A walk from the end of a file to its beginning.
struct Back<'a> {
    file: &'a File,
    /// Bytes that may still be walked over.
    left: u64,
    /// Holes that may still be passed over.
    holes: u32,
}

impl Back<'_> {
    /// Position of the last newline before `end`.
    fn newline(&mut self, end: u64) -> Result<Option<u64>, RecoveryError> {
        let mut chunk = Vec::new();
        let mut end = end;
        // Most lines are short, and most files end with one.
        let mut step = SHORT;
        while end > 0 {
            let start = end.saturating_sub(step);
            step = STEP;
            chunk.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
            self.file.read_exact_at(&mut chunk, start)?;
            let found = chunk.iter().rposition(|&byte| byte == b'\n');
            let at = found.map_or(start, |at| start + at as u64);
            self.left = self
                .left
                .checked_sub(end - at)
                .ok_or(RecoveryError::Endless)?;
            if found.is_some() {
                return Ok(Some(at));
            }
            end = start;
            if is_zero(&chunk) {
                end = self.beginning_of_hole(start)?;
                let passed = u32::from(end < start);
                self.holes = self
                    .holes
                    .checked_sub(passed)
                    .ok_or(RecoveryError::Endless)?;
            }
        }
        Ok(None)
    }

    /// Where the hole begins that ends at `end`; `end` itself if there is none.
    fn beginning_of_hole(&self, end: u64) -> io::Result<u64> {
        // Nothing but hole stands between `high` and `end`.
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            let from = middle.try_into().map_err(io::Error::other)?;
            let is_hole = match lseek64(self.file, from, Whence::SeekData) {
                Ok(data) => data.unsigned_abs() >= end,
                Err(Errno::ENXIO) => true,
                // A file system that knows of no holes.
                Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(end),
                Err(error) => return Err(error.into()),
            };
            if is_hole {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(high)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};
    use std::time::{Duration, Instant};

    use cib_protocol::frame::{Data, Frame};
    use cib_protocol::time::Timestamp;

    use super::*;

    const ID: SessionId = SessionId::nil();

    /// Far less than it takes to read what is only a hole.
    const AT_ONCE: Duration = Duration::from_secs(10);

    fn frame(seq: u64) -> Vec<u8> {
        let mut line = Vec::new();
        let data = Data::Raw(serde_json::json!({}));
        Frame::write_line(&mut line, ID, seq, Timestamp::from_millis(0), &data).unwrap();
        line
    }

    fn file(beginning: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(beginning).unwrap();
        file
    }

    /// Makes the rest of a file a hole, as large as the file system has them.
    fn grow(file: &File) {
        [15 << 40, 1 << 40, 2 << 30]
            .into_iter()
            .find(|len| file.set_len(*len).is_ok())
            .unwrap();
    }

    #[test]
    fn a_hole_behind_the_last_frame_is_cut_off_at_once_however_large_it_is() {
        let frames = [frame(1), frame(2)].concat();
        for (name, torn, last) in [
            ("a hole", &b""[..], &b""[..]),
            ("a torn line in front", b"{\"session", b""),
            ("a newline behind", b"", b"\n"),
            ("two lines around", b"{}\n", b"\n{}\n"),
        ] {
            let begun = Instant::now();
            let mut file = file(&[&frames, torn].concat());
            grow(&file);
            let end = file.seek(io::SeekFrom::End(0)).unwrap();
            file.write_all_at(last, end - last.len() as u64).unwrap();
            let found = repair(&file, ID).unwrap_or_else(|error| panic!("{name}: {error}"));
            let len = frames.len() as u64;
            let torn = end - len;
            assert_eq!(
                found,
                End {
                    last_seq: 2,
                    len,
                    torn
                },
                "{name}"
            );
            assert_eq!(file.metadata().unwrap().len(), len, "{name}");
            assert!(begun.elapsed() < AT_ONCE, "{name}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn a_frame_behind_a_hole_is_the_last_one() {
        let file = file(&frame(1));
        grow(&file);
        let line = [b"\n".to_vec(), frame(7)].concat();
        let end = file.metadata().unwrap().len();
        file.write_all_at(&line, end - line.len() as u64).unwrap();
        let found = repair(&file, ID).unwrap();
        assert_eq!((found.last_seq, found.torn), (7, 0));
    }

    #[test]
    fn what_no_crash_leaves_behind_is_refused_at_once_and_left_alone() {
        let begun = Instant::now();
        let newlines = file(&[&frame(1)[..], &vec![b'\n'; 1 << 20]].concat());
        let holes = file(&frame(1));
        for at in 1..20_000_u64 {
            holes.write_all_at(b"x", at << 17).unwrap();
        }
        for file in [newlines, holes] {
            let before = file.metadata().unwrap().len();
            assert!(matches!(repair(&file, ID), Err(RecoveryError::Endless)));
            assert_eq!(file.metadata().unwrap().len(), before);
        }
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    }
}
