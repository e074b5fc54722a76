//! The folders of the box, as docs/design/interfaces.md lists them.

use std::path::PathBuf;

use super::super::files::{FileError, Owner, make_dir, phrase};
use super::{Outcome, Paths, Users};

/// A folder, its owner and its mode.
struct Folder {
    path: PathBuf,
    /// `None` leaves the owner of a folder that is there.
    owner: Option<Owner>,
    mode: u32,
}

/// Makes what is missing and corrects what differs. Without the right to switch users
/// everything is the box's own, and folders that exist are taken as they are.
pub(super) fn prepare(
    paths: &Paths,
    users: &Users,
    outcome: &mut Outcome,
) -> Result<(), FileError> {
    for Folder { path, owner, mode } in folders(paths, users) {
        let at = paths.at(&path);
        if !users.switch && at.is_dir() {
            continue;
        }
        if let Some(parent) = at.parent().filter(|parent| !parent.exists()) {
            std::fs::create_dir_all(parent).map_err(super::failed("make", parent))?;
        }
        let existed = at.exists();
        let owner = owner.filter(|_| users.switch);
        let made = match make_dir(&at, owner, mode) {
            // A folder of the machine outside whose file system gives nothing away.
            Err(error) if existed && path == paths.data => {
                outcome.warn(phrase(&error));
                continue;
            }
            made => made?,
        };
        if made && existed {
            let owner = owner.map_or(String::new(), |o| format!("owner {}:{}, ", o.uid, o.gid));
            outcome.changed(&path, format!("{owner}mode {mode:04o}"));
        }
    }
    Ok(())
}

fn folders(paths: &Paths, users: &Users) -> Vec<Folder> {
    let (root, cib) = (0, users.control.gid);
    let folder = |path: PathBuf, uid, gid, mode| Folder {
        path,
        owner: Some(Owner { uid, gid }),
        mode,
    };
    let (run, data) = (&paths.run, &paths.data);
    vec![
        folder(run.clone(), root, root, 0o755),
        folder(run.join("control"), root, cib, 0o750),
        folder(run.join("files"), root, cib, 0o750),
        folder(run.join("sessions"), root, cib, 0o755),
        folder(run.join("git"), root, root, 0o755),
        folder(run.join("ssh"), root, root, 0o755),
        // Whoever owns this folder can put another in the place of each that is in it.
        folder(data.clone(), root, root, 0o755),
        folder(data.join("sessions"), root, cib, 0o755),
        folder(data.join("control"), users.control.uid, cib, 0o700),
        folder(paths.setup_markers(), root, root, 0o700),
    ]
}
