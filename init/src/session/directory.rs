//! A session's directories: who owns them, and in which mode (`docs/design/interfaces.md`).

use std::io;
use std::path::{Path, PathBuf};

use cib_protocol::session::SessionId;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid, chmodat, chownat, mkdirat, statat};
use rustix::process::{getegid, geteuid};

/// Why a directory is not as it has to be.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {}", path.display())]
pub struct DirectoryError {
    /// The directory.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// Where sessions are, and whose they are.
#[derive(Clone, Debug)]
pub struct Directories {
    /// What outlives the container, `/var/lib/claude-in-box`.
    pub data: PathBuf,
    /// What dies with it, `/run/cib`.
    pub runtime: PathBuf,
    /// User id of `coder`, who writes journals.
    pub coder: u32,
    /// Group id of `cib`, who reads them.
    pub control: u32,
    /// Whether anything can be given to another user than init's own.
    pub switch: bool,
}

impl Directories {
    /// A session's directory.
    #[must_use]
    pub fn session(&self, id: SessionId) -> PathBuf {
        self.data.join("sessions").join(id.to_string())
    }

    /// Where its socket is.
    #[must_use]
    pub fn runtime(&self, id: SessionId) -> PathBuf {
        self.runtime.join("sessions").join(id.to_string())
    }

    /// Where the keeper of logins has its socket.
    #[must_use]
    pub fn login(&self) -> PathBuf {
        self.runtime.join("login")
    }

    /// Makes that directory, or mends it.
    ///
    /// # Errors
    /// If it cannot be made or given away.
    pub fn make_login(&self) -> Result<(), DirectoryError> {
        let owner = self.switch.then_some((self.coder, self.control));
        directory(&self.login(), 0o2750, owner)
    }

    /// The ids of all sessions that have a directory.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        std::fs::read_dir(self.data.join("sessions"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Makes the directories of one session, or mends those that are there.
    ///
    /// # Errors
    /// The directory that cannot be made or given away.
    pub fn make(&self, id: SessionId) -> Result<(), DirectoryError> {
        let owner = self.switch.then_some((self.coder, self.control));
        directory(&self.session(id), 0o2750, owner)?;
        directory(&self.runtime(id), 0o2750, owner)
    }
}

fn directory(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<(), DirectoryError> {
    make(path, mode, owner).map_err(|e| DirectoryError {
        path: path.to_owned(),
        source: e.into(),
    })
}

fn make(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> rustix::io::Result<()> {
    match mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    // Only a member of a directory's group may set its set-group-id bit, unless it has FSETID.
    // Giving the directory away leaves the bit alone, so the mode comes before the owner.
    let give = |uid, gid| {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
    };
    let current = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?.st_mode & 0o7777;
    if current != mode {
        if owner.is_some() {
            give(geteuid().as_raw(), getegid().as_raw())?;
        }
        chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    owner.map_or(Ok(()), |(uid, gid)| give(uid, gid))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn mine(root: &Path) -> Directories {
        let me = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        Directories {
            data: root.join("data"),
            runtime: root.join("run"),
            coder: me,
            control: group,
            switch: true,
        }
    }

    #[test]
    fn a_sessions_directory_is_for_its_owner_and_control_alone() {
        let root = tempfile::tempdir().unwrap();
        let directories = mine(root.path());
        std::fs::create_dir_all(directories.data.join("sessions")).unwrap();
        std::fs::create_dir_all(directories.runtime.join("sessions")).unwrap();
        let id = SessionId::from_u128(7);
        for _ in 0..2 {
            directories.make(id).unwrap();
            let mode = |path: PathBuf| std::fs::metadata(path).unwrap().mode() & 0o7777;
            assert_eq!(mode(directories.session(id)), 0o2750);
            assert_eq!(mode(directories.runtime(id)), 0o2750);
        }
        assert_eq!(directories.sessions(), [id]);
    }
}
