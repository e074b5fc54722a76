//! Following Claude's own files beside a terminal: its transcript and its state file.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::stream::lines::{Limits, Line, Splitter};

/// Bytes read of a transcript at once.
const READ: usize = 16 * 1024;

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
#[derive(Debug)]
pub struct Watch {
    /// Wakes when one of the files may have changed.
    wake: OwnedFd,
    state: PathBuf,
    /// What the state file said last.
    said: String,
    transcript: Option<Tail>,
    limits: Limits,
}

/// A transcript and how far it was read.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// Where to begin once it is there.
    from: u64,
    lines: Splitter,
}

impl Watch {
    /// Watches the state files of a configuration directory. `transcript` is one that is there
    /// already; what it holds is history.
    ///
    /// # Errors
    /// If the kernel gives no inotify instance.
    pub fn new(config: &Path, transcript: Option<&Path>, limits: Limits) -> io::Result<Self> {
        let wake = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let sessions = config.join("sessions");
        fs::create_dir_all(&sessions)?;
        let flags = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MODIFY;
        inotify::add_watch(&wake, &sessions, flags)?;
        let mut watch = Self {
            wake,
            state: sessions.join("unknown"),
            said: String::new(),
            transcript: None,
            limits,
        };
        if let Some(path) = transcript {
            let from = fs::metadata(path).map_or(0, |meta| meta.len());
            watch.tail(path.to_owned(), from);
        }
        Ok(watch)
    }

    /// The descriptor that becomes readable when [`Watch::look`] may find something.
    #[must_use]
    pub fn wake(&self) -> &OwnedFd {
        &self.wake
    }

    /// Says which process it is.
    pub fn process(&mut self, pid: i32) {
        self.state.set_file_name(format!("{pid}.json"));
    }

    /// Follows another transcript from now on. One that is followed already goes on.
    pub fn follow(&mut self, path: PathBuf) {
        if self
            .transcript
            .as_ref()
            .is_none_or(|tail| tail.path != path)
        {
            self.tail(path, 0);
        }
    }

    fn tail(&mut self, path: PathBuf, from: u64) {
        self.transcript = Some(Tail {
            path,
            file: None,
            from,
            lines: Splitter::new(self.limits),
        });
    }

    /// Looks at both files: gives the state file's text if it changed, and calls `line` for
    /// each new line of the transcript.
    pub fn look(&mut self, line: impl FnMut(Line<'_>)) -> Option<String> {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 1024];
        let mut reader = inotify::Reader::new(&self.wake, &mut events);
        // What exactly happened does not matter: both files are cheap to look at.
        while reader.next().is_ok() {}
        if let Some(tail) = &mut self.transcript {
            tail.read(&self.wake, line);
        }
        let text = fs::read_to_string(&self.state).ok()?;
        // While it is being rewritten it may be empty.
        if text.is_empty() || text == self.said {
            return None;
        }
        self.said.clone_from(&text);
        Some(text)
    }
}

impl Tail {
    fn read(&mut self, wake: &OwnedFd, mut line: impl FnMut(Line<'_>)) {
        if self.file.is_none() {
            let Ok(mut file) = File::open(&self.path) else {
                return;
            };
            if file.seek(SeekFrom::Start(self.from)).is_err() {
                return;
            }
            // Without a watch it is still read whenever something else wakes the keeper.
            let _ = inotify::add_watch(wake, &self.path, WatchFlags::MODIFY);
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else {
            return;
        };
        let mut buffer = vec![0; READ];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => self.lines.feed(&buffer[..count], &mut line),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}
