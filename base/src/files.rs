//! A program's own files: each is replaced as a whole, and may be gone already.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cib_foreign::own;

/// Replaces a file, which only its owner can read. A reader finds the old file or the new file,
/// also after a loss of power. Nobody else may write to the folder, and one process at a time
/// replaces the file.
///
/// # Errors
/// The kernel's answer; the file is then the old one.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    // An earlier process may have left one behind, with any mode.
    remove(new)?;
    let mut how = OpenOptions::new();
    how.write(true).create_new(true).mode(0o600);
    let mut file = own::open_as(&mut how, new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    match path.parent() {
        Some(dir) => own::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file, if there is one.
///
/// # Errors
/// The kernel's answer; the file may still be there.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        fs::write(dir.path().join("tokens.new"), "left behind").unwrap();
        for text in ["first", "second"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_is_not_there_is_removed_and_what_is_no_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        fs::write(&path, "left behind").unwrap();
        for _ in 0..2 {
            remove(&path).unwrap();
            assert!(!path.exists());
        }
        remove(dir.path()).unwrap_err();
        assert!(dir.path().exists());
    }

    #[test]
    fn what_cannot_be_replaced_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        fs::create_dir_all(path.join("full")).unwrap();
        replace(&path, b"text").unwrap_err();
        assert!(path.join("full").is_dir());
    }
}
