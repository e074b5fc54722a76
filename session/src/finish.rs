//! Closing the record of a session whose keeper died without doing so.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cib_protocol::frame::{Data, Status, Stop};
use cib_protocol::session::{SessionId, State};
use cib_protocol::time::Timestamp;
use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::journal::{Journal, OpenError, SyncPolicy};
use crate::lock::{Lock, LockError};
use crate::{meta, replay};

/// How long a Claude that outlived its keeper has for its end before it is killed.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long what that Claude left behind may take to go after SIGKILL.
const STRAYS: Duration = Duration::from_secs(2);

/// Why a session's record could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// A keeper is at work, or what it left cannot be ended.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// `meta.json` cannot be read.
    #[error("cannot tell what session this is")]
    Meta(#[from] meta::LoadError),
    /// There is no `meta.json`.
    #[error("no {} here: not the directory of a session", meta::FILE)]
    NoMeta,
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The closing frames or `meta.json` cannot be written.
    #[error("cannot write the end of the session")]
    Write(#[source] std::io::Error),
}

/// Repairs the journal, and if the session was live, sees to it that its Claude and what that
/// left behind are gone, appends the closing frames and replaces `meta.json`. Doing it twice changes nothing.
///
/// # Errors
/// If a keeper still has the session, or its files cannot be read or written.
pub fn finish(dir: &Path, state: State, sync: SyncPolicy) -> Result<(), FinishError> {
    let _session = Lock::session(dir)?;
    let mut meta = meta::load(dir)?.ok_or(FinishError::NoMeta)?;
    let (mut journal, opened) = Journal::open(dir, meta.id, sync)?;
    replay::catch_up(dir, &mut meta);
    if let Some(claude) = meta.claude_session {
        match Lock::conversation(dir, claude, PATIENCE) {
            Ok(mut lock) => lock.clear_driver(),
            // Another session has resumed it meanwhile; it is no business of this one.
            Err(LockError::Held(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if meta.state.is_live() {
        end_strays(meta.id);
        let reason = match state {
            State::Interrupted => "interrupted",
            _ => "exit",
        };
        let frames = [
            Data::Stop(Stop {
                reason: reason.to_owned(),
                last: true,
                detail: None,
            }),
            Data::Status(Status {
                state,
                elapsed_ms: 0,
            }),
        ];
        for data in &frames {
            let ts = Timestamp::now();
            let seq = journal.push(ts, data);
            meta::apply(&mut meta, seq, ts, data);
        }
        journal.flush().map_err(FinishError::Write)?;
        journal.sync().map_err(FinishError::Write)?;
    } else {
        meta.last_seq = opened.last_seq;
    }
    meta.claude_pid = None;
    meta::store(dir, &meta, true).map_err(FinishError::Write)
}

/// Kills what Claude had started and left behind. With the keeper its reaper is gone, so such a
/// process is an orphan among others; it is known by the variable that Claude was given.
fn end_strays(session: SessionId) {
    let mark = format!("CIB_SESSION={session}");
    let deadline = Instant::now() + STRAYS;
    loop {
        let strays = strays(mark.as_bytes());
        if strays.is_empty() || Instant::now() >= deadline {
            return;
        }
        for stray in strays {
            // It may have ended meanwhile.
            let _ = kill_process(stray, Signal::KILL);
        }
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: 5_000_000,
        };
        let _ = poll(&mut [], Some(&pause));
    }
}

/// The processes with this variable in their environment. Those of other users, and the
/// remains of ended ones, show none.
fn strays(mark: &[u8]) -> Vec<Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| *pid != getpid())
        .filter(|pid| {
            let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
            environ.is_ok_and(|text| text.split(|&byte| byte == 0).any(|entry| entry == mark))
        })
        .collect()
}
