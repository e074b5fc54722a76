//! Which commands there are, and in which order.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cib_base::hex;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::super::outcome::Outcome;
use super::super::paths::Paths;
use crate::environment::SetupSettings;

/// The shell of commands and of scripts without the executable bit.
const SHELL: &str = "bash";
/// Larger than any script.
const LARGEST: u64 = 16 * 1024 * 1024;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where it stands: a file, or `CIB_SETUP_COMMANDS, command 2`.
    pub origin: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Hexadecimal digest of what it does: another text is another command.
    pub digest: String,
}

/// A script cannot be used.
#[derive(Debug, Error)]
#[error("cannot read {}", path.display())]
pub struct JobsError {
    /// The script or its folder.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// The image's scripts by name, then `CIB_SETUP_FILE`, then `CIB_SETUP_COMMANDS`.
///
/// # Errors
///
/// A script that was asked for cannot be read.
pub fn jobs(settings: &SetupSettings, paths: &Paths) -> Result<(Vec<Job>, Outcome), JobsError> {
    let mut outcome = Outcome::default();
    let mut jobs = Vec::new();
    for path in scripts(paths, &mut outcome)? {
        jobs.push(script(paths, &path)?);
    }
    if let Some(path) = &settings.file {
        jobs.push(script(paths, path)?);
    }
    for (index, command) in settings.commands.iter().enumerate() {
        jobs.push(Job {
            origin: format!("CIB_SETUP_COMMANDS, command {}", index + 1),
            command: vec![SHELL.to_owned(), "-c".to_owned(), command.clone()],
            digest: digest(command.as_bytes()),
        });
    }
    Ok((jobs, outcome))
}

/// The executable files of `setup.d`, by name.
fn scripts(paths: &Paths, outcome: &mut Outcome) -> Result<Vec<PathBuf>, JobsError> {
    let folder = paths.config.join("setup.d");
    let failed = |source| JobsError {
        path: folder.clone(),
        source,
    };
    let entries = match fs::read_dir(paths.at(&folder)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut scripts = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = folder.join(name);
        match fs::metadata(paths.at(&path)) {
            Ok(metadata) if metadata.is_file() && executable(&metadata) => scripts.push(path),
            _ => outcome.warn(format!(
                "{} is not executable, and was not run",
                path.display()
            )),
        }
    }
    scripts.sort();
    Ok(scripts)
}

fn script(paths: &Paths, path: &Path) -> Result<Job, JobsError> {
    let at = paths.at(path);
    let failed = |source| JobsError {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(&at).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    // What a volume puts there may be links, as Kubernetes makes them.
    let real = fs::canonicalize(&at).map_err(failed)?;
    let bytes = cib_foreign::read(&real, LARGEST);
    let bytes = bytes.map_err(|error| failed(io::Error::other(error)))?;
    let shown = path.display().to_string();
    let command = if executable(&metadata) {
        vec![shown.clone()]
    } else {
        vec![SHELL.to_owned(), shown.clone()]
    };
    Ok(Job {
        origin: shown,
        command,
        digest: digest(&bytes),
    })
}

fn executable(metadata: &fs::Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes))
}
