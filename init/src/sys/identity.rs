//! Becomes another user for a moment, in one thread. `nix` changes all threads of a process at
//! once, as the C library does.

use std::io;

use nix::sys::prctl::{get_dumpable, set_dumpable};
use nix::unistd::{getegid, geteuid, getgroups};

use crate::spawn::Ids;

#[cfg(not(target_arch = "arm"))]
use libc::{SYS_setgroups as SETGROUPS, SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID};
#[cfg(target_arch = "arm")]
use libc::{
    SYS_setgroups32 as SETGROUPS, SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID,
};

/// Leaves an id as it is.
const SAME: u32 = u32::MAX;

/// Does something with a user's rights and under its name, and is itself again afterwards. Only
/// the thread that calls changes. The real and the saved user stay, so that the other one can
/// neither signal nor trace this process meanwhile. The kernel is asked about files as that user
/// would ask it, so that lists of access, user namespaces and remote file systems count.
///
/// # Errors
/// This process may not become that user.
pub fn act_as<T>(user: &Ids, act: impl FnOnce() -> T) -> io::Result<T> {
    let was = Was {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        groups: getgroups()?.into_iter().map(|gid| gid.as_raw()).collect(),
        dumpable: get_dumpable().unwrap_or(false),
    };
    set_groups(&user.groups)?;
    // From here on there is something to take back, and the right to.
    let _back = Back(was);
    set_gid(user.gid)?;
    set_uid(user.uid)?;
    Ok(act())
}

/// Who the thread was.
struct Was {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    dumpable: bool,
}

struct Back(Was);

impl Drop for Back {
    fn drop(&mut self) {
        let was = &self.0;
        // The user comes first, because the right to change the others comes back with it.
        let back = set_uid(was.uid)
            .and_then(|()| set_gid(was.gid))
            .and_then(|()| set_groups(&was.groups));
        // With the rights of half a user nothing can go on.
        if back.is_err() {
            std::process::abort();
        }
        // The kernel takes it away from whoever changes users.
        if was.dumpable {
            let _ = set_dumpable(true);
        }
    }
}

fn set_uid(uid: u32) -> io::Result<()> {
    // SAFETY: takes integers.
    check(unsafe { libc::syscall(SETRESUID, SAME, uid, SAME) })
}

fn set_gid(gid: u32) -> io::Result<()> {
    // SAFETY: takes integers.
    check(unsafe { libc::syscall(SETRESGID, SAME, gid, SAME) })
}

fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list is as long as said.
    check(unsafe { libc::syscall(SETGROUPS, groups.len(), groups.as_ptr()) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
