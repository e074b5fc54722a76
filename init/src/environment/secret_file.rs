//! Reading the file that a `_FILE` variable names.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use thiserror::Error;

/// The most bytes a value may have.
const MOST: u64 = 64 * 1024;

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
    /// More bytes than any token or URL has.
    #[error("is larger than 64 KiB")]
    TooLarge,
    /// Not UTF-8.
    #[error("is not text")]
    NotText,
}

/// The text of a regular file, as it is.
///
/// # Errors
///
/// A [`SecretFileError`], which never holds any of the text.
pub fn read_secret_file(path: &Path) -> Result<String, SecretFileError> {
    // A FIFO is opened at once with O_NONBLOCK, and then refused.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(SecretFileError::Read)?;
    if !file.metadata().map_err(SecretFileError::Read)?.is_file() {
        return Err(SecretFileError::NotRegular);
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(SecretFileError::Read)?;
    if bytes.len() as u64 > MOST {
        return Err(SecretFileError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| SecretFileError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_or_a_directory_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
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
    fn a_file_beyond_the_limit_or_of_other_bytes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, vec![b'x'; 65 * 1024]).unwrap();
        assert!(matches!(
            read_secret_file(&file),
            Err(SecretFileError::TooLarge)
        ));
        std::fs::write(&file, b"\xff\xfe").unwrap();
        assert!(matches!(
            read_secret_file(&file),
            Err(SecretFileError::NotText)
        ));
    }
}
