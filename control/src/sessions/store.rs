//! The sessions and shells on the disk. Control keeps none of them in memory, so it has none
//! to lose.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cib_protocol::session::{Program, SessionId, SessionMeta, State};

use super::keeper;
use crate::fault::{Code, Fault};
use crate::journal::{FILE, META, seek};

/// Why a state in `meta.json` is corrected to `interrupted`.
const KEEPER_GONE: &str = "the keeper is gone";

/// The directories in which sessions live.
#[derive(Clone, Debug)]
pub struct Store {
    sessions: PathBuf,
    runtime: PathBuf,
}

/// Why a session cannot be shown.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is damaged")]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl Store {
    /// Sessions under `<data>/sessions`, their sockets under `<runtime>/sessions`.
    #[must_use]
    pub fn new(data: &Path, runtime: &Path) -> Self {
        Self {
            sessions: data.join("sessions"),
            runtime: runtime.to_owned(),
        }
    }

    /// Where the sessions' directories are.
    #[must_use]
    pub fn sessions(&self) -> &Path {
        &self.sessions
    }

    /// Where the sockets are.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Everything that runs or ran this program, the newest first. What cannot be read is left
    /// out, and the log says so: the others are still there.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub async fn list(&self, program: Program) -> Result<Vec<SessionMeta>, Fault> {
        self.clone()
            .blocking(move |store| {
                let mut sessions = Vec::new();
                for entry in fs::read_dir(&store.sessions)? {
                    let Some(id) = session_id(&entry?.file_name()) else {
                        continue;
                    };
                    match store.show(id) {
                        Ok(meta) => {
                            sessions.extend(meta.filter(|meta| meta.program == program));
                        }
                        Err(error) => {
                            let fault = Fault::internal(error);
                            tracing::error!(session = %id, causes = fault.causes(), "cannot show");
                        }
                    }
                }
                sessions.sort_by(|a, b| b.created_at.cmp(&a.created_at).then(b.id.cmp(&a.id)));
                Ok::<_, io::Error>(sessions)
            })
            .await
    }

    /// One session, or one shell.
    ///
    /// # Errors
    /// [`Code::NoSuchSession`] or [`Code::NoSuchShell`] if there is none of that id.
    pub async fn get(&self, program: Program, id: SessionId) -> Result<SessionMeta, Fault> {
        self.clone()
            .blocking(move |store| store.show(id))
            .await?
            .filter(|meta| meta.program == program)
            .ok_or_else(|| nothing_of(program, id))
    }

    /// Whether there is a session, or a shell, of that id.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn check(&self, program: Program, id: SessionId) -> Result<(), Fault> {
        match self.meta(id).map_err(Fault::internal)? {
            Some(meta) if meta.program == program => Ok(()),
            _ => Err(nothing_of(program, id)),
        }
    }

    /// Whether the journal of that id may be read as a session's, or a shell's. One that is
    /// just starting may be either.
    ///
    /// # Errors
    /// As [`Store::get`], if it is something else.
    pub fn admit(&self, program: Program, id: SessionId) -> Result<(), Fault> {
        match self.meta(id).map_err(Fault::internal)? {
            Some(meta) if meta.program != program => Err(nothing_of(program, id)),
            _ => Ok(()),
        }
    }

    /// Whether sessions can be read at all.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        fs::read_dir(&self.sessions).is_ok()
    }

    async fn blocking<T, E>(
        self,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        crate::work::run(move || work(&self)).await
    }

    /// What `meta.json` says, corrected by what can be seen: the journal may be further on,
    /// and a keeper that was killed cannot say so itself.
    fn show(&self, id: SessionId) -> Result<Option<SessionMeta>, ShowError> {
        let Some(mut meta) = self.meta(id)? else {
            return Ok(None);
        };
        if meta.state.is_live() && !keeper::is_listening(&keeper::socket(&self.runtime, id)) {
            // A keeper that just ended in order wrote how before it stopped listening.
            let Some(fresh) = self.meta(id)? else {
                return Ok(None);
            };
            meta = fresh;
            if meta.state.is_live() {
                meta.state = State::Interrupted;
                meta.reason = Some(KEEPER_GONE.to_owned());
                meta.claude_pid = None;
            }
        }
        let path = self.dir(id).join(FILE);
        match last_seq(&path) {
            Ok(seq) => meta.last_seq = meta.last_seq.max(seq),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ShowError::Read { path, source }),
        }
        Ok(Some(meta))
    }

    fn meta(&self, id: SessionId) -> Result<Option<SessionMeta>, ShowError> {
        let path = self.dir(id).join(META);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| ShowError::Damaged { path, source }),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(ShowError::Read { path, source }),
        }
    }

    fn dir(&self, id: SessionId) -> PathBuf {
        self.sessions.join(id.to_string())
    }
}

/// The answer for a session, or a shell, that is not there.
#[must_use]
pub fn nothing_of(program: Program, id: impl fmt::Display) -> Fault {
    match program {
        Program::Claude => Fault::new(Code::NoSuchSession, format!("there is no session {id}")),
        Program::Shell => Fault::new(Code::NoSuchShell, format!("there is no shell {id}")),
    }
}

fn last_seq(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let end = seek::committed(&file, len, 0)?;
    seek::last_seq(&file, end)
}

/// A directory's name as a session id, if it is one as control makes them.
fn session_id(name: &std::ffi::OsStr) -> Option<SessionId> {
    let name = name.to_str()?;
    let id: SessionId = name.parse().ok()?;
    (id.to_string() == name).then_some(id)
}
