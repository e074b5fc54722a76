//! Programs that are run for so long and for so many bytes, and of which nothing is left.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Instant;

use cib_protocol::files::FilesFault;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::fault::Refusal;

/// One that does not outlive whoever waits for it, nor does what it has started in its group.
#[derive(Debug)]
pub struct Running(Child);

/// What it said.
#[derive(Debug)]
pub struct Heard {
    /// The first of its standard output.
    pub stdout: Vec<u8>,
    /// The first of its standard error.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself.
    Ended(ExitStatus),
    /// It wrote more than is wanted, and was ended.
    Cut,
    /// It took too long, and was ended.
    Late,
}

/// Starts a program in a group of its own. Its input is what the command says.
///
/// # Errors
/// If there is none, or no process is left.
pub fn start(mut command: Command) -> Result<Running, Refusal> {
    let child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Ok(child) => Ok(Running(child)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let program = command.get_program().display();
            let why = format!("there is no {program} in this box");
            Err(Refusal::new(FilesFault::NoRepository, why))
        }
        Err(error) => Err(error.into()),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // Nothing of that group may be left, and then that is an error.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}

impl Running {
    /// Its input, if it has one; it ends when this is dropped.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.0.stdin.take()
    }

    /// Hears it until it ends, the time is up, or it has said enough on its standard output. What
    /// it says too much on its standard error is passed over.
    ///
    /// # Errors
    /// If it cannot be heard.
    pub fn hear(mut self, most: usize, most_errors: usize, end: Instant) -> Result<Heard, Refusal> {
        let (Some(mut stdout), Some(mut stderr)) = (self.0.stdout.take(), self.0.stderr.take())
        else {
            return Err(Refusal::new(
                FilesFault::Failed,
                "a program cannot be heard",
            ));
        };
        let mut heard = Heard {
            stdout: Vec::new(),
            stderr: Vec::new(),
            outcome: Outcome::Late,
        };
        let (mut speaks, mut complains) = (true, true);
        while speaks || complains {
            // What it has left behind may keep its outputs open for ever.
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = Vec::new();
            if speaks {
                fds.push(PollFd::new(stdout.as_fd(), PollFlags::POLLIN));
            }
            if complains {
                fds.push(PollFd::new(stderr.as_fd(), PollFlags::POLLIN));
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(0) => return Ok(heard),
                // A signal, for instance that another program has ended.
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
            let is_said = speaks && ready.next().unwrap_or(false);
            let is_complaint = complains && ready.next().unwrap_or(false);
            if is_said {
                let (more, is_over) = piece(&mut stdout, &mut heard.stdout, most)?;
                speaks = more;
                if is_over {
                    heard.outcome = Outcome::Cut;
                    return Ok(heard);
                }
            }
            if is_complaint {
                (complains, _) = piece(&mut stderr, &mut heard.stderr, most_errors)?;
            }
        }
        // It has closed its outputs, so its end is about to come.
        let pid = i32::try_from(self.0.id()).map_err(io::Error::other)?;
        let ended = cib_base::sys::pidfd_open(Pid::from_raw(pid))?;
        let mut fds = [PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(0) => return Ok(heard),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(_) => break,
            }
        }
        heard.outcome = Outcome::Ended(self.0.wait()?);
        Ok(heard)
    }
}

/// Reads what there is: whether more can come, and whether it was more than is wanted.
fn piece(from: &mut (impl Read + AsFd), to: &mut Vec<u8>, most: usize) -> io::Result<(bool, bool)> {
    let mut buffer = [0; 16 * 1024];
    let count = from.read(&mut buffer)?;
    let room = most - to.len();
    to.extend_from_slice(&buffer[..count.min(room)]);
    Ok((count > 0, count > room))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]).stdin(Stdio::null());
        command
    }

    #[test]
    fn one_that_does_not_end_is_ended_with_what_it_started() {
        let begun = Instant::now();
        let running = start(shell("sleep 1000 & sleep 1000")).unwrap();
        let heard = running
            .hear(10, 10, begun + Duration::from_millis(200))
            .unwrap();
        assert_eq!(heard.outcome, Outcome::Late);
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn more_than_enough_is_cut_and_complaints_are_passed_over() {
        let end = Instant::now() + Duration::from_secs(20);
        let heard = start(shell("yes")).unwrap().hear(5, 5, end).unwrap();
        assert_eq!(
            (&*heard.stdout, heard.outcome),
            (&b"y\ny\ny"[..], Outcome::Cut)
        );
        let script = "head -c 300000 /dev/zero >&2; echo done";
        let heard = start(shell(script)).unwrap().hear(10, 5, end).unwrap();
        assert_eq!((&*heard.stdout, heard.stderr.len()), (&b"done\n"[..], 5));
        assert!(matches!(heard.outcome, Outcome::Ended(status) if status.success()));
    }
}
