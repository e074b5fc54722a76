//! Closing the records that an end of the whole box left open: which those are, and each of them
//! in a process of its own, so that one that cannot be closed costs no other anything.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cib_protocol::frame::{Data, Frame};
use cib_protocol::session::SessionId;
use nix::poll::poll;

use crate::{journal, meta};

/// How long one record may take.
const EACH: Duration = Duration::from_secs(10);
/// How many are closed at once.
const AT_ONCE: usize = 4;
/// How much of a journal's end is looked at. The last frame of an ended session is short.
const TAIL: u64 = 8 * 1024;
/// How often processes are looked at, in milliseconds.
const LOOK_MS: u8 = 5;
/// Another keeper has the session: somebody has resumed it already.
const LOCKED: i32 = 75;

/// Closes every record below `sessions` that is open; how many.
pub fn sweep(sessions: &Path) -> usize {
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            tracing::error!("no record can be closed: {error}");
            return 0;
        }
    };
    let mut left: Vec<PathBuf> = directories(sessions)
        .into_iter()
        .filter(|dir| is_open(dir))
        .collect();
    let mut running: Vec<Running> = Vec::new();
    let mut closed = 0;
    loop {
        while running.len() < AT_ONCE
            && let Some(dir) = left.pop()
        {
            running.extend(Running::start(&program, dir));
        }
        if running.is_empty() {
            return closed;
        }
        running.retain_mut(|one| match one.look() {
            None => true,
            Some(done) => {
                closed += usize::from(done);
                false
            }
        });
        let _ = poll(&mut [], LOOK_MS);
    }
}

/// The directories of sessions, which are named by their ids.
fn directories(sessions: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(sessions) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!("cannot read {}: {error}", sessions.display());
            return Vec::new();
        }
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str()
                .is_some_and(|name| name.parse::<SessionId>().is_ok())
        })
        .map(|entry| entry.path())
        .collect()
}

/// Whether a record has to be closed: all of them but those whose last whole line says that the
/// session has ended. One that cannot be read may be one.
///
/// What an earlier version left beside a journal has to be taken into it, once.
fn is_open(dir: &Path) -> bool {
    if fs::symlink_metadata(dir.join(meta::OLD_FILE)).is_ok() {
        return true;
    }
    match cib_foreign::open(&dir.join(journal::FILE)) {
        Ok(mut file) => !tail(&mut file).is_ok_and(|tail| says_ended(&tail)),
        Err(error) => !error.is_absent(),
    }
}

fn tail(file: &mut File) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

/// Whether the end of a journal is whole, and its last line tells of a state that is an end.
fn says_ended(tail: &[u8]) -> bool {
    let Some((b'\n', whole)) = tail.split_last() else {
        return false;
    };
    let line = whole.rsplit(|byte| *byte == b'\n').next();
    let frame: Option<Frame> = line.and_then(|line| serde_json::from_slice(line).ok());
    let data = frame.and_then(|frame| frame.decode().ok().flatten());
    matches!(data, Some(Data::Status(status)) if !status.state.is_live())
}

/// A record that is being closed.
struct Running {
    dir: PathBuf,
    child: Child,
    until: Instant,
}

impl Running {
    fn start(program: &Path, dir: PathBuf) -> Option<Self> {
        let child = Command::new(program)
            .args(["finish", "--state", "interrupted", "--dir"])
            .arg(&dir)
            .stdin(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self {
                dir,
                child,
                until: Instant::now() + EACH,
            }),
            Err(error) => {
                tracing::warn!("the record in {} stays open: {error}", dir.display());
                None
            }
        }
    }

    /// `None` while it runs; then whether it was closed.
    fn look(&mut self) -> Option<bool> {
        let why = match self.child.try_wait() {
            Ok(None) if Instant::now() < self.until => return None,
            Ok(None) => {
                // It may end just now; either way its remains are taken.
                let _ = self.child.kill();
                let _ = self.child.wait();
                format!("not done within {} s", EACH.as_secs())
            }
            Ok(Some(status)) if status.success() => return Some(true),
            Ok(Some(status)) if is_locked(status) => return Some(false),
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!("the record in {} stays open: {why}", self.dir.display());
        Some(false)
    }
}

fn is_locked(status: ExitStatus) -> bool {
    status.code() == Some(LOCKED)
}

#[cfg(test)]
mod tests {
    use cib_protocol::frame::Status;
    use cib_protocol::session::State;
    use cib_protocol::time::Timestamp;

    use super::*;

    fn line(state: State) -> Vec<u8> {
        let mut line = Vec::new();
        let data = Data::Status(Status {
            state,
            elapsed_ms: 7,
        });
        let id = SessionId::from_u128(1);
        Frame::write_line(&mut line, id, 1, Timestamp::now(), &data).unwrap();
        line
    }

    #[test]
    fn only_a_whole_last_line_that_says_so_is_an_end() {
        for state in [State::Stopped, State::Failed, State::Interrupted] {
            assert!(says_ended(&line(state)));
            assert!(says_ended(&[line(State::Idle), line(state)].concat()));
            assert!(!says_ended(&line(state)[..20]));
            let torn = [line(state), b"{\"session\"".to_vec()].concat();
            assert!(!says_ended(&torn));
        }
        for state in [State::Starting, State::Working] {
            assert!(!says_ended(&[line(State::Stopped), line(state)].concat()));
        }
        assert!(!says_ended(b"") && !says_ended(b"\n") && !says_ended(b"nonsense\n"));
    }

    #[test]
    fn a_pipe_in_a_journals_place_is_a_candidate_and_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let ids = [1, 2, 3].map(|id| SessionId::from_u128(id).to_string());
        for id in &ids {
            fs::create_dir(root.path().join(id)).unwrap();
        }
        fs::create_dir(root.path().join("no-session")).unwrap();
        let pipe = root.path().join(&ids[1]).join(journal::FILE);
        let made = std::process::Command::new("mkfifo").arg(pipe).status();
        assert!(made.unwrap().success());
        fs::write(
            root.path().join(&ids[2]).join(journal::FILE),
            line(State::Stopped),
        )
        .unwrap();
        let mut found = directories(root.path());
        assert_eq!(found.len(), 3);
        found.retain(|dir| is_open(dir));
        assert_eq!(found, [root.path().join(&ids[1])]);
    }
}
