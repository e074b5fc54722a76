//! Files that nobody can have made but the kernel, root, or the program that reads them.
//!
//! They are opened as files are, links included, and still neither waited for nor read without
//! an end. Whoever calls this says that the agent can put nothing in the file's place: what
//! stands in `/proc` and `/sys`, in root's own folders, or in a folder of this program's alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::NixPath;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// Bytes that a file has which is read whole, at most.
const MOST: u64 = 64 << 20;

/// Opens a file or a folder for reading.
///
/// # Errors
/// The kernel's answer.
pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut how = OpenOptions::new();
    open_as(how.read(true).custom_flags(flags.bits()), path)
}

/// Opens a file as the caller wants it, and nothing else.
///
/// # Errors
/// The kernel's answer.
pub fn open_as(how: &mut OpenOptions, path: impl AsRef<Path>) -> io::Result<File> {
    how.open(path)
}

/// Opens a file below a folder, with these flags and no others. Whoever passes neither
/// `O_NOFOLLOW` nor `O_PATH` has a reason to.
///
/// # Errors
/// The kernel's answer.
pub fn openat<P: NixPath + ?Sized>(
    folder: impl AsFd,
    name: &P,
    flags: OFlag,
    mode: Mode,
) -> nix::Result<OwnedFd> {
    // As all of Rust's own files are opened: of any size, also by a 32-bit machine.
    nix::fcntl::openat(folder, name, flags | OFlag::O_LARGEFILE, mode)
}

/// Reads a whole file.
///
/// # Errors
/// The kernel's answer; [`io::ErrorKind::FileTooLarge`] if it has more than 64 MiB.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Reads a whole file that is text.
///
/// # Errors
/// As [`read`]; [`io::ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// As [`read_to_string`], for a file in which the kernel repeats what a process has said, such as
/// its name: what is not UTF-8 there becomes U+FFFD, and hides nothing of the rest.
///
/// # Errors
/// As [`read`].
pub fn read_lossy(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(match String::from_utf8(read(path)?) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_kernels_files_are_read_whole() {
        let status = read_to_string("/proc/self/status").unwrap();
        assert!(status.contains(&format!("Pid:\t{}\n", std::process::id())));
        assert!(open("/proc/self").unwrap().metadata().unwrap().is_dir());
        let absent = read("/proc/self/none").unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn nothing_is_waited_for_or_read_without_an_end() {
        let begun = Instant::now();
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&pipe).unwrap(), b"");
        let endless = read("/dev/zero").unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(dir.path().join("file"), [0xff]).unwrap();
        let garbled = read_to_string(dir.path().join("file")).unwrap_err();
        assert_eq!(garbled.kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_lossy(dir.path().join("file")).unwrap(), "\u{fffd}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
