//! What a session is, folded from the frames of its journal.

mod meta;
mod payload;
mod saved;
pub mod spent;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cib_foreign::ForeignError;
use cib_protocol::frame::Data;
use cib_protocol::session::{Program, SessionId, SessionMeta};
use cib_protocol::time::Timestamp;

use crate::line::{Flaw, Owner};
use crate::seek::Source;
use crate::{FILE, MAX_LINE};

pub use meta::{apply, begin, opening, unknown};
pub use saved::Saved;
use spent::Spent;

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// Why a journal cannot be folded to its end.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// It is no file that can be opened.
    #[error(transparent)]
    Open(#[from] ForeignError),
    /// It cannot be read.
    #[error("cannot read the journal {}", path.display())]
    Read {
        /// The journal.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// How far a fold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything that is final was taken up.
    Done,
    /// There is more, and the caller wanted to stop.
    More,
}

/// A journal that is taken up from its beginning, as far as it goes, and further when it grows.
#[derive(Clone, Debug)]
pub struct Fold {
    owner: Owner,
    /// What the frames say; `None` before the first.
    meta: Option<Arc<SessionMeta>>,
    /// What was used, by day and model.
    spent: Arc<Spent>,
    /// What was wrong first with a line, if anything was.
    flaw: Option<String>,
    /// Whether a keeper has said what the session was asked to be.
    is_opened: bool,
    /// Whether the last frame says that the session has ended.
    is_closed: bool,
    /// Offset behind the last line that was taken up.
    offset: u64,
    /// Bytes behind that in which the end of a long line was not found.
    searched: u64,
}

impl Fold {
    /// An empty journal.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            owner: Owner::new(session),
            meta: None,
            spent: Arc::default(),
            flaw: None,
            is_opened: false,
            is_closed: false,
            offset: 0,
            searched: 0,
        }
    }

    /// What the session is; `None` if there is no frame.
    #[must_use]
    pub fn meta(&self) -> Option<&SessionMeta> {
        self.meta.as_deref()
    }

    /// What the session is; `None` if there is no frame.
    #[must_use]
    pub fn into_meta(self) -> Option<SessionMeta> {
        self.meta.map(Arc::unwrap_or_clone)
    }

    /// As [`Fold::meta`], for whoever keeps it: it is copied only once there is more to tell.
    #[must_use]
    pub fn shared(&self) -> Option<Arc<SessionMeta>> {
        self.meta.clone()
    }

    /// What was used, by day and model.
    #[must_use]
    pub fn spent(&self) -> &Arc<Spent> {
        &self.spent
    }

    /// Whether a keeper has said what the session was asked to be, which those of earlier
    /// versions left to a file beside the journal.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        self.is_opened
    }

    /// Whether the last frame says that the session has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Offset behind the last line that was taken up.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes up what stands in a journal behind what was taken up before, until its last
    /// newline or until `enough` says so, which is asked between two portions.
    ///
    /// # Errors
    /// If the journal cannot be read. [`io::ErrorKind::InvalidData`] if a line has more than
    /// [`MAX_LINE`] bytes; [`io::ErrorKind::UnexpectedEof`] if it is shorter than it was.
    pub fn read(&mut self, file: &File, mut enough: impl FnMut() -> bool) -> io::Result<Progress> {
        let len = file.metadata()?.len();
        if len < self.offset {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            // A line that goes on beyond a portion is only looked through for its end.
            let read = Source::read_at(file, &mut buffer, self.offset + self.searched)?;
            if self.searched > 0 {
                if let Some(at) = memchr::memchr(b'\n', &buffer[..read]) {
                    let mut line = vec![0; usize::try_from(self.searched).unwrap_or(0) + at];
                    file.read_exact_at(&mut line, self.offset)?;
                    self.line(&line);
                    self.offset += line.len() as u64 + 1;
                    self.searched = 0;
                    continue;
                }
                self.searched += read as u64;
            } else {
                let mut start = 0;
                for end in memchr::memchr_iter(b'\n', &buffer[..read]) {
                    self.line(&buffer[start..end]);
                    start = end + 1;
                }
                self.offset += start as u64;
                if start == 0 {
                    self.searched = read as u64;
                }
            }
            if read < buffer.len() {
                // The rest may become a line yet.
                self.searched = 0;
                return Ok(Progress::Done);
            }
            if self.searched > MAX_LINE {
                let what = format!("a line has more than {MAX_LINE} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            if enough() {
                return Ok(Progress::More);
            }
        }
    }

    /// Takes up a line without its newline.
    pub fn line(&mut self, line: &[u8]) {
        let head = match self.owner.head(line) {
            Ok(head) => head,
            Err(flaw) => return self.spoil(&flaw),
        };
        let last = self.meta.as_ref().map_or(0, |meta| meta.last_seq);
        // What is numbered 0 stands in front of the first frame and is told to nobody.
        if head.seq < last || (head.seq == last && last > 0) || head.seq == u64::MAX {
            return self.damage(format!("seq {} stands behind seq {last}", head.seq));
        }
        if head.seq > last + 1 {
            self.damage(format!("seq {} follows seq {last}", head.seq));
        }
        self.is_closed = false;
        let meta = match &mut self.meta {
            Some(meta) => meta,
            none => {
                let ts = payload::timestamp(line).unwrap_or(Timestamp::from_millis(0));
                let mut meta = unknown(self.owner.session(), ts);
                meta.damage.clone_from(&self.flaw);
                none.insert(Arc::new(meta))
            }
        };
        let meta = Arc::make_mut(meta);
        meta.last_seq = head.seq;
        match &*head.kind {
            "status" | "stop" | "usage" | "meta" => {}
            "todo.update" | "ask.question" | "ask.answer" => {
                // They say something about the session, but are not what it stands on: one that
                // cannot be read is no damage.
                if let Some((ts, data)) = payload::payload(line) {
                    apply(meta, head.seq, ts, &data);
                }
                return;
            }
            "hook" => {
                // What it was told may be long, and is of no use here.
                meta.hooks += 1;
                return;
            }
            _ => return,
        }
        let Some((ts, data)) = payload::payload(line) else {
            return self.spoil(&Flaw::NotAFrame);
        };
        if let Data::Meta(news) = &data {
            self.is_opened |= news.opening.is_some();
            if !self.is_opened && payload::is_a_shells(news) {
                meta.program = Program::Shell;
            }
        }
        if let Data::Usage(usage) = &data {
            Arc::make_mut(&mut self.spent).add(ts, meta.model.as_deref(), usage);
        }
        apply(meta, head.seq, ts, &data);
        self.is_closed = matches!(&data, Data::Status(status) if !status.state.is_live());
    }

    /// What was wrong first with a line, if anything was.
    #[must_use]
    pub fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// Takes up that a line is no frame of the session.
    fn spoil(&mut self, flaw: &Flaw) {
        self.damage(flaw.to_string());
    }

    fn damage(&mut self, what: String) {
        let what = self.flaw.get_or_insert(what);
        if let Some(meta) = &mut self.meta
            && meta.damage.is_none()
        {
            Arc::make_mut(meta).damage = Some(what.clone());
        }
    }
}

/// What a journal says that its session is; `None` if there is none, or no frame in it.
///
/// # Errors
/// If it is there and cannot be read.
pub fn load(dir: &Path, session: SessionId) -> Result<Fold, FoldError> {
    let path = dir.join(FILE);
    let mut fold = Fold::new(session);
    let file = match cib_foreign::open(&path) {
        Ok(file) => file,
        Err(error) if error.is_absent() => return Ok(fold),
        Err(error) => return Err(error.into()),
    };
    match fold.read(&file, || false) {
        Ok(_) => Ok(fold),
        Err(source) => Err(FoldError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests;
