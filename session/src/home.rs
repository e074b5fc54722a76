//! What has to be known and done in the files of the session's user before Claude is started.
//!
//! The keeper is somebody else and may neither look nor write there. So this program runs
//! once more as that user, is told what is wanted as JSON and says what it found as JSON. That
//! user may make it say anything: the keeper takes it for that user's word.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use cib_protocol::session::SessionSpec;
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

use crate::claude::command::environment;
use crate::runner::Runner;
use crate::watch::{config_dir, transcript_of};
use crate::{seed, settings};

/// Bytes that the user's hooks may have.
const MAX_HOOKS: u64 = 1024 * 1024;

/// Bytes of the longest answer: the hooks, with every byte escaped, and some notes.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// Bytes of a settings file.
const MAX_SETTINGS: u64 = 8 * 1024 * 1024;

/// What is wanted.
#[derive(Debug, Serialize, Deserialize)]
struct Wanted {
    workdir: PathBuf,
    /// A conversation whose transcript is looked for.
    conversation: Option<String>,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// Why Claude cannot work in the folder that it is to work in.
    pub workdir_fault: Option<String>,
    /// Why Claude could not keep anything.
    pub home_fault: Option<String>,
    /// What somebody should know, but need not stop anything.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The user's hooks file.
    pub hooks: Option<String>,
    /// The conversation's transcript, and how long it is.
    pub transcript: Option<(PathBuf, u64)>,
}

/// Lets the session's user look after its files.
///
/// # Errors
/// If nobody can be sent, or comes back with no answer.
pub fn visit(runner: &mut Runner, spec: &SessionSpec, conversation: &str) -> io::Result<Home> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("visit");
    environment(&mut command, spec);
    let wanted = serde_json::to_vec(&Wanted {
        workdir: spec.workdir.clone(),
        conversation: Some(conversation.to_owned()),
    })?;
    let said = runner.errand(&command, &wanted, MAX_ANSWER)?;
    Ok(serde_json::from_slice(&said.output)?)
}

/// Lets the session's user write a file that is for that user alone. There must be none.
///
/// # Errors
/// If it cannot be written.
pub fn store(runner: &mut Runner, file: &Path, text: &str) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("store").arg("--file").arg(file);
    let said = runner.errand(&command, text.as_bytes(), MAX_ANSWER)?;
    if said.code == 0 {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&said.output).into_owned();
    Err(io::Error::other(why))
}

/// The other side of [`visit`].
///
/// # Errors
/// If standard input cannot be read or standard output be written.
pub fn answer_visit() -> io::Result<()> {
    let wanted: Wanted = serde_json::from_reader(io::stdin().lock())?;
    let found = look(&wanted);
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &found)?;
    output.flush()
}

/// The other side of [`store`].
///
/// # Errors
/// If there is a file already, or it cannot be written.
pub fn answer_store(file: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().take(MAX_SETTINGS).read_to_end(&mut text)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    cib_foreign::own::open_as(&mut options, file)?.write_all(&text)
}

fn look(wanted: &Wanted) -> Home {
    let mut home = Home {
        workdir_fault: workdir_fault(&wanted.workdir),
        ..Home::default()
    };
    if home.workdir_fault.is_some() {
        // Nothing will be started, so nothing is touched.
        return home;
    }
    if let Err(error) = probe(&wanted.workdir) {
        let dir = &wanted.workdir;
        home.notes.push(not_writable(dir, "the workdir", &error));
    }
    match config_dir() {
        Some(dir) => {
            let made = std::fs::create_dir_all(&dir);
            if let Err(error) = made.and_then(|()| probe(&dir)) {
                home.home_fault = Some(not_writable(&dir, "Claude's own folder", &error));
                return home;
            }
            let name = wanted.conversation.as_deref().unwrap_or_default();
            home.transcript = transcript_of(&dir, name).map(|path| {
                let len = std::fs::metadata(&path).map_or(0, |meta| meta.len());
                (path, len)
            });
        }
        None => home
            .notes
            .push("neither HOME nor CLAUDE_CONFIG_DIR is set".to_owned()),
    }
    home.notes.extend(seed::seed(&wanted.workdir));
    if let Some(path) = settings::user_hooks() {
        match read_hooks(&path) {
            Ok(text) => home.hooks = text,
            Err(why) => home
                .notes
                .push(format!("{} is not used: {why}", path.display())),
        }
    }
    home
}

fn read_hooks(path: &Path) -> Result<Option<String>, String> {
    // The user's own link is no danger here: nobody else's rights are in play.
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match cib_foreign::read_to_string(&real, MAX_HOOKS) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(cib_base::errors::chain(&error)),
    }
}

fn workdir_fault(dir: &Path) -> Option<String> {
    let shown = dir.display();
    match std::fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Some(not_writable(dir, "the workdir", &error));
        }
        _ => {
            return Some(format!(
                "workdir `{shown}` is no directory of this box; make it first"
            ));
        }
    }
    let error = std::env::set_current_dir(dir).err()?;
    Some(not_writable(dir, "the workdir", &error))
}

/// Whether a file could be made in a folder.
fn probe(dir: &Path) -> io::Result<()> {
    Ok(access(dir, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

/// Names a folder that is not to be used, whose it is, and what helps.
fn not_writable(dir: &Path, what: &str, error: &io::Error) -> String {
    let (uid, gid) = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    let owner = std::fs::metadata(dir).map_or_else(
        |_| "nobody knows whom".to_owned(),
        |meta| {
            let mode = meta.mode() & 0o7777;
            format!("{}:{} (mode {mode:04o})", meta.uid(), meta.gid())
        },
    );
    format!(
        "{what} {} cannot be used by user {uid}: {error}; it belongs to {owner}. A mounted folder \
         with another owner is the usual cause: give the box PUID and PGID of its owner, or \
         `chown -R {uid}:{gid}` it",
        dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(workdir: &Path) -> Wanted {
        Wanted {
            workdir: workdir.to_owned(),
            conversation: None,
        }
    }

    #[test]
    fn a_workdir_that_is_not_there_is_named_before_anything_is_touched() {
        let found = look(&wanted(Path::new("/no/such")));
        let fault = found.workdir_fault.unwrap();
        assert!(
            fault.contains("`/no/such` is no directory of this box"),
            "{fault}"
        );
        assert_eq!(found.home_fault, None);
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named_with_its_owner_and_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let error = io::Error::from_raw_os_error(13);
        let text = not_writable(dir.path(), "Claude's own folder", &error);
        let meta = std::fs::metadata(dir.path()).unwrap();
        assert!(text.contains(&dir.path().display().to_string()), "{text}");
        assert!(text.contains(&format!(
            "{}:{} (mode {:04o})",
            meta.uid(),
            meta.gid(),
            meta.mode() & 0o7777
        )));
        assert!(text.contains("PUID"), "{text}");
    }

    #[test]
    fn a_pipe_for_hooks_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hooks.json");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let why = read_hooks(&path).unwrap_err();
        assert!(why.contains("is not a regular file"), "{why}");
        assert_eq!(read_hooks(&dir.path().join("none")), Ok(None));
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        std::fs::write(&path, "mine").unwrap();
        let error = answer_store(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
