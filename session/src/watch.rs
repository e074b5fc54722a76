//! Following Claude's own files beside a terminal: its transcript and its state file.
//!
//! They are for the session's user alone, so this program does it as that user, and tells the
//! keeper through a pipe what there is to read. It is told through another which files are
//! meant, a line each: `process PID`, `follow FROM PATH`, `look N`. What it says are records: a
//! line `transcript LEN` or `state LEN` with so many bytes behind it, or `looked N`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Bytes read of a transcript at once.
const READ: usize = 16 * 1024;

/// Bytes of the longest state file, and of the longest line that is told.
pub const MAX_STATE: usize = 64 * 1024;

/// Where the CLI keeps its files: `CLAUDE_CONFIG_DIR`, or `.claude` in the home.
#[must_use]
pub fn config_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("CLAUDE_CONFIG_DIR")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".claude")))
}

/// The transcript of a conversation, whichever directory it was held in.
#[must_use]
pub fn transcript_of(config: &Path, conversation: &str) -> Option<PathBuf> {
    let name = format!("{conversation}.jsonl");
    let projects = fs::read_dir(config.join("projects")).ok()?;
    projects
        .flatten()
        .map(|project| project.path().join(&name))
        .find(|path| path.is_file())
}

/// The files of one process of the CLI.
struct Watch {
    /// Wakes when one of the files may have changed.
    wake: Inotify,
    state: PathBuf,
    /// What the state file said last.
    said: Vec<u8>,
    transcript: Option<Transcript>,
}

/// A transcript and how far it was read.
struct Transcript {
    path: PathBuf,
    file: Option<File>,
    /// Where to begin once it is there.
    from: u64,
}

/// Follows files for a keeper until that has nothing more to say.
///
/// # Errors
/// If there is nothing to watch, or nobody to tell.
pub fn run() -> io::Result<()> {
    let config = config_dir().ok_or_else(|| io::Error::other("HOME is not set"))?;
    let mut watch = Watch::new(&config)?;
    let (input, mut output) = (io::stdin(), io::stdout());
    let mut told = Vec::new();
    let mut buffer = vec![0; 4096];
    loop {
        let mut fds = [
            PollFd::new(input.as_fd(), PollFlags::POLLIN),
            PollFd::new(watch.wake.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [is_told, is_woken] = fds.map(|fd| fd.any() == Some(true));
        if is_told {
            // Not by way of a buffer, of which poll would know nothing.
            let count = nix::unistd::read(&input, &mut buffer)?;
            if count == 0 || told.len() > MAX_STATE {
                return Ok(());
            }
            told.extend_from_slice(&buffer[..count]);
            let whole = told.iter().rposition(|&byte| byte == b'\n');
            let rest = told.split_off(whole.map_or(0, |end| end + 1));
            for line in told.split(|&byte| byte == b'\n') {
                watch.take(line, &mut output)?;
            }
            told = rest;
        }
        if is_woken {
            watch.look(&mut output)?;
        }
        output.flush()?;
    }
}

impl Watch {
    fn new(config: &Path) -> io::Result<Self> {
        let wake = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let sessions = config.join("sessions");
        fs::create_dir_all(&sessions)?;
        let flags =
            AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY;
        wake.add_watch(&sessions, flags)?;
        Ok(Self {
            wake,
            state: sessions.join("unknown"),
            said: Vec::new(),
            transcript: None,
        })
    }

    /// Takes what the keeper says.
    fn take(&mut self, line: &[u8], output: &mut impl Write) -> io::Result<()> {
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let kind = words.next().unwrap_or_default();
        let word = words.next().unwrap_or_default();
        let number: Option<u64> = std::str::from_utf8(word).ok().and_then(|w| w.parse().ok());
        match (kind, number, words.next()) {
            (b"process", Some(pid), _) => self.state.set_file_name(format!("{pid}.json")),
            (b"follow", Some(from), Some(path)) => {
                self.transcript = Some(Transcript {
                    path: OsStr::from_bytes(path).into(),
                    file: None,
                    from,
                });
                self.look(output)?;
            }
            (b"look", Some(number), _) => {
                self.look(output)?;
                writeln!(output, "looked {number}")?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Looks at both files and tells what is new.
    fn look(&mut self, output: &mut impl Write) -> io::Result<()> {
        // What exactly happened does not matter: both files are cheap to look at.
        while self.wake.read_events().is_ok() {}
        if let Some(transcript) = &mut self.transcript {
            transcript.read(&self.wake, output)?;
        }
        let Ok(text) = cib_foreign::read(&self.state, MAX_STATE as u64) else {
            return Ok(());
        };
        // While it is being rewritten it may be empty.
        if text.is_empty() || text == self.said {
            return Ok(());
        }
        writeln!(output, "state {}", text.len())?;
        output.write_all(&text)?;
        self.said = text;
        Ok(())
    }
}

impl Transcript {
    fn read(&mut self, wake: &Inotify, output: &mut impl Write) -> io::Result<()> {
        if self.file.is_none() {
            let Ok(mut file) = cib_foreign::open(&self.path) else {
                return Ok(());
            };
            if file.seek(SeekFrom::Start(self.from)).is_err() {
                return Ok(());
            }
            // Without a watch it is still read whenever something else wakes this process.
            let _ = wake.add_watch(&self.path, AddWatchFlags::IN_MODIFY);
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut buffer = vec![0; READ];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    writeln!(output, "transcript {count}")?;
                    output.write_all(&buffer[..count])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(watch: &mut Watch, line: &str) -> String {
        let mut output = Vec::new();
        watch.take(line.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn what_is_new_is_told_once_and_from_where_it_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let transcript = dir.path().join("t.jsonl");
        let mut watch = Watch::new(dir.path()).unwrap();
        let follow = format!("follow 2 {}", transcript.display());
        assert_eq!(said(&mut watch, &follow), "", "it is not there yet");
        fs::write(&transcript, "a\nbc\n").unwrap();
        assert_eq!(said(&mut watch, "look 1"), "transcript 3\nbc\nlooked 1\n");
        assert_eq!(said(&mut watch, "look 2"), "looked 2\n");
        said(&mut watch, "process 7");
        fs::write(dir.path().join("sessions/7.json"), "{}").unwrap();
        assert_eq!(said(&mut watch, "look 3"), "state 2\n{}looked 3\n");
        assert_eq!(said(&mut watch, "what"), "");
    }

    #[test]
    fn a_pipe_in_a_files_place_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(dir.path()).unwrap();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        for name in ["t.jsonl", "sessions/7.json"] {
            nix::unistd::mkfifo(&dir.path().join(name), mode).unwrap();
        }
        said(
            &mut watch,
            &format!("follow 0 {}/t.jsonl", dir.path().display()),
        );
        said(&mut watch, "process 7");
        assert_eq!(said(&mut watch, "look 1"), "looked 1\n");
    }
}
