//! The journal of a task, to who writes it.
//!
//! It is a journal as that of a session is, and is read as one. Control alone writes it, a few
//! frames a minute, each of which is on the disk before anything is done because of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cib_foreign::own;
use cib_protocol::frame::{Data, Frame};
use cib_protocol::task::TaskId;
use cib_protocol::time::Timestamp;

use crate::journal::FILE;

/// Bytes that are read of a journal at most.
const MOST: u64 = 64 << 20;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    task: TaskId,
    last_seq: u64,
    /// Length up to the last whole line.
    len: u64,
}

/// A frame as it was written.
pub type Written = (u64, Timestamp, Data);

impl Journal {
    /// Opens or makes the journal in a task's folder, and reads what it says. A line that was not
    /// written to its end is cut off: nothing was done because of it.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open(folder: &Path, task: TaskId) -> io::Result<(Self, Vec<Written>)> {
        let mut how = OpenOptions::new();
        how.read(true).append(true).create(true).mode(0o600);
        let file = own::open_as(&mut how, folder.join(FILE))?;
        let mut bytes = Vec::new();
        (&file).take(MOST).read_to_end(&mut bytes)?;
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
        }
        let mut journal = Self {
            file,
            task,
            last_seq: 0,
            len: whole as u64,
        };
        let lines = bytes[..whole].split(|byte| *byte == b'\n');
        let mut written = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Frame>(line) {
                Ok(frame) => {
                    journal.last_seq = journal.last_seq.max(frame.seq);
                    // A kind that a newer version wrote says nothing to this one.
                    if let Ok(Some(data)) = frame.decode() {
                        written.push((frame.seq, frame.ts, data));
                    }
                }
                Err(error) => tracing::warn!(%task, %error, "a line of a task is no frame"),
            }
        }
        Ok((journal, written))
    }

    /// Appends frames, all or none of them, and waits until the disk has them.
    ///
    /// # Errors
    /// The kernel's answer; the journal is as it was then.
    pub fn append(&mut self, ts: Timestamp, frames: Vec<Data>) -> io::Result<Vec<Written>> {
        let mut lines = Vec::new();
        let (mut seq, mut written) = (self.last_seq, Vec::new());
        for data in frames {
            seq += 1;
            Frame::write_line(&mut lines, self.task.journal(), seq, ts, &data)?;
            written.push((seq, ts, data));
        }
        let done = self
            .file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = done {
            // What cannot be cut off now is cut off when it is opened next.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += lines.len() as u64;
        self.last_seq = seq;
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::task::{TaskChange, TaskState};

    use super::*;

    fn state(state: TaskState) -> Data {
        Data::TaskState(TaskChange {
            state,
            ..TaskChange::default()
        })
    }

    #[test]
    fn what_was_appended_is_read_again_and_half_a_line_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(7);
        let (mut journal, read) = Journal::open(dir.path(), TaskId(1)).unwrap();
        assert!(read.is_empty());
        let frames = vec![state(TaskState::Queued), state(TaskState::Finding)];
        let written = journal.append(now, frames).unwrap();
        let path = dir.path().join(FILE);
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(br#"{"session":"00000001-0000-0000-0000-000000000000","seq":3"#);
        std::fs::write(&path, text).unwrap();
        let (mut journal, read) = Journal::open(dir.path(), TaskId(1)).unwrap();
        assert_eq!(read, written);
        let more = journal.append(now, vec![state(TaskState::Failed)]).unwrap();
        assert_eq!(more[0].0, 3);
        let (_, read) = Journal::open(dir.path(), TaskId(1)).unwrap();
        assert_eq!(read.len(), 3);
    }
}
