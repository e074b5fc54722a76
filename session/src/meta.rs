//! `meta.json`: what the session is, folded from its frames and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cib_protocol::frame::Data;
use cib_protocol::session::{PermissionMode, SessionMeta, SessionSpec, State};
use cib_protocol::time::Timestamp;

/// Name of the file in the session's directory.
pub const FILE: &str = "meta.json";

/// Why `meta.json` cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be opened or read.
    #[error("cannot read {FILE}")]
    Io(#[from] io::Error),
    /// It is not what a keeper wrote.
    #[error("{FILE} is damaged")]
    Damaged(#[from] serde_json::Error),
}

/// Reads `meta.json`; `None` if there is none.
///
/// # Errors
/// If it cannot be read, or holds something else.
pub fn load(dir: &Path) -> Result<Option<SessionMeta>, LoadError> {
    match fs::read(dir.join(FILE)) {
        Ok(bytes) => Ok(Some(crate::json::from_bytes(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Replaces `meta.json`, so that a reader sees the old one or the new one and nothing between.
/// With `sync` both the file and its name are on the disk before this returns.
///
/// # Errors
/// If the new file cannot be written; the old one then stands as it was.
pub fn store(dir: &Path, meta: &SessionMeta, sync: bool) -> io::Result<()> {
    let new = dir.join("meta.json.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&new)?;
    // Not left to the umask: control reads it by its group.
    file.set_permissions(fs::Permissions::from_mode(0o640))?;
    let mut bytes = serde_json::to_vec(meta)?;
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&new, dir.join(FILE))?;
    if sync {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// What a session is at its first breath, or at its next one after it had ended: what it has
/// used, its turns and its birthday stay.
#[must_use]
pub fn begin(spec: &SessionSpec, earlier: Option<SessionMeta>, now: Timestamp) -> SessionMeta {
    let earlier = earlier.filter(|earlier| earlier.id == spec.id);
    let old = earlier.as_ref();
    SessionMeta {
        id: spec.id,
        program: spec.program,
        workdir: spec.workdir.clone(),
        driver: spec.driver,
        model: spec.model.clone().or_else(|| old?.model.clone()),
        effort: spec.effort.clone(),
        permission_mode: spec.permission_mode,
        auth_mode: spec.auth_mode,
        title: spec.title.clone().or_else(|| old?.title.clone()),
        state: State::Starting,
        reason: None,
        created_at: old.map_or(now, |old| old.created_at),
        started_at: old.and_then(|old| old.started_at),
        stopped_at: None,
        ended_in: None,
        exit_code: None,
        last_seq: old.map_or(0, |old| old.last_seq),
        claude_session: None,
        claude_version: old.and_then(|old| old.claude_version.clone()),
        claude_pid: None,
        usage: old.map(|old| old.usage).unwrap_or_default(),
        last_turn: old.and_then(|old| old.last_turn),
        resources: old.map(|old| old.resources).unwrap_or_default(),
        turns: old.map_or(0, |old| old.turns),
        limits: spec.limits.clone(),
    }
}

/// Takes up what a frame says. Returns whether anything changed that a reader of `meta.json`
/// should not have to wait for.
pub fn apply(meta: &mut SessionMeta, seq: u64, ts: Timestamp, data: &Data) -> bool {
    meta.last_seq = seq;
    match data {
        Data::Status(status) => {
            let before = std::mem::replace(&mut meta.state, status.state);
            if status.state.is_live() {
                if status.state != State::Starting && meta.started_at.is_none() {
                    meta.started_at = Some(ts);
                }
            } else {
                meta.stopped_at = Some(ts);
                meta.ended_in.get_or_insert(before);
                meta.claude_pid = None;
            }
            true
        }
        Data::Stop(stop) => {
            if stop.last {
                meta.reason = Some(stop.reason.clone());
            } else if stop.is_users_turn() {
                meta.turns += 1;
            }
            true
        }
        Data::Usage(usage) => {
            meta.usage.add(usage);
            meta.last_turn = Some(*usage);
            true
        }
        Data::Meta(news) => {
            if let Some(model) = &news.model {
                meta.model = Some(model.clone());
            }
            if let Some(driver) = news.driver {
                meta.driver = driver;
            }
            if let Some(workdir) = &news.workdir {
                meta.workdir = workdir.into();
            }
            if let Some(version) = &news.claude_version {
                meta.claude_version = Some(version.clone());
            }
            if let Some(id) = news
                .claude_session
                .as_deref()
                .and_then(|id| id.parse().ok())
            {
                meta.claude_session = Some(id);
            }
            if let Some(mode) = news
                .permission_mode
                .as_deref()
                .and_then(PermissionMode::named)
            {
                meta.permission_mode = mode;
            }
            news.note.is_none()
        }
        _ => false,
    }
}
