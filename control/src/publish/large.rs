//! Large files (Git LFS) of a push: their contents go to the forge before what points to them does.
//!
//! In the work tree coder's own `git-lfs` has put them aside, by their digests; where there is none,
//! files are committed as they are and nothing points to anything. What neither the tree nor the forge
//! has would be a pointer to nothing for everybody else, so such a push is refused.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cib_base::hex;
use cib_base::lfs::Pointer;
use cib_forge::{ErrorKind, ForgeError, Lacking, LargeFile, Slug};
use cib_protocol::files::{FilesRequest, Place, escape};
use cib_protocol::task::{TaskFault, TaskId};
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use sha2::{Digest as _, Sha256};

use super::bare::{Bare, SOON, Trouble};
use super::git;
use super::leak::{OVERLAP, Secrets};
use super::wire::Check;
use crate::app::App;
use crate::fault::Code;
use crate::files::ask::{Content, Pieces};

/// The root in which work trees stand.
const ROOT: &str = "workspace";

/// Large files of one push, at most.
pub(super) const MOST: usize = 10_000;

/// Bytes that are brought with one push, at most: whoever commits could fill the forge's store.
const MOST_BYTES: u64 = 4 << 30;

/// What a file says that has git put large ones aside.
const ATTRIBUTE: &str = "filter=lfs";

/// Where such files are.
const ATTRIBUTES: &str = ":(glob)**/.gitattributes";

/// A push that points to large files.
pub struct Load<'a> {
    /// Control's copy of the repository.
    pub bare: &'a Bare,
    /// The task that pushes; none if a person does.
    pub task: Option<TaskId>,
    /// The push, as git tells of it.
    pub asked: &'a Check,
    /// Its commit.
    pub new: &'a str,
    /// Where it goes.
    pub to: &'a Slug,
    /// Git's own folder of the work tree that it comes from, absolute.
    pub folder: &'a str,
    /// What is not published.
    pub secrets: Secrets,
}

impl Load<'_> {
    /// Brings the forge what it lacks of them.
    ///
    /// # Errors
    /// That a content is nowhere, has a secret in it, or is not taken.
    pub async fn bring(&self, app: &App, pointers: Vec<Pointer>) -> Result<(), Trouble> {
        let files: Vec<_> = pointers
            .iter()
            .map(|pointer| LargeFile {
                oid: pointer.oid.clone(),
                size: pointer.size,
            })
            .collect();
        // A text of this form is nothing else where no file is put aside.
        if files.is_empty() || !self.puts_aside().await? {
            return Ok(());
        }
        if files.len() > MOST {
            let why = format!("a push has at most {MOST} new large files (Git LFS)");
            return Err(Trouble::new(TaskFault::PushRefused, why));
        }
        let forge = self.bare.forge();
        let lacking = forge
            .lacking(self.to, &files)
            .await
            .map_err(|error| refused(&error))?;
        let bytes = lacking.iter().map(|one| one.file.size);
        if bytes.fold(0, u64::saturating_add) > MOST_BYTES {
            let why = "a push brings 4 GB of large files (Git LFS) at most";
            return Err(Trouble::new(TaskFault::PushRefused, why));
        }
        let mut nowhere = Vec::new();
        for lacking in lacking {
            match self.content(app, &lacking.file).await? {
                Some(content) => {
                    // What is given stays there, whatever becomes of the push.
                    if let Some(task) = self.task {
                        app.publisher.room_for(task, lacking.file.size)?;
                        app.publisher.spent(task, lacking.file.size);
                    }
                    self.give(lacking, content).await?;
                }
                None => nowhere.push(lacking.file.oid),
            }
        }
        match &*nowhere {
            [] => Ok(()),
            [first, ..] => Err(Trouble::new(
                TaskFault::PushRefused,
                format!(
                    "{} large files (Git LFS), the first of them {first}, are neither at the forge \
                     nor in the work tree, so the commits would point to nothing; add the files \
                     themselves and commit once more, with `git lfs` if it is here",
                    nowhere.len()
                ),
            )),
        }
    }

    /// Whether the commit has large files put aside.
    async fn puts_aside(&self) -> Result<bool, Trouble> {
        let words = [
            "grep", "--quiet", "-e", ATTRIBUTE, self.new, "--", ATTRIBUTES,
        ];
        let mut look = git::command(&self.bare.path, &[], words);
        look.env("GIT_OBJECT_DIRECTORY", &self.asked.objects)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &self.asked.alternates);
        let output = git::run(look, SOON).await?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(Trouble::new(TaskFault::Unknown, output.complaint)),
        }
    }

    /// A content of the work tree, as the agent's word has it.
    async fn content(&self, app: &App, file: &LargeFile) -> Result<Option<Content>, Trouble> {
        let root = app.roots.first();
        let Some(below) = root.and_then(|root| Path::new(self.folder).strip_prefix(root).ok())
        else {
            return Ok(None);
        };
        let pointer = Pointer {
            oid: file.oid.clone(),
            size: file.size,
        };
        let path = below.join("lfs/objects").join(pointer.place());
        let request = FilesRequest::Read {
            place: Place {
                root: ROOT.to_owned(),
                path: escape(path.as_os_str().as_encoded_bytes()),
            },
            span: None,
            tag: None,
        };
        match app.files.read(&request).await {
            Ok(content) if content.length == file.size => Ok(Some(content)),
            Ok(_) => Ok(None),
            Err(fault) => match fault.code() {
                Code::NoSuchFile | Code::IsLink | Code::NotAFile | Code::NotAFolder => Ok(None),
                _ => Err(Trouble::new(TaskFault::Unknown, fault.detail())),
            },
        }
    }

    async fn give(&self, lacking: Lacking, content: Content) -> Result<(), Trouble> {
        let stopped = Arc::default();
        let checked = Checked {
            pieces: content.pieces,
            oid: lacking.file.oid.clone(),
            digest: Sha256::new(),
            secrets: self.secrets.clone(),
            end: Vec::new(),
            held: Some(Bytes::new()),
            stopped: Arc::clone(&stopped),
        };
        let pieces = stream::unfold(checked, |mut checked| async move {
            let piece = checked.next().await?;
            Some((piece.map(Frame::data), checked))
        });
        let body = StreamBody::new(pieces).boxed_unsync();
        let given = self.bare.forge().give(self.to, lacking, body).await;
        let stopped = stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (given, stopped) {
            (_, Some(trouble)) => Err(trouble),
            (given, None) => given.map_err(|error| refused(&error)),
        }
    }
}

/// A forge that takes no large files does not take what points to them.
fn refused(error: &ForgeError) -> Trouble {
    let kind = match error.kind() {
        ErrorKind::Limited | ErrorKind::ForgeDown => TaskFault::ForgeDown,
        ErrorKind::AuthExpired | ErrorKind::NoRight => TaskFault::NoRight,
        _ => TaskFault::PushRefused,
    };
    let why = format!("the contents of large files (Git LFS) were not taken: {error}");
    Trouble::new(kind, why)
}

/// A content on its way. What is not what its pointer says, or has a secret in it, does not arrive
/// whole: the last piece is held until all of it was seen.
struct Checked {
    pieces: Pieces,
    oid: String,
    digest: Sha256,
    secrets: Secrets,
    /// The end of what was looked through, where a secret may begin.
    end: Vec<u8>,
    /// The piece that goes next; none when all are gone.
    held: Option<Bytes>,
    /// Why it goes no further.
    stopped: Arc<Mutex<Option<Trouble>>>,
}

impl Checked {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let held = self.held.take()?;
        match self.pieces.next().await {
            Some(Ok(piece)) => {
                self.digest.update(&piece);
                self.end.extend_from_slice(&piece);
                if let Some(what) = self.secrets.find(&self.end) {
                    let why = format!("{what} is in a large file, so nothing was published");
                    return Some(Err(self.stop(TaskFault::SecretFound, why)));
                }
                let known = self.end.len().saturating_sub(OVERLAP);
                self.end.drain(..known);
                self.held = Some(piece);
            }
            Some(Err(error)) => return Some(Err(error)),
            None if hex::encode(&self.digest.finalize_reset()) != self.oid => {
                let why = format!("the large file {} is not what its name says", self.oid);
                return Some(Err(self.stop(TaskFault::PushRefused, why)));
            }
            None => {}
        }
        Some(Ok(held))
    }

    fn stop(&self, kind: TaskFault, why: String) -> io::Error {
        let error = io::Error::other(why.clone());
        let trouble = Trouble::new(kind, why);
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
        error
    }
}
