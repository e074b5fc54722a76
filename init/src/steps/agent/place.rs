//! Where a mounted agent's socket is, and with whose rights it is connected to.
//!
//! A folder that was mounted may be one that coder can change, and then so is every name in
//! it: a link could lead to a socket that takes root's word, init's own for one. So the way
//! there is walked name by name. What lies in folders that coder cannot change is what the
//! operator meant, and is connected to as root, which agents of any user take. From the first
//! name on that coder could have put there no link is followed, and whoever answers sees coder.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};

use cib_foreign::stat::{self, Stat};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, readlinkat};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::Mode;

use crate::spawn::Ids;
use crate::steps::files::Kind;
use crate::sys::identity;

/// As many links as the kernel follows in one path.
const LINKS: usize = 40;

/// Why a mounted socket is not connected to.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// Coder could have made it.
    #[error("{} is a symbolic link in a folder that coder can change, and is not followed", .0.display())]
    Link(PathBuf),
    /// Whoever is there speaks to the box's own users.
    #[error("it leads to a socket of the box itself")]
    OfTheBox,
    /// Something is there.
    #[error("it is no socket")]
    NotASocket,
    /// The kernel says no.
    #[error(transparent)]
    Kernel(#[from] io::Error),
}

impl From<Errno> for PlaceError {
    fn from(error: Errno) -> Self {
        Self::Kernel(error.into())
    }
}

/// A mounted socket, by its path.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As this process opens it.
    pub(super) path: PathBuf,
    /// The box's own folder of sockets.
    pub(super) run: PathBuf,
    /// Coder, if init is somebody else.
    pub(super) coder: Option<Ids>,
}

/// What is at the end of the way.
#[derive(Debug)]
struct Found {
    socket: OwnedFd,
    /// Whether coder could have put it there.
    swayed: bool,
}

impl Place {
    /// Connects without waiting: a queue that is full is an error of the kind `WouldBlock`.
    pub(super) fn connect(&self) -> Result<UnixStream, PlaceError> {
        let found = self.find()?;
        match &self.coder {
            Some(coder) if found.swayed => identity::act_as(coder, || {
                // Anew, because what coder may not pass through is nothing of coder's.
                self.find().and_then(|found| reach(&found.socket))
            })?,
            _ => reach(&found.socket),
        }
    }

    /// Whether there is a socket that may be connected to, as well as that can be told without
    /// doing it: agents log peers that leave at once.
    pub(super) fn look(&self) -> Result<(), PlaceError> {
        self.find().map(drop)
    }

    fn find(&self) -> Result<Found, PlaceError> {
        let own = std::fs::metadata(&self.run).ok();
        let mut names = backwards(&self.path);
        let mut folders = vec![open(AT_FDCWD, OsStr::new("/"))?];
        let mut shown = PathBuf::from("/");
        let (mut swayed, mut links) = (false, 0);
        while let Some(name) = names.pop() {
            if name == ".." {
                folders.truncate(folders.len().saturating_sub(1).max(1));
                shown.pop();
                continue;
            }
            let Some(folder) = folders.last() else { break };
            let around = stat::of(folder)?;
            if own.as_ref().is_some_and(|own| same(own, &around)) {
                return Err(PlaceError::OfTheBox);
            }
            let entry = open(folder, &name)?;
            let seen = stat::of(&entry)?;
            swayed |= self
                .coder
                .as_ref()
                .is_some_and(|coder| sways(coder, &around, &seen));
            match Kind::of(seen.st_mode) {
                Kind::Directory => {
                    shown.push(&name);
                    folders.push(entry);
                }
                Kind::Link if swayed => return Err(PlaceError::Link(shown.join(name))),
                Kind::Link => {
                    links += 1;
                    if links > LINKS {
                        return Err(Errno::ELOOP.into());
                    }
                    let target = PathBuf::from(readlinkat(&entry, "")?);
                    if target.is_absolute() {
                        folders.truncate(1);
                        shown = PathBuf::from("/");
                    }
                    names.extend(backwards(&target));
                }
                Kind::Socket if names.is_empty() => {
                    let socket = entry;
                    return Ok(Found { socket, swayed });
                }
                _ => return Err(PlaceError::NotASocket),
            }
        }
        Err(PlaceError::NotASocket)
    }
}

/// The names of a path, the last one first. A path that is not absolute begins where the
/// names before it ended.
fn backwards(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

/// Opens a name without doing anything to what bears it, not even waking a device.
fn open(folder: impl std::os::fd::AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    cib_foreign::own::openat(folder, name, flags, Mode::empty())
}

fn same(a: &Metadata, b: &Stat) -> bool {
    (a.dev(), a.ino()) == (b.st_dev, b.st_ino)
}

/// Whether coder can put something else in the place of an entry. A right of a group counts as
/// coder's unless that is root's: a list of further users hides behind it.
fn sways(coder: &Ids, folder: &Stat, entry: &Stat) -> bool {
    if folder.st_uid == coder.uid {
        return true;
    }
    let in_group = folder.st_gid != 0 || coder.gid == 0 || coder.groups.contains(&0);
    let writable = folder.st_mode & 0o002 != 0 || (folder.st_mode & 0o020 != 0 && in_group);
    // In a folder like /tmp nobody takes away what is another's, nor moves it there.
    let sticky = folder.st_mode & 0o1000 != 0;
    writable && (!sticky || entry.st_uid == coder.uid)
}

/// Connects to a socket that was found, whatever bears its name by now.
fn reach(socket: &OwnedFd) -> Result<UnixStream, PlaceError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let ours = self::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    connect(ours.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
    Ok(ours.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn place(path: PathBuf, coder: Option<u32>) -> Place {
        Place {
            run: path.parent().unwrap().join("box"),
            path,
            coder: coder.map(|uid| Ids {
                uid,
                gid: uid,
                groups: Vec::new(),
            }),
        }
    }

    fn own() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn a_link_is_followed_where_only_the_operator_could_have_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        symlink("socket", dir.path().join("link")).unwrap();
        symlink(dir.path(), dir.path().join("folder")).unwrap();
        for name in ["link", "folder/link", "folder/./socket"] {
            let path = dir.path().join(name);
            assert!(place(path.clone(), Some(54_321)).look().is_ok(), "{name}");
            let coders = place(path, Some(own())).look();
            assert!(matches!(coders, Err(PlaceError::Link(_))), "{name}");
        }
        let found = place(dir.path().join("socket"), Some(own()))
            .find()
            .unwrap();
        assert!(found.swayed);
    }

    #[test]
    fn what_is_in_the_boxs_own_folder_is_refused_by_every_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("box")).unwrap();
        let _listener = UnixListener::bind(dir.path().join("box/init.sock")).unwrap();
        symlink("box", dir.path().join("by")).unwrap();
        for name in ["box/init.sock", "by/init.sock"] {
            let mut place = place(dir.path().join(name), Some(54_321));
            place.run = dir.path().join("box");
            assert!(
                matches!(place.connect(), Err(PlaceError::OfTheBox)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_loop_of_links_ends() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        let looked = place(dir.path().join("a"), None).look();
        assert!(matches!(looked, Err(PlaceError::Kernel(_))), "{looked:?}");
    }

    #[test]
    fn whoever_may_write_to_a_folder_sways_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        for (mode, swayed) in [(0o755, false), (0o757, true), (0o1777, false)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            let found = place(dir.path().join("socket"), Some(54_321))
                .find()
                .unwrap();
            assert_eq!(found.swayed, swayed, "{mode:o}");
        }
    }
}
