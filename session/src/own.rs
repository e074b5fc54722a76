//! Files that are the keeper's alone: whoever could write them could speak in its name.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// Opens a file that has to be the keeper's own, or makes it with exactly this mode. A link, a
/// pipe, another user's file and one that has a second name are refused.
///
/// # Errors
/// The kernel's answer, or what the file is instead.
pub(crate) fn open(path: &Path, how: &mut OpenOptions, mode: u32) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let how = how.mode(mode).custom_flags(flags.bits());
    let file = cib_foreign::own::open_as(how, path)?;
    let found = file.metadata()?;
    let refuse = |what: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    if !found.is_file() {
        return refuse("it is not a regular file".to_owned());
    }
    let me = nix::unistd::geteuid().as_raw();
    if found.uid() != me {
        let owner = found.uid();
        return refuse(format!(
            "it belongs to user {owner}, not to this one ({me})"
        ));
    }
    if found.nlink() == 0 {
        let why = "it was removed meanwhile";
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    if found.nlink() != 1 {
        let names = found.nlink();
        return refuse(format!(
            "it has {names} names; whoever has the other could change it"
        ));
    }
    // Not left to the umask, nor to who had the file before.
    if found.mode() & 0o7777 != mode {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn try_open(path: &Path) -> io::Result<File> {
        open(
            path,
            OpenOptions::new().read(true).append(true).create(true),
            0o640,
        )
    }

    #[test]
    fn a_file_is_made_and_found_again_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        try_open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let mode = try_open(&path).unwrap().metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o640);
    }

    #[test]
    fn what_is_not_a_file_of_ones_own_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        fs::write(at("target"), "precious").unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::hard_link(at("target"), at("second name")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["link", "dangling", "second name", "folder", "pipe"] {
            assert!(try_open(&at(name)).is_err(), "{name}");
        }
        assert_eq!(fs::read_to_string(at("target")).unwrap(), "precious");
        assert!(!at("nowhere").exists());
    }

    #[test]
    fn another_users_file_is_refused_by_name() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
        let error = try_open(&path).unwrap_err().to_string();
        assert!(error.contains("user 1000"), "{error}");
    }
}
