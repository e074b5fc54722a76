//! Reading the file that a `_FILE` variable names.

use std::io;
use std::path::Path;

use cib_foreign::ForeignError;
use thiserror::Error;

use super::variable::{MOST, MOST_OF_A_TASK};

/// Why such a file cannot be used. The message completes "the file FILE".
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// It could not be opened or read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// A directory, which Docker makes where the file to be mounted does not exist, or a pipe,
    /// which could keep the boot waiting for ever.
    #[error("is not a regular file")]
    NotRegular,
    /// More bytes than the reader takes.
    #[error("is larger than {} KiB", .0 / 1024)]
    TooLarge(u64),
    /// Not UTF-8.
    #[error("is not text")]
    NotText,
}

/// The text of a regular file, as it is. Links on the way to it are followed, for that is how
/// Kubernetes mounts a secret; nothing is waited for.
///
/// # Errors
///
/// A [`SecretFileError`], which never holds any of the text.
pub fn read_secret_file(path: &Path) -> Result<String, SecretFileError> {
    read(path, MOST)
}

/// The same for a file that a variable names, whose own limit ([`super::Variable::most`]) its
/// reader looks at.
///
/// # Errors
///
/// As [`read_secret_file`].
pub fn read_named_file(path: &Path) -> Result<String, SecretFileError> {
    read(path, MOST_OF_A_TASK)
}

fn read(path: &Path, most: usize) -> Result<String, SecretFileError> {
    let file = std::fs::canonicalize(path).map_err(SecretFileError::Read)?;
    cib_foreign::read_to_string(&file, most as u64).map_err(|error| match error {
        ForeignError::Open { source, .. } | ForeignError::Read { source, .. } => {
            SecretFileError::Read(source)
        }
        ForeignError::NotRegular { .. } => SecretFileError::NotRegular,
        ForeignError::TooLarge { most, .. } => SecretFileError::TooLarge(most),
        ForeignError::NotText { .. } => SecretFileError::NotText,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_or_a_directory_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(matches!(
            read_secret_file(&fifo),
            Err(SecretFileError::NotRegular)
        ));
        assert!(matches!(
            read_secret_file(dir.path()),
            Err(SecretFileError::NotRegular)
        ));
    }

    #[test]
    fn links_as_kubernetes_makes_them_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let of_a_moment = dir.path().join("..2026_11_28");
        std::fs::create_dir(&of_a_moment).unwrap();
        std::fs::write(of_a_moment.join("token"), "value").unwrap();
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        };
        link("..2026_11_28", "..data");
        link("..data/token", "token");
        assert_eq!(
            read_secret_file(&dir.path().join("token")).unwrap(),
            "value"
        );
        link("/dev/zero", "device");
        assert!(matches!(
            read_secret_file(&dir.path().join("device")),
            Err(SecretFileError::NotRegular)
        ));
    }

    #[test]
    fn a_file_beyond_the_limit_or_of_other_bytes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, vec![b'x'; 65 * 1024]).unwrap();
        assert!(matches!(
            read_secret_file(&file),
            Err(SecretFileError::TooLarge(_))
        ));
        std::fs::write(&file, b"\xff\xfe").unwrap();
        assert!(matches!(
            read_secret_file(&file),
            Err(SecretFileError::NotText)
        ));
    }
}
