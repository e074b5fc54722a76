//! Git in the tree of a task, which may speak to where the repository came from.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cib_protocol::files::FilesFault;
use cib_protocol::task::plain;
use cib_protocol::trees::Through;

use crate::fault::Refusal;
use crate::run::{self, Outcome};

/// How long git may take for what it does by itself.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// Bytes that are kept of what git says.
const MOST: usize = 256 * 1024;

/// Bytes that are kept of what git complains of.
const COMPLAINT: usize = 8 * 1024;

/// Git with the memory that this program does without.
const SHELL: &str = "ulimit -S -v unlimited 2>/dev/null; exec git \"$@\"";

/// What is the same wherever git is run for a task. Hooks are for whoever works in the tree.
const CONFIGURATION: [&str; 6] = [
    "safe.directory=*",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "gc.auto=0",
    "submodule.recurse=false",
];

/// What git may speak to where somebody said that a repository is.
const PROTOCOLS: &str = "cib:file:http:https:ssh";

/// Git in one folder.
pub(super) struct Git {
    folder: OwnedFd,
    through: Option<Box<Through>>,
    protocols: &'static str,
}

/// What git has said.
pub(super) struct Output {
    pub(super) stdout: Vec<u8>,
    stderr: Vec<u8>,
    pub(super) is_good: bool,
}

impl Git {
    /// Git in this folder.
    pub(super) fn at(folder: OwnedFd) -> Self {
        Self {
            folder,
            through: None,
            protocols: PROTOCOLS,
        }
    }

    /// The same, which reaches a repository by way of control.
    pub(super) fn through(self, through: Option<&Through>) -> Self {
        Self {
            through: through.cloned().map(Box::new),
            ..self
        }
    }

    /// The same, which speaks these protocols and no others.
    pub(super) fn speaking(self, protocols: &'static str) -> Self {
        Self { protocols, ..self }
    }

    /// Runs git with these words.
    pub(super) fn run(&self, words: &[&str], within: Duration) -> Result<Output, Refusal> {
        self.run_at(words, None, within)
    }

    /// The same; what it commits is of this date and nobody's but the box's.
    fn run_at(
        &self,
        words: &[&str],
        date: Option<i64>,
        within: Duration,
    ) -> Result<Output, Refusal> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SHELL, "git", "--no-pager"]);
        for entry in CONFIGURATION {
            command.args(["-c", entry]);
        }
        command
            .args(words)
            .current_dir(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .env("GIT_ALLOW_PROTOCOL", self.protocols)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS", "/bin/false")
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        if let Some(through) = &self.through {
            // Where the helper is by itself, it comes first anyway.
            let path = std::env::var("PATH").unwrap_or_default();
            command
                .env("PATH", format!("{}:{path}", through.programs))
                .env("CIB_GIT_SOCKET", &through.socket)
                .env("CIB_GIT_TICKET", &through.ticket);
        }
        if let Some(date) = date {
            let date = format!("@{date} +0000");
            command
                .env("GIT_AUTHOR_DATE", &date)
                .env("GIT_COMMITTER_DATE", &date);
        }
        let heard = run::start(command)?.hear(MOST, COMPLAINT, Instant::now() + within)?;
        let is_good = match heard.outcome {
            Outcome::Ended(status) => status.success(),
            Outcome::Cut => true,
            Outcome::Late => {
                let why = format!("git took more than {} seconds", within.as_secs());
                return Err(Refusal::new(FilesFault::Late, why));
            }
        };
        Ok(Output {
            stdout: heard.stdout,
            stderr: heard.stderr,
            is_good,
        })
    }

    /// Commits, without the hooks and the signature of whoever works there.
    pub(super) fn commit(&self, words: &[&str], date: Option<i64>) -> Result<(), Refusal> {
        let mut all = vec!["commit", "--quiet", "--no-verify", "--no-gpg-sign"];
        all.extend(words);
        self.run_at(&all, date, SOON)?.checked().map(drop)
    }

    /// The first line of what git answers; `None` if it finds nothing.
    pub(super) fn line(&self, words: &[&str]) -> Result<Option<String>, Refusal> {
        let output = self.run(words, SOON)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().map(|line| plain(line, 500));
        Ok(line.filter(|line| output.is_good && !line.is_empty()))
    }

    /// A value of the configuration.
    pub(super) fn setting(&self, key: &str) -> Result<Option<String>, Refusal> {
        self.line(&["config", "--get", key])
    }

    /// Sets a value in the tree's own configuration.
    pub(super) fn set(&self, key: &str, value: &str) -> Result<(), Refusal> {
        let words = ["config", "--local", key, value];
        self.run(&words, SOON)?.checked().map(drop)
    }
}

impl Output {
    /// The same, if git did what it was asked.
    pub(super) fn checked(self) -> Result<Self, Refusal> {
        if self.is_good {
            Ok(self)
        } else {
            Err(Refusal::new(FilesFault::NoRepository, self.complaint()))
        }
    }

    /// What git complains of, in its own words and those of the other side.
    pub(super) fn complaint(&self) -> String {
        let said = String::from_utf8_lossy(&self.stderr);
        let telling = |line: &&str| {
            ["fatal: ", "error: ", "remote: ", "claude-in-box: ", " ! "]
                .iter()
                .any(|start| line.starts_with(start))
        };
        let mut lines: Vec<_> = said.lines().filter(telling).take(8).collect();
        if lines.is_empty() {
            lines.extend(said.lines().next());
        }
        match plain(&lines.join("\n"), 400) {
            said if said.is_empty() => "git did not say why".to_owned(),
            said => said,
        }
    }
}
