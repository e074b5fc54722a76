//! A session's directories: who owns them, and in which mode (`docs/design/interfaces.md`).

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cib_protocol::session::SessionId;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown, getegid, geteuid, mkdir};

/// Why a directory is not as it has to be.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct DirectoryError {
    /// What was attempted.
    pub action: &'static str,
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
    /// User id of `coder`, whose login is kept.
    pub coder: u32,
    /// User id of `cib-keeper`, who writes journals.
    pub keeper: u32,
    /// Group id of `cib`, who reads them.
    pub control: u32,
    /// Whether anything can be given to another user than init's own.
    pub switch: bool,
}

impl Directories {
    /// Where all sessions are.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.data.join("sessions")
    }

    /// A session's directory.
    #[must_use]
    pub fn session(&self, id: SessionId) -> PathBuf {
        self.sessions().join(id.to_string())
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

    /// Whether any session has a directory. Nothing of any is looked at.
    #[must_use]
    pub fn any(&self) -> bool {
        let entries = std::fs::read_dir(self.sessions());
        entries.into_iter().flatten().flatten().any(|entry| {
            let name = entry.file_name();
            name.to_str()
                .is_some_and(|name| name.parse::<SessionId>().is_ok())
        })
    }

    /// Whether a session has a directory. It is not looked into.
    #[must_use]
    pub fn has_record(&self, id: SessionId) -> bool {
        let found = self.session(id).symlink_metadata();
        found.is_ok_and(|found| found.is_dir())
    }

    /// Removes a session's directory, which has to be empty by now. That it is gone is fine.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, id: SessionId) -> Result<(), DirectoryError> {
        remove(&self.session(id))
    }

    /// Removes the directory of its sockets likewise.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_runtime(&self, id: SessionId) -> Result<(), DirectoryError> {
        remove(&self.runtime(id))
    }

    /// Makes the directories of one session, or mends those that are there. The one of its
    /// sockets may be entered by everybody, because what Claude runs for the keeper's hooks
    /// speaks to one of them; the keeper asks who it is that speaks.
    ///
    /// # Errors
    /// The directory that cannot be made or given away, or that is somebody else's.
    pub fn make(&self, id: SessionId) -> Result<(), DirectoryError> {
        let owner = self.switch.then_some((self.keeper, self.control));
        directory(&self.session(id), 0o2750, owner)?;
        directory(&self.runtime(id), 0o2751, owner)
    }
}

fn directory(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<(), DirectoryError> {
    make(path, mode, owner).map_err(|source| DirectoryError {
        action: "make",
        path: path.to_owned(),
        source,
    })
}

/// Removes an empty directory, not through a link.
pub(super) fn remove(path: &Path) -> Result<(), DirectoryError> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DirectoryError {
            action: "remove",
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn make(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    match mkdir(path, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let dir: OwnedFd = cib_foreign::own::openat(AT_FDCWD, path, flags, Mode::empty())?;
    let stat = cib_foreign::stat::of(&dir)?;
    let own = geteuid().as_raw();
    // What somebody else made may be full of that one's traps. The boot takes it over.
    if let Some((uid, _)) = owner
        && ![own, uid].contains(&stat.st_uid)
    {
        let owner = stat.st_uid;
        let why = format!("it belongs to uid {owner} and was not taken over at the start");
        return Err(io::Error::other(why));
    }
    // Only a member of a directory's group may set its set-group-id bit, unless it has FSETID.
    // Giving the directory away leaves the bit alone, so the mode comes before the owner.
    let give = |uid, gid| fchown(&dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    if stat.st_mode & 0o7777 != mode {
        if owner.is_some() {
            give(own, getegid().as_raw())?;
        }
        fchmod(&dir, Mode::from_bits_truncate(mode))?;
    }
    Ok(owner.map_or(Ok(()), |(uid, gid)| give(uid, gid))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn mine(root: &Path) -> Directories {
        let me = nix::unistd::geteuid().as_raw();
        let group = nix::unistd::getegid().as_raw();
        let directories = Directories {
            data: root.join("data"),
            runtime: root.join("run"),
            coder: me,
            keeper: me,
            control: group,
            switch: true,
        };
        std::fs::create_dir_all(directories.sessions()).unwrap();
        std::fs::create_dir_all(directories.runtime.join("sessions")).unwrap();
        directories
    }

    #[test]
    fn a_sessions_directory_is_for_its_owner_and_control_alone() {
        let root = tempfile::tempdir().unwrap();
        let directories = mine(root.path());
        assert!(!directories.any());
        let id = SessionId::from_u128(7);
        for _ in 0..2 {
            directories.make(id).unwrap();
            let mode = |path: PathBuf| std::fs::metadata(path).unwrap().mode() & 0o7777;
            assert_eq!(mode(directories.session(id)), 0o2750);
            assert_eq!(mode(directories.runtime(id)), 0o2751);
        }
        assert!(directories.any());
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let directories = mine(root.path());
        let id = SessionId::from_u128(8);
        let elsewhere = root.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        let before = std::fs::metadata(&elsewhere).unwrap().mode();
        std::os::unix::fs::symlink(&elsewhere, directories.session(id)).unwrap();
        directories.make(id).unwrap_err();
        assert_eq!(std::fs::metadata(&elsewhere).unwrap().mode(), before);
    }
}
