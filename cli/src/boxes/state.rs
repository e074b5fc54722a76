//! What is kept of a box on this machine: its token, which is found again if it is lost, and when
//! its credential ends.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use super::Found;
use crate::credentials::Credential;
use crate::engine::{Engine, EngineError};
use crate::surroundings::Surroundings;

/// The folder of one box.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// Why a box's token is not known.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no place for it.
    #[error("there is no HOME, and so no place for the boxes' tokens")]
    NoHome,
    /// The folder cannot be used.
    #[error("cannot use {}", path.display())]
    Folder {
        /// It.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The engine does not give it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StateError> for crate::failure::Failure {
    fn from(error: StateError) -> Self {
        Self::failed(error)
    }
}

impl State {
    /// That of the box with this name.
    ///
    /// # Errors
    /// There is no home.
    pub fn of(around: &Surroundings, name: &str) -> Result<Self, StateError> {
        let folder = around.state().ok_or(StateError::NoHome)?;
        let folder = folder.join("boxes").join(name);
        Ok(Self { folder })
    }

    /// Makes the folder.
    fn make(&self) -> Result<(), StateError> {
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.folder)
            .map_err(|source| StateError::Folder {
                path: self.folder.clone(),
                source,
            })
    }

    /// Keeps the token, for this user's eyes only.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, token: &str) -> Result<(), StateError> {
        self.make()?;
        let path = self.folder.join("token");
        cib_base::files::replace(&path, token.as_bytes())
            .map_err(|source| StateError::Folder { path, source })
    }

    /// The token of a box that runs: from here, else from the box itself, and then kept again.
    ///
    /// # Errors
    /// Neither has it.
    pub fn token(&self, engine: &Engine, found: &Found) -> Result<String, StateError> {
        if let Ok(token) = cib_foreign::own::read_to_string(self.folder.join("token")) {
            let token = token.trim().to_owned();
            if !token.is_empty() {
                return Ok(token);
            }
        }
        let token = engine.ask_for(
            "read the box's token",
            &[
                "exec",
                "--user",
                "0",
                &found.id,
                "/bin/cat",
                "/run/secrets/auth_token",
            ],
        )?;
        self.keep(&token)?;
        Ok(token)
    }

    /// Keeps which credential the box has, and when that ends.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_credential(&self, credential: &Credential) -> Result<(), StateError> {
        self.make()?;
        let path = self.folder.join("credential.json");
        let kept = serde_json::json!({
            "variable": credential.variable, "origin": credential.origin, "ends": credential.ends,
        });
        cib_base::files::replace(&path, kept.to_string().as_bytes())
            .map_err(|source| StateError::Folder { path, source })
    }

    /// When the box's credential ends, in seconds since 1970, if that is known here.
    #[must_use]
    pub fn credential_ends(&self) -> Option<i64> {
        let text = cib_foreign::own::read_to_string(self.folder.join("credential.json")).ok()?;
        let kept: serde_json::Value = serde_json::from_str(&text).ok()?;
        kept["ends"].as_i64()
    }

    /// Forgets the box.
    pub fn forget(&self) {
        // There may be nothing to forget.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
