//! Looking at files as another user.

use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, Gid, Mode, OFlags, Uid, accessat};
use rustix::process::{DumpableBehavior, dumpable_behavior, getgroups, set_dumpable_behavior};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::steps::accounts::Account;

/// What one thread of root was, to become it again.
struct Before {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    dumpable: Option<DumpableBehavior>,
}

/// Lets this thread see files as `account` does while it looks, and then be itself again. The
/// kernel is asked, so that lists of access, user namespaces and file systems of other machines
/// count as they do for the user.
///
/// # Errors
/// It may not become that user.
pub(super) fn look_as<T>(account: &Account, look: impl FnOnce() -> T) -> io::Result<T> {
    let before = Before {
        uid: rustix::process::geteuid(),
        gid: rustix::process::getegid(),
        groups: getgroups()?,
        dumpable: dumpable_behavior().ok(),
    };
    let groups: Vec<Gid> = account.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    // From here on there is something to take back, and the right to.
    let before = Return(before);
    set_thread_res_gid(None, Gid::from_raw(account.gid), None)?;
    set_thread_res_uid(None, Uid::from_raw(account.uid), None)?;
    let seen = look();
    drop(before);
    Ok(seen)
}

/// Makes the thread what it was, whatever happens while it looks.
struct Return(Before);

impl Drop for Return {
    fn drop(&mut self) {
        let was = &self.0;
        let back = set_thread_res_uid(None, was.uid, None)
            .and_then(|()| set_thread_res_gid(None, was.gid, None))
            .and_then(|()| set_thread_groups(&was.groups));
        // With the rights of half a user nothing can go on.
        if back.is_err() {
            std::process::abort();
        }
        // The kernel takes it away from whoever changes users.
        if let Some(dumpable) = was.dumpable {
            let _ = set_dumpable_behavior(dumpable);
        }
    }
}

/// Whether the file can be opened for reading by whoever looks.
pub(super) fn reads(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    cib_foreign::own::openat(CWD, path, flags, Mode::empty()).is_ok()
}

/// Whether whoever looks can pass through the folder, and all that are above it.
pub(super) fn passes(folder: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    cib_foreign::own::openat(CWD, folder.join("."), flags, Mode::empty()).is_ok()
}

/// Whether whoever looks can make and replace files in the folder.
pub(super) fn writes(folder: &Path) -> bool {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, folder, access, AtFlags::EACCESS).is_ok()
}
