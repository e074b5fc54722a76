//! Looking at files as another user.

use std::io;
use std::path::Path;

use cib_foreign::own::openat;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, faccessat};

use crate::spawn::Ids;
use crate::steps::accounts::Account;
use crate::sys::identity;

/// Lets this thread see files as `account` does while it looks, and then be itself again.
///
/// # Errors
/// It may not become that user.
pub(super) fn look_as<T>(account: &Account, look: impl FnOnce() -> T) -> io::Result<T> {
    let ids = Ids {
        uid: account.uid,
        gid: account.gid,
        groups: account.groups.clone(),
    };
    identity::act_as(&ids, look)
}

/// Whether the file can be opened for reading by whoever looks.
pub(super) fn reads(path: &Path) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, path, flags, Mode::empty()).is_ok()
}

/// Whether whoever looks can pass through the folder, and all that are above it.
pub(super) fn passes(folder: &Path) -> bool {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, &folder.join("."), flags, Mode::empty()).is_ok()
}

/// Whether whoever looks can make and replace files in the folder.
pub(super) fn writes(folder: &Path) -> bool {
    let access = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(AT_FDCWD, folder, access, AtFlags::AT_EACCESS).is_ok()
}
