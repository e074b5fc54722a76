//! Asking, and what becomes of the answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cib_protocol::api::FileEntry;
use cib_protocol::files::{
    FilesFault, FilesReply, FilesRequest, MAX_DIFF, MAX_PIECE, MAX_REPLY, MAX_REQUEST,
};
use cib_protocol::trees::TreeRequest;
use futures_util::stream::{self, BoxStream};
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::{Files, wire};
use crate::fault::{Code, Fault};
use crate::routes::call::Upload;

/// How long a connection is waited for, and for the next piece of a file.
const SOON: Duration = Duration::from_secs(10);

/// How long an answer may take: git and a folder that is removed have their own, shorter, limits.
const PATIENCE: Duration = Duration::from_secs(40);

/// Bytes of a file, piece by piece.
pub type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// A file that is being read.
pub struct Content {
    /// The file.
    pub entry: FileEntry,
    /// Where the bytes begin.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
    /// The bytes. More than `length` never come; fewer end with an error.
    pub pieces: Pieces,
}

/// A connection on which something was asked.
struct Asked {
    stream: UnixStream,
    place: OwnedSemaphorePermit,
}

impl Files {
    /// Asks what is answered in one frame.
    ///
    /// # Errors
    /// The fault that the route answers with.
    pub async fn ask(&self, request: &FilesRequest) -> Result<FilesReply, Fault> {
        let is_large = matches!(request, FilesRequest::GitDiff { .. });
        let mut asked = self.open(request, is_large).await?;
        let most = if is_large { MAX_DIFF } else { MAX_REPLY };
        asked.head(most).await
    }

    /// Asks what is answered in one frame and may take as long as this. What may go on for many
    /// minutes has places of its own, for which it waits as long as that takes.
    ///
    /// # Errors
    /// The fault that the route answers with.
    pub async fn ask_long(
        &self,
        request: &FilesRequest,
        within: Duration,
    ) -> Result<FilesReply, Fault> {
        let place = if is_long(request) {
            let place = Arc::clone(&self.trees).acquire_owned().await;
            place.map_err(Fault::internal)?
        } else {
            self.place(false).await?
        };
        let mut asked = self.open_at(request, place).await?;
        asked.head_within(MAX_REPLY, within).await
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The fault that the route answers with.
    pub async fn read(&self, request: &FilesRequest) -> Result<Content, Fault> {
        let mut asked = self.open(request, false).await?;
        match asked.head(MAX_REPLY).await? {
            FilesReply::Content {
                entry,
                offset,
                length,
            } => Ok(Content {
                entry,
                offset,
                length,
                pieces: pieces(asked, length),
            }),
            _ => Err(unexpected()),
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// The fault that the route answers with, that of what comes in included.
    pub async fn write(
        &self,
        request: &FilesRequest,
        mut upload: Upload,
    ) -> Result<FileEntry, Fault> {
        let Asked { mut stream, place } = self.open(request, false).await?;
        while let Some(piece) = upload.next().await {
            // A fault drops the connection, and with it what was written so far.
            let piece = piece?;
            for part in piece.chunks(MAX_PIECE) {
                let sent = timeout(SOON, wire::send(&mut stream, part)).await;
                sent.map_err(|_| late())?.map_err(broken)?;
            }
        }
        let sent = timeout(SOON, wire::send(&mut stream, &[])).await;
        sent.map_err(|_| late())?.map_err(broken)?;
        let mut asked = Asked { stream, place };
        match asked.head(MAX_REPLY).await? {
            FilesReply::Entry(entry) => Ok(entry),
            _ => Err(unexpected()),
        }
    }

    async fn open(&self, request: &FilesRequest, is_large: bool) -> Result<Asked, Fault> {
        let place = self.place(is_large).await?;
        self.open_at(request, place).await
    }

    async fn open_at(
        &self,
        request: &FilesRequest,
        place: OwnedSemaphorePermit,
    ) -> Result<Asked, Fault> {
        let head = serde_json::to_vec(request).map_err(Fault::internal)?;
        if head.len() > MAX_REQUEST {
            return Err(Fault::new(Code::BadValue, "the path is too long"));
        }
        let opening = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            wire::send(&mut stream, &head).await?;
            Ok(stream)
        };
        let opened = timeout(SOON, opening).await.map_err(|_| late())?;
        Ok(Asked {
            stream: opened.map_err(broken)?,
            place,
        })
    }
}

/// Whether a request waits for a network, or for a command of somebody's.
fn is_long(request: &FilesRequest) -> bool {
    matches!(
        request,
        FilesRequest::GitPush { .. }
            | FilesRequest::Tree {
                ask: TreeRequest::Clone(_) | TreeRequest::Run { .. } | TreeRequest::Push { .. }
            }
    )
}

impl Asked {
    async fn head(&mut self, most: usize) -> Result<FilesReply, Fault> {
        self.head_within(most, PATIENCE).await
    }

    async fn head_within(&mut self, most: usize, within: Duration) -> Result<FilesReply, Fault> {
        let received = timeout(within, wire::receive(&mut self.stream, most)).await;
        let bytes = received.map_err(|_| late())?.map_err(broken)?;
        let reply: FilesReply = serde_json::from_slice(&bytes).map_err(|error| {
            unavailable("what looks at the files answers nonsense").because(error)
        })?;
        match reply {
            FilesReply::Refused { code, detail } => Err(refused(code, &detail)),
            reply => Ok(reply),
        }
    }
}

/// The pieces of a file as they come. It takes the place with it until the last was taken.
fn pieces(asked: Asked, length: u64) -> Pieces {
    let begin = Some((asked, length));
    Box::pin(stream::unfold(begin, |state| async move {
        let (mut asked, left) = state?;
        let read = timeout(SOON, wire::receive(&mut asked.stream, MAX_PIECE)).await;
        let piece = match read {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Some((Err(error), None)),
            Err(_) => return Some((Err(io::ErrorKind::TimedOut.into()), None)),
        };
        let count = piece.len() as u64;
        match (count, left) {
            (0, 0) => None,
            (1.., _) if count <= left => Some((Ok(piece), Some((asked, left - count)))),
            // Fewer bytes than were announced, or more.
            _ => Some((Err(io::ErrorKind::InvalidData.into()), None)),
        }
    }))
}

/// The fault of a reply to another question.
#[must_use]
pub fn unexpected() -> Fault {
    unavailable("what looks at the files answers another question")
}

fn unavailable(detail: &str) -> Fault {
    Fault::new(Code::FilesUnavailable, detail)
}

fn late() -> Fault {
    unavailable("what looks at the files does not answer in time")
}

fn broken(error: io::Error) -> Fault {
    unavailable("the files cannot be looked at").because(error)
}

/// Characters of a sentence that are passed on.
const MAX_DETAIL: usize = 500;

fn refused(code: FilesFault, detail: &str) -> Fault {
    let code = match code {
        FilesFault::BadRequest => Code::BadValue,
        FilesFault::Absent => Code::NoSuchFile,
        FilesFault::Link => Code::IsLink,
        FilesFault::NotFolder => Code::NotAFolder,
        FilesFault::NotFile => Code::NotAFile,
        FilesFault::Forbidden => Code::FileForbidden,
        FilesFault::Exists => Code::FileExists,
        FilesFault::Changed => Code::FileChanged,
        FilesFault::NotEmpty => Code::FolderNotEmpty,
        FilesFault::TooLarge => Code::TooLarge,
        FilesFault::BeyondEnd => Code::RangeUnsatisfiable,
        FilesFault::Full => Code::DiskFull,
        FilesFault::OtherDevice => Code::OtherDisk,
        FilesFault::Late => Code::FilesLate,
        FilesFault::NoRepository => Code::NoRepository,
        FilesFault::Failed => Code::FilesUnavailable,
    };
    let detail: String = detail
        .chars()
        .filter(|letter| !letter.is_control())
        .take(MAX_DETAIL)
        .collect();
    Fault::new(code, detail)
}
