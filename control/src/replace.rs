//! Files of control's own, replaced in one piece.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cib_foreign::own;

/// Replaces a file, which nobody but its owner can read. Whoever reads it finds the old one or
/// the new one, also when the power goes meanwhile.
///
/// # Errors
/// The kernel's answer; the file is then the old one.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    // One that an earlier end left behind may have any mode.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
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
