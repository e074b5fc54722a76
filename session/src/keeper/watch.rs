//! The keeper's side of Claude's own files: what the process that may read them tells.
//!
//! That process is of the session's user, which may end it or speak in its place. So its
//! words are bounded, and it is started again from where it was; not for ever.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cib_protocol::session::SessionSpec;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::claude::command::environment;
use crate::claude::{Process, ReadOutcome, read};
use crate::runner::Runner;
use crate::stream_json::lines::{Limits, Line, Splitter};
use crate::watch::MAX_STATE;

/// How long the keeper waits for a look at the files.
const LOOK: Duration = Duration::from_millis(500);

/// How long it waits for the last one, which nothing follows.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// How long it waits while an earlier look has not been answered.
const AGAIN: Duration = Duration::from_millis(20);

/// How long a look may be unanswered before somebody else is to look.
const SILENCE: Duration = Duration::from_secs(15);

/// How often in a row the process may end.
const TRIES: u8 = 5;

/// How long it has to live for the next end to be the first one again.
const LASTING: Duration = Duration::from_secs(60);

/// Bytes of the longest line in front of a record.
const MAX_HEAD: usize = 64;

/// The files of one process of the CLI.
#[derive(Debug)]
pub(super) struct Watch {
    command: Command,
    process: Process,
    /// Claude's process, whose state file is looked at.
    claude: Option<i32>,
    /// The transcript that is followed, and how far.
    followed: Option<(PathBuf, u64)>,
    lines: Splitter,
    limits: Limits,
    inbox: Inbox,
    /// The look that was asked for last, and the last one that was answered.
    looks: (u64, u64),
    /// Since when there is a look without an answer.
    silent_since: Option<Instant>,
    is_dead: bool,
    tries_left: u8,
    begun: Instant,
}

/// What is being heard.
#[derive(Debug, Default)]
struct Inbox {
    head: Vec<u8>,
    record: Record,
    left: usize,
    state: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Record {
    #[default]
    None,
    Transcript,
    State,
}

impl Watch {
    /// Begins to watch. `transcript` is one that is there already, with its length; what it
    /// holds is history.
    pub(super) fn start(
        runner: &mut Runner,
        spec: &SessionSpec,
        transcript: Option<(PathBuf, u64)>,
        limits: Limits,
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("watch");
        environment(&mut command, spec);
        let mut watch = Self {
            process: spawn(runner, &command)?,
            command,
            claude: None,
            followed: transcript,
            lines: Splitter::new(limits),
            limits,
            inbox: Inbox::default(),
            looks: (0, 0),
            silent_since: None,
            is_dead: false,
            tries_left: TRIES,
            begun: Instant::now(),
        };
        watch.tell_all();
        // It watches before Claude writes anything.
        watch.look(false, |_| ());
        Ok(watch)
    }

    /// The descriptor that becomes readable when [`Watch::hear`] finds something.
    pub(super) fn wake(&self) -> Option<&std::fs::File> {
        self.process.stdout.as_ref()
    }

    /// What waits to be told.
    pub(super) fn wants_to_write(&self) -> Option<&std::fs::File> {
        self.process.stdin.wants_to_write()
    }

    pub(super) fn write(&mut self) {
        self.process.stdin.write();
    }

    /// Says which process it is.
    pub(super) fn process(&mut self, pid: i32) {
        self.claude = Some(pid);
        self.tell(&format!("process {pid}\n"));
    }

    /// Follows another transcript from now on. One that is followed already goes on.
    pub(super) fn follow(&mut self, path: PathBuf) {
        if self.followed.as_ref().is_none_or(|(old, _)| *old != path) {
            self.lines = Splitter::new(self.limits);
            self.followed = Some((path, 0));
            self.tell_followed();
        }
    }

    /// Takes what has been told: gives the state file's text if it changed, and calls `line`
    /// for each new line of the transcript.
    pub(super) fn hear(&mut self, mut line: impl FnMut(Line<'_>)) -> Option<String> {
        let mut buffer = vec![0; 16 * 1024];
        let mut state = None;
        while let Some(pipe) = &mut self.process.stdout {
            match read(pipe, &mut buffer) {
                ReadOutcome::Bytes(count) => {
                    let told = self.take(&buffer[..count], &mut line);
                    state = told.or(state);
                }
                ReadOutcome::Nothing => break,
                ReadOutcome::End => {
                    self.process.stdout = None;
                    self.is_dead = true;
                }
            }
        }
        state
    }

    /// Has the files looked at now, and takes what that brings.
    pub(super) fn look(&mut self, is_last: bool, mut line: impl FnMut(Line<'_>)) -> Option<String> {
        self.looks.0 += 1;
        let number = self.looks.0;
        self.tell(&format!("look {number}\n"));
        let now = Instant::now();
        let deadline = now
            + match self.silent_since {
                _ if is_last => LAST_LOOK,
                Some(_) => AGAIN,
                None => LOOK,
            };
        let since = *self.silent_since.get_or_insert(now);
        let mut state = None;
        loop {
            self.process.stdin.write();
            state = self.hear(&mut line).or(state);
            let left = deadline.saturating_duration_since(Instant::now());
            if self.looks.1 >= number || self.is_dead {
                self.silent_since = None;
                return state;
            }
            if left.is_zero() {
                // What it finds is told when it has been found. Who is held up for very long is
                // held up by somebody.
                self.is_dead |= since.elapsed() > SILENCE;
                return state;
            }
            if let Some(pipe) = &self.process.stdout {
                let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
                let _ = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], left);
            }
        }
    }

    /// Whether it has to be started again.
    pub(super) fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Whether a process that has ended is this one.
    pub(super) fn ended(&mut self, pid: i32) {
        self.is_dead |= pid == self.process.pid;
    }

    /// Ends the process; Claude needs it no more.
    pub(super) fn end(&self, runner: &mut Runner) {
        runner.signal(self.process.pid, Signal::SIGKILL);
    }

    /// Starts it again from where it was.
    pub(super) fn restart(&mut self, runner: &mut Runner) -> io::Result<()> {
        if self.begun.elapsed() > LASTING {
            self.tries_left = TRIES;
        }
        if self.tries_left == 0 {
            return Err(io::Error::other(
                "what watches Claude's files is ended again and again",
            ));
        }
        self.tries_left -= 1;
        self.end(runner);
        self.process = spawn(runner, &self.command)?;
        self.inbox = Inbox::default();
        self.is_dead = false;
        self.silent_since = None;
        self.begun = Instant::now();
        self.tell_all();
        Ok(())
    }

    fn tell(&mut self, line: &str) {
        self.process.stdin.send(line.as_bytes());
    }

    fn tell_followed(&mut self) {
        if let Some((path, from)) = &self.followed {
            let mut line = format!("follow {from} ").into_bytes();
            line.extend(path.as_os_str().as_bytes());
            // A name with a newline in it would be two lines, and no name of the CLI's.
            line.retain(|&byte| byte != b'\n');
            line.push(b'\n');
            self.process.stdin.send(&line);
        }
    }

    fn tell_all(&mut self) {
        if let Some(pid) = self.claude {
            self.process(pid);
        }
        self.tell_followed();
    }

    /// Takes bytes of records; gives the last state that is complete.
    fn take(&mut self, mut bytes: &[u8], line: &mut impl FnMut(Line<'_>)) -> Option<String> {
        let mut state = None;
        while !bytes.is_empty() && !self.is_dead {
            if self.inbox.left > 0 {
                let (taken, rest) = bytes.split_at(bytes.len().min(self.inbox.left));
                bytes = rest;
                self.inbox.left -= taken.len();
                match self.inbox.record {
                    Record::Transcript => {
                        self.lines.feed(taken, &mut *line);
                        if let Some((_, at)) = &mut self.followed {
                            *at += taken.len() as u64;
                        }
                    }
                    _ => self.inbox.state.extend_from_slice(taken),
                }
                if self.inbox.left == 0 && self.inbox.record == Record::State {
                    let text = std::mem::take(&mut self.inbox.state);
                    state = Some(String::from_utf8_lossy(&text).into_owned());
                }
                continue;
            }
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let (head, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.inbox.head.extend_from_slice(head);
            bytes = rest.get(1..).unwrap_or_default();
            if self.inbox.head.len() > MAX_HEAD {
                self.is_dead = true;
            } else if end.is_some() {
                let head = std::mem::take(&mut self.inbox.head);
                if self.begin(&head).is_none() {
                    self.is_dead = true;
                }
            }
        }
        state
    }

    /// Reads the line in front of a record; `None` if it is none.
    fn begin(&mut self, head: &[u8]) -> Option<()> {
        let (kind, number) = std::str::from_utf8(head).ok()?.split_once(' ')?;
        match kind {
            "transcript" => {
                self.inbox.record = Record::Transcript;
                self.inbox.left = number.parse().ok()?;
            }
            "state" => {
                self.inbox.record = Record::State;
                self.inbox.left = number.parse().ok().filter(|len| *len <= MAX_STATE)?;
            }
            "looked" => {
                self.looks.1 = number.parse().ok()?;
                if self.looks.1 >= self.looks.0 {
                    self.silent_since = None;
                }
            }
            _ => return None,
        }
        Some(())
    }
}

fn spawn(runner: &mut Runner, command: &Command) -> io::Result<Process> {
    let mut process = runner.start(command)?;
    // It has no complaints that anybody reads.
    process.stderr = None;
    Ok(process)
}
