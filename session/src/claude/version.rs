//! Asking the CLI for its version.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{ReadOutcome, nonblocking, read};

/// How long it may take. It takes a twentieth of a second, and half a second under Node.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `claude --version` prints, for instance `2.1.330 (Claude Code)`.
///
/// # Errors
/// If it cannot be executed, or does not answer in time.
pub fn ask(program: &Path) -> io::Result<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let Some(pipe) = child.stdout.take() else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let mut pipe = nonblocking(pipe.into())?;
    let deadline = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    let mut buffer = [0; 256];
    let result = loop {
        match read(&mut pipe, &mut buffer) {
            ReadOutcome::Bytes(count) if text.len() < 4096 => {
                text.extend_from_slice(&buffer[..count]);
                continue;
            }
            ReadOutcome::Bytes(_) | ReadOutcome::End => break Ok(()),
            ReadOutcome::Nothing => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        // An interruption is only another look.
        let _ = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&left));
    };
    if result.is_err() {
        // It may just have ended.
        let _ = child.kill();
    }
    child.wait()?;
    result.map(|()| String::from_utf8_lossy(&text).trim().to_owned())
}
