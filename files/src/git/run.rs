//! Running git in a repository that may be anything.

use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cib_protocol::files::FilesFault;

use crate::fault::Refusal;
use crate::run::{self, Outcome};

/// How long git may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes that are kept of what git complains of.
const COMPLAINT: usize = 4096;

/// What of the repository's configuration serves no purpose here, and what would have git ask the
/// network or a person.
const CONFIGURATION: [&str; 12] = [
    // The tree may be of a volume that is somebody else's; what git runs is coder's right anyway.
    "safe.directory=*",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "core.pager=cat",
    "core.bigFileThreshold=16m",
    "color.ui=false",
    "diff.renameLimit=1000",
    "diff.algorithm=myers",
    "gc.auto=0",
    "protocol.allow=never",
    "submodule.recurse=false",
];

/// Git in one folder.
pub(super) struct Git {
    folder: PathBuf,
}

/// What git has said.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Whether there was more.
    pub(super) cut: bool,
    is_good: bool,
}

impl Git {
    /// Git in a folder that is held open for as long as this is used.
    pub(super) fn at(folder: &OwnedFd) -> Self {
        let fd = folder.as_raw_fd();
        Self {
            folder: format!("/proc/self/fd/{fd}").into(),
        }
    }

    /// Whether anything was committed on this branch.
    pub(super) fn has_commits(&self) -> Result<bool, Refusal> {
        self.knows("HEAD")
    }

    /// Whether there is such a commit.
    pub(super) fn knows(&self, name: &str) -> Result<bool, Refusal> {
        let name = format!("{name}^{{commit}}");
        let words = [
            "rev-parse",
            "--quiet",
            "--verify",
            "--end-of-options",
            &name,
        ];
        let output = self.run(&words, COMPLAINT)?;
        // Without a word: there is a repository, and it does not have that.
        if !output.is_good && !output.stderr.is_empty() {
            return Err(output.refusal());
        }
        Ok(output.is_good)
    }

    /// Runs git with these words, and reads so many bytes of its answer.
    pub(super) fn run(&self, words: &[&str], most: usize) -> Result<Output, Refusal> {
        self.run_on(words, None, most)
    }

    /// The same, of one path alone.
    pub(super) fn run_on(
        &self,
        words: &[&str],
        path: Option<&[OsString]>,
        most: usize,
    ) -> Result<Output, Refusal> {
        let mut command = Command::new("git");
        command.args(["--no-pager", "--literal-pathspecs"]);
        for entry in CONFIGURATION {
            command.args(["-c", entry]);
        }
        command.args(words);
        if let Some(names) = path {
            command.arg(names.join(&OsString::from("/")));
        }
        command
            .current_dir(&self.folder)
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_EXTERNAL_DIFF")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        let heard = run::start(command)?.hear(most, COMPLAINT, Instant::now() + PATIENCE)?;
        let (is_good, cut) = match heard.outcome {
            Outcome::Ended(status) => (status.success(), false),
            Outcome::Cut => (true, true),
            Outcome::Late => {
                let why = format!("git took more than {} seconds", PATIENCE.as_secs());
                return Err(Refusal::new(FilesFault::Late, why));
            }
        };
        Ok(Output {
            stdout: heard.stdout,
            stderr: heard.stderr,
            cut,
            is_good,
        })
    }
}

impl Output {
    /// The same, if git did what it was asked.
    pub(super) fn checked(self) -> Result<Self, Refusal> {
        if self.is_good {
            Ok(self)
        } else {
            Err(self.refusal())
        }
    }

    /// In git's own words, as far as they are a person's to read.
    fn refusal(&self) -> Refusal {
        let said = String::from_utf8_lossy(&self.stderr);
        let said = said
            .lines()
            .find(|line| line.starts_with("fatal: ") || line.starts_with("error: "))
            .or_else(|| said.lines().next());
        let said: String = said
            .unwrap_or("git did not say why")
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(300)
            .collect();
        Refusal::new(FilesFault::NoRepository, said)
    }
}
