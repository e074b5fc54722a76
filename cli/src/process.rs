//! Other programs: run to their end, within a time and with so much output at most.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::interrupt;

/// Output that is kept of a program, at most.
pub const MOST: u64 = 16 << 20;

/// How often it is looked whether this process was told to end.
const LOOK: Duration = Duration::from_millis(50);

/// What a program came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; 128+n if signal n ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Ran {
    /// Whether it succeeded.
    #[must_use]
    pub const fn good(&self) -> bool {
        self.code == 0
    }

    /// Its standard output as text, without the end of the last line.
    #[must_use]
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.stdout);
        text.trim_end_matches('\n').to_owned()
    }

    /// What it complained of, as text without control characters.
    #[must_use]
    pub fn complaint(&self) -> String {
        crate::text::plain_bytes(&self.stderr).trim().to_owned()
    }
}

/// Why a program was not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// Its name.
        program: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// It took too long, and was ended.
    #[error("{program} has not ended within {} s", deadline.as_secs())]
    Late {
        /// Its name.
        program: String,
        /// How long it had.
        deadline: Duration,
    },
    /// This process was told to end, and has ended it.
    #[error("{program} was ended, because a person wants to stop")]
    Told {
        /// Its name.
        program: String,
    },
    /// It wrote too much, and was ended.
    #[error("{program} has said more than {most} bytes")]
    TooMuch {
        /// Its name.
        program: String,
        /// The limit in bytes.
        most: u64,
    },
    /// It could not be waited for.
    #[error("cannot wait for {program}")]
    Wait {
        /// Its name.
        program: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Runs a program to its end: `input` is all that it can read.
///
/// # Errors
/// It cannot be started, or was ended because it took longer than `deadline` or said more than
/// [`MOST`].
pub fn run(command: &mut Command, input: &[u8], deadline: Duration) -> Result<Ran, RunError> {
    // A program may end without reading what it is told.
    let tell = |mut stdin: ChildStdin| drop(stdin.write_all(input));
    Ok(feed(command, tell, deadline)?.0)
}

/// As [`run`], with something that writes what the program can read, and what that came to.
///
/// # Errors
/// The same.
pub fn feed<T: Send>(
    command: &mut Command,
    tell: impl FnOnce(ChildStdin) -> T + Send,
    deadline: Duration,
) -> Result<(Ran, Option<T>), RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    // A group of its own, so that whatever it has started ends with it.
    command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| RunError::Start {
        program: program.clone(),
        source,
    })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let end = Instant::now() + deadline;
    let (said, heard) = mpsc::channel();
    let other = said.clone();
    let outcome = thread::scope(|scope| {
        let told = scope.spawn(move || stdin.map(tell));
        scope.spawn(move || said.send((false, whole(stdout))));
        scope.spawn(move || other.send((true, whole(stderr))));
        let mut parts = (Vec::new(), Vec::new());
        for _ in 0..2 {
            match heard_by(&heard, end) {
                Ok((_, bytes)) if bytes.len() as u64 > MOST => {
                    finish(&mut child);
                    return Err(RunError::TooMuch {
                        program: program.clone(),
                        most: MOST,
                    });
                }
                Ok((true, bytes)) => parts.1 = bytes,
                Ok((false, bytes)) => parts.0 = bytes,
                Err(told) => {
                    finish(&mut child);
                    let program = program.clone();
                    return Err(if told {
                        RunError::Told { program }
                    } else {
                        RunError::Late { program, deadline }
                    });
                }
            }
        }
        Ok((parts, told.join().unwrap_or_default()))
    });
    let ((stdout, stderr), told) = outcome?;
    let ended = child
        .wait()
        .map_err(|source| RunError::Wait { program, source })?;
    let ran = Ran {
        code: code(ended),
        stdout,
        stderr,
    };
    Ok((ran, told))
}

/// What is heard until the deadline; else whether that is because this process was told to end.
fn heard_by<T>(heard: &mpsc::Receiver<T>, end: Instant) -> Result<T, bool> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match heard.recv_timeout(left.min(LOOK)) {
            Ok(value) => return Ok(value),
            Err(_) if interrupt::is_told() => return Err(true),
            Err(mpsc::RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(_) => return Err(false),
        }
    }
}

/// What a thread came to.
pub fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Waits until `found` gives something, and looks every tenth of a second; nothing once the
/// deadline has passed.
pub fn wait_for<T>(deadline: Duration, found: impl FnMut() -> Option<T>) -> Option<T> {
    wait_each(Duration::from_millis(100), deadline, found)
}

/// As [`wait_for`], with a look each so often.
pub fn wait_each<T>(
    look: Duration,
    deadline: Duration,
    mut found: impl FnMut() -> Option<T>,
) -> Option<T> {
    let end = Instant::now() + deadline;
    // Nobody says anything on it: it is the clock.
    let (_silent, clock) = mpsc::channel::<()>();
    loop {
        if let Some(value) = found() {
            return Some(value);
        }
        if Instant::now() >= end || interrupt::is_told() {
            return None;
        }
        let _ = clock.recv_timeout(look);
    }
}

/// The exit code of a process as a shell says it.
#[must_use]
pub fn code(ended: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    ended
        .code()
        .unwrap_or_else(|| 128 + ended.signal().unwrap_or(0))
}

fn whole(source: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(source) = source {
        // What was read before the fault is what there is.
        let _ = source.take(MOST + 1).read_to_end(&mut bytes);
    }
    bytes
}

/// Ends a child that leads a group, with its group, and leaves no zombie.
fn finish(child: &mut Child) {
    // It may have ended by itself.
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8], deadline: Duration) -> Result<Ran, RunError> {
        run(Command::new("sh").args(["-c", script]), input, deadline)
    }

    #[test]
    fn a_program_is_heard_on_both_outputs_and_told_its_input() {
        let long = Duration::from_secs(20);
        let ran = sh("cat; echo no >&2; exit 3", b"yes", long).unwrap();
        assert_eq!((ran.code, ran.text().as_str()), (3, "yes"));
        assert_eq!(ran.complaint(), "no");
        assert_eq!(sh("kill -9 $$", b"", long).unwrap().code, 137);
    }

    #[test]
    fn a_program_that_hangs_or_never_stops_talking_is_ended() {
        let begun = Instant::now();
        let late = sh("exec sleep 60", b"", Duration::from_millis(100)).unwrap_err();
        assert!(matches!(late, RunError::Late { .. }), "{late}");
        let loud = sh("exec cat /dev/zero", b"", Duration::from_secs(60)).unwrap_err();
        assert!(matches!(loud, RunError::TooMuch { .. }), "{loud}");
        assert!(begun.elapsed() < Duration::from_secs(40));
    }
}
