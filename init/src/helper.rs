//! The work that PID 1 has done by another process, because it can be waited for, given up and
//! killed: work on files that somebody else may have made, and looks at folders with a user's own
//! rights.
//!
//! These are words behind `cib-init box`, for the box and for nobody else.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exit;
use crate::steps::takeover::{self, Terms};

/// Time for all sessions together.
const TAKE_OVER: Duration = Duration::from_secs(45);

/// Does what the words ask for; `None` if they are none of these.
#[must_use]
pub fn main(words: &[String]) -> Option<u8> {
    let (verb, rest) = words.split_first()?;
    match verb.as_str() {
        "take-over" => Some(take_over(rest)),
        "probe" => Some(probe(rest)),
        "job" => Some(crate::job::main()),
        _ => None,
    }
}

/// `take-over DATA KEEPER-UID KEEPER-GID CONTROL-GID`: prints what became of it.
fn take_over(words: &[String]) -> u8 {
    let [data, uid, gid, control] = words else {
        return exit::USAGE;
    };
    let (Ok(uid), Ok(gid), Ok(control)) = (uid.parse(), gid.parse(), control.parse()) else {
        return exit::USAGE;
    };
    let terms = Terms {
        keeper: (uid, gid),
        control,
        within: TAKE_OVER,
    };
    let (text, code) = match takeover::take_over(Path::new(data), &terms) {
        Ok(report) => {
            let takeover::Report {
                taken,
                aside,
                failed,
                left,
            } = report;
            (format!("{taken} {aside} {failed} {left}\n"), exit::OK)
        }
        Err(error) => (format!("{error}: {}\n", error.source), exit::INTERNAL),
    };
    print(&text, code)
}

/// `probe PATH…`: a line for each, `ok` or why it cannot be written to. Succeeds if all can.
fn probe(words: &[String]) -> u8 {
    let mut text = String::new();
    let mut code = exit::OK;
    for path in words {
        match writes(Path::new(path)) {
            Ok(()) => text.push_str("ok\n"),
            Err(error) => {
                code = exit::INTERNAL;
                text.push_str(&crate::steps::files::reason(&error));
                text.push('\n');
            }
        }
    }
    print(&text, code)
}

fn print(text: &str, code: u8) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => exit::INTERNAL,
    }
}

/// Tries it: mode bits do not tell of read-only mounts, access lists or remote file systems.
fn writes(path: &Path) -> io::Result<()> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return writes_into(path);
    }
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return Err(io::Error::other("it is neither a file nor a folder"));
    }
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_NONBLOCK);
    cib_foreign::own::open_as(&mut options, path).map(drop)
}

/// Makes a file that has no name where the file system can, and one that goes at once elsewhere.
fn writes_into(folder: &Path) -> io::Result<()> {
    fs::read_dir(folder)?;
    let mut nameless = OpenOptions::new();
    nameless.write(true).mode(0o600);
    nameless.custom_flags(libc::O_TMPFILE);
    match cib_foreign::own::open_as(&mut nameless, folder) {
        Ok(_) => return Ok(()),
        Err(error) if unsupported(&error) => {}
        Err(error) => return Err(error),
    }
    let path: PathBuf = folder.join(format!(".cib-probe-{}", std::process::id()));
    let mut named = OpenOptions::new();
    named.write(true).create_new(true).mode(0o600);
    cib_foreign::own::open_as(&mut named, &path)?;
    let name = CString::new(path.as_os_str().as_bytes())?;
    Ok(nix::unistd::unlink(name.as_c_str())?)
}

fn unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL | libc::ENOENT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_file_that_can_be_written_to_are_left_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "kept").unwrap();
        writes(dir.path()).unwrap();
        writes(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_pipe_is_not_waited_for_and_what_is_missing_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        writes(&pipe).unwrap_err();
        let missing = writes(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
