//! The journal: `transcript.jsonl`, one frame a line, `seq` from 1 without a gap.
//!
//! A reader may take every line that ends with a newline as final. So a line is written whole
//! or taken back: a write that the kernel accepted only in part is cut off again at the last
//! complete line before anything else is written, and what a crash left torn is cut off when
//! the journal is opened ([`recovery`]). The promises are in `docs/spec/journal.md`.

mod recovery;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cib_protocol::frame::{Data, Frame};
use cib_protocol::session::SessionId;
use cib_protocol::time::Timestamp;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::own;

pub use cib_journal::FILE;
pub use recovery::RecoveryError;

/// A buffer that grew beyond this many bytes is given back after it was written.
const KEEP_BUFFER: usize = 128 * 1024;

/// When the kernel is made to put frames onto the disk (`CIB_JOURNAL_SYNC`).
///
/// No policy is needed to survive the death of a process, or of the container: the page cache
/// survives both. It matters for the host's own crash or loss of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// When the kernel likes (about half a minute), and when the session ends.
    #[default]
    None,
    /// After every write, which holds every frame that was ready at that moment.
    Batch,
    /// After every frame, each in a write of its own.
    Frame,
}

/// A word that is no [`SyncPolicy`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown sync policy `{0}`; it is none, batch or frame")]
pub struct UnknownSyncPolicy(String);

impl FromStr for SyncPolicy {
    type Err = UnknownSyncPolicy;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "none" => Ok(Self::None),
            "batch" => Ok(Self::Batch),
            "frame" => Ok(Self::Frame),
            other => Err(UnknownSyncPolicy(other.to_owned())),
        }
    }
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened or created.
    #[error("cannot open the journal {}", path.display())]
    Open {
        /// The journal.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The end of the file cannot be read or is not what a keeper leaves behind.
    #[error("cannot continue the journal {}", path.display())]
    End {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: RecoveryError,
    },
}

/// What was found at the end of a journal that was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Seq of the last whole frame; 0 if there is none.
    pub last_seq: u64,
    /// Bytes behind it that were cut off.
    pub torn: u64,
}

/// An open journal. Its owner holds the session's lock, so it is the only writer.
#[derive(Debug)]
pub struct Journal {
    file: File,
    session: SessionId,
    sync: SyncPolicy,
    /// Seq of the last frame pushed.
    last_seq: u64,
    /// Length of the file up to the last whole line.
    len: u64,
    /// Whether bytes may stand behind `len` that have to go first.
    torn: bool,
    /// Lines not yet written.
    buffer: Vec<u8>,
    /// Lines at the end of the file that the disk has refused. The kernel tells of that once
    /// and takes them for written afterwards, so asking again would be answered with a lie.
    unsynced: Vec<u8>,
    #[cfg(test)]
    failing_syncs: u32,
}

impl Journal {
    /// Opens or creates the journal of a session's directory and repairs its end.
    ///
    /// # Errors
    /// If the file cannot be opened for writing, or if what stands in it is not this
    /// session's journal.
    pub fn open(
        dir: &Path,
        session: SessionId,
        sync: SyncPolicy,
    ) -> Result<(Self, Opened), OpenError> {
        let path = dir.join(FILE);
        let mut how = OpenOptions::new();
        how.read(true).append(true).create(true);
        // Control reads it by its group.
        let file = own::open(&path, &mut how, 0o640).map_err(|source| OpenError::Open {
            path: path.clone(),
            source,
        })?;
        let end = recovery::repair(&file, session).map_err(|source| OpenError::End {
            path: path.clone(),
            source,
        })?;
        let journal = Self {
            file,
            session,
            sync,
            last_seq: end.last_seq,
            len: end.len,
            torn: false,
            buffer: Vec::new(),
            unsynced: Vec::new(),
            #[cfg(test)]
            failing_syncs: 0,
        };
        let opened = Opened {
            last_seq: end.last_seq,
            torn: end.torn,
        };
        Ok((journal, opened))
    }

    /// The session whose journal this is.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Seq of the last frame pushed, written or not.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Bytes that were pushed and not yet written.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Puts a frame behind the ones that wait to be written. A payload that cannot be written
    /// as JSON becomes a `raw` frame that says so, because a gap in `seq` would be worse.
    pub fn push(&mut self, ts: Timestamp, data: &Data) -> u64 {
        let seq = self.last_seq + 1;
        if let Err(error) = Frame::write_line(&mut self.buffer, self.session, seq, ts, data) {
            let note = Data::Raw(serde_json::json!({
                "type": "unwritable", "kind": data.kind(), "error": error.to_string(),
            }));
            Frame::write_line(&mut self.buffer, self.session, seq, ts, &note)
                .expect("a map of three strings can be written as JSON");
        }
        self.last_seq = seq;
        seq
    }

    /// Writes everything that was pushed, in one write unless the policy wants one a frame.
    ///
    /// # Errors
    /// The kernel's answer if it did not take everything. What it took in whole lines stays
    /// written, the rest stays pending, and calling again continues there.
    pub fn flush(&mut self) -> io::Result<()> {
        self.rewrite()?;
        while !self.buffer.is_empty() {
            if self.torn {
                self.file.set_len(self.len)?;
                self.torn = false;
            }
            let end = match self.sync {
                SyncPolicy::Frame => first_line(&self.buffer),
                SyncPolicy::None | SyncPolicy::Batch => self.buffer.len(),
            };
            let kept = match self.sync {
                SyncPolicy::None => Vec::new(),
                SyncPolicy::Batch | SyncPolicy::Frame => self.buffer[..end].to_vec(),
            };
            let len = self.len;
            let written = self.write_up_to(end);
            if self.sync != SyncPolicy::None {
                let whole = usize::try_from(self.len - len).unwrap_or(usize::MAX);
                self.reach_the_disk(&kept[..whole])?;
            }
            written?;
        }
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Makes the kernel put everything written onto the disk, whatever the policy.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn sync(&mut self) -> io::Result<()> {
        self.rewrite()?;
        self.sync_data()
    }

    /// Makes the kernel put lines onto the disk that were just appended, and remembers them if
    /// it cannot.
    fn reach_the_disk(&mut self, lines: &[u8]) -> io::Result<()> {
        self.sync_data()
            .inspect_err(|_| self.unsynced.extend_from_slice(lines))
    }

    /// Writes the lines once more that the disk has refused, at their place, so that the kernel
    /// has something to put there. A reader sees the same bytes all the time.
    fn rewrite(&mut self) -> io::Result<()> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let at = self.len - self.unsynced.len() as u64;
        // An appending descriptor writes at the end, whatever it is told.
        let flags = OFlag::from_bits_retain(fcntl(&self.file, FcntlArg::F_GETFL)?);
        fcntl(&self.file, FcntlArg::F_SETFL(flags - OFlag::O_APPEND))?;
        let written = self.file.write_all_at(&self.unsynced, at);
        fcntl(&self.file, FcntlArg::F_SETFL(flags))?;
        written?;
        self.sync_data()?;
        self.unsynced = Vec::new();
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        #[cfg(test)]
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return Err(io::Error::other("the disk does not take it"));
        }
        self.file.sync_data()
    }

    /// Writes the first `end` bytes of the buffer, which end with a newline, and drops the
    /// whole lines that were taken.
    fn write_up_to(&mut self, end: usize) -> io::Result<()> {
        let mut taken = 0;
        let result = loop {
            match self.file.write(&self.buffer[taken..end]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if taken == end {
                break Ok(());
            }
        };
        let whole = last_line_end(&self.buffer[..taken]);
        self.len += whole as u64;
        self.buffer.drain(..whole);
        self.torn = whole != taken;
        if self.torn {
            // Readers wait for a newline, so the piece does no harm while it stands; it only
            // must not stand in front of the next line.
            self.torn = self.file.set_len(self.len).is_err();
        }
        result
    }
}

/// Length of the first line, its newline included.
fn first_line(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(bytes.len(), |at| at + 1)
}

/// Length of all whole lines.
fn last_line_end(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use cib_protocol::frame::Text;

    use super::*;

    fn push(journal: &mut Journal, text: &str) {
        let text = text.to_owned();
        let data = Data::Text(Text {
            text,
            ..Text::default()
        });
        journal.push(Timestamp::from_millis(0), &data);
    }

    #[test]
    fn a_disk_that_refused_once_is_written_to_again_before_all_is_said_to_be_well() {
        for policy in [SyncPolicy::Batch, SyncPolicy::Frame] {
            let dir = tempfile::tempdir().unwrap();
            let (mut journal, _) = Journal::open(dir.path(), SessionId::nil(), policy).unwrap();
            push(&mut journal, "one");
            journal.flush().unwrap();
            push(&mut journal, "two");
            push(&mut journal, "three");
            journal.failing_syncs = 2;
            journal.flush().unwrap_err();
            let seen = std::fs::read(dir.path().join(FILE)).unwrap();
            assert!(!journal.unsynced.is_empty());
            assert!(seen.ends_with(&journal.unsynced));
            // Nothing is left to append under this policy, and still it is not all well.
            journal.flush().unwrap_err();
            assert!(
                std::fs::read(dir.path().join(FILE))
                    .unwrap()
                    .starts_with(&seen)
            );
            push(&mut journal, "four");
            journal.flush().unwrap();
            assert!(journal.unsynced.is_empty());
            let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
            let words = ["one", "two", "three", "four"];
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), words.len(), "{text}");
            for ((line, word), seq) in lines.iter().zip(words).zip(1..) {
                assert!(line.contains(&format!("\"seq\":{seq},")), "{line}");
                assert!(line.contains(word), "{line}");
            }
        }
    }
}
