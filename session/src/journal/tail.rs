//! Finding the last whole frame of a journal, and cutting off what a crash left behind it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cib_protocol::session::SessionId;
use serde::Deserialize;

/// Bytes read at a time while walking backwards.
const STEP: u64 = 64 * 1024;

/// Why the end of a journal cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// It cannot be read or cut.
    #[error("cannot read or cut its end")]
    Io(#[from] io::Error),
    /// Its last frame is another session's.
    #[error("it belongs to session {0}")]
    OtherSession(SessionId),
    /// There are whole lines, and not one of them is a frame.
    #[error("it holds lines but no frame; move it away to start a new one")]
    NotAJournal,
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
pub(super) fn repair(file: &File, session: SessionId) -> Result<End, TailError> {
    let size = file.metadata()?.len();
    let mut end = size;
    let mut lines = 0u32;
    let (last_seq, len) = loop {
        // `end` is the end of what has not been tried yet; a line ends with its newline.
        let Some(newline) = rfind_newline(file, end)? else {
            break (0, 0);
        };
        let start = rfind_newline(file, newline)?.map_or(0, |at| at + 1);
        let mut line = vec![0; usize::try_from(newline - start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut line, start)?;
        match crate::json::from_bytes::<Head>(&line) {
            Ok(head) if !(1..u64::MAX).contains(&head.seq) => lines += 1,
            Ok(head) if head.session == session => break (head.seq, newline + 1),
            Ok(head) => return Err(TailError::OtherSession(head.session)),
            Err(_) => lines += 1,
        }
        end = start;
    };
    if len == 0 && lines > 0 {
        return Err(TailError::NotAJournal);
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

/// Position of the last newline before `end`.
fn rfind_newline(file: &File, end: u64) -> io::Result<Option<u64>> {
    let mut chunk = Vec::new();
    let mut end = end;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        chunk.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
        file.read_exact_at(&mut chunk, start)?;
        if let Some(at) = chunk.iter().rposition(|&byte| byte == b'\n') {
            return Ok(Some(start + at as u64));
        }
        end = start;
    }
    Ok(None)
}
