//! A file of control's own that is small and replaced as a whole.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cib_base::files;
use serde::Serialize;

use crate::work;

/// Anything that can be wrong with a file's content.
pub(crate) type Damage = Box<dyn std::error::Error + Send + Sync>;

/// Why a file cannot be used at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system gave no random bytes for one that is made at the first start.
    #[error("no random bytes")]
    Random(#[source] getrandom::Error),
    /// One that is made at the first start cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The directory cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The file is damaged. Starting without it would quietly lock out everybody in it.
    #[error("{} is damaged; move it away, and make anew what was in it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Damage,
    },
}

/// Where one is.
#[derive(Debug)]
pub(crate) struct File {
    path: Arc<Path>,
    /// Held while the file is being replaced, so that an older content never replaces a newer.
    writing: tokio::sync::Mutex<()>,
}

impl File {
    /// Reads a file of a directory, which is made if it is missing; nothing if there is no file.
    pub(crate) fn open<T>(
        dir: &Path,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, Damage>,
    ) -> Result<(Self, Option<T>), OpenError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| OpenError::Directory {
                path: dir.into(),
                source,
            })?;
        let path = dir.join(name);
        let content = match cib_foreign::own::read(&path) {
            Ok(bytes) => Some(parse(&bytes).map_err(|source| OpenError::Damaged {
                path: path.clone(),
                source,
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(OpenError::Read { path, source }),
        };
        let file = Self {
            path: path.into(),
            writing: tokio::sync::Mutex::default(),
        };
        Ok((file, content))
    }

    /// Replaces the file by what there is when its turn comes.
    pub(crate) async fn save<T>(&self, content: impl FnOnce() -> T) -> io::Result<()>
    where
        T: Serialize + Send + 'static,
    {
        let _writing = self.writing.lock().await;
        let content = content();
        let path = Arc::clone(&self.path);
        let write = move || files::replace(&path, &serde_json::to_vec_pretty(&content)?);
        work::run(write).await.map_err(io::Error::other)
    }
}
