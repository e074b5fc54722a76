//! A child process whose output is kept and which does not outlive its test.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::wait::{wait_for, wait_until};

/// A child in a process group of its own; dropping it kills the whole group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with its standard output and error kept in one buffer, in the order
    /// in which they arrive.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{command:?}: {error}")))?;
        let output = Arc::new(Mutex::new(Vec::new()));
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(keep(stdout, Arc::clone(&output)));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(keep(stderr, Arc::clone(&output)));
        }
        Ok(Self {
            child,
            output,
            readers,
        })
    }

    /// The child's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the child has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&output).into_owned()
    }

    /// Waits until the child has written `needle`.
    ///
    /// # Panics
    /// `deadline` passes, or the child ends without having written it.
    #[track_caller]
    pub fn wait_for_output(&mut self, deadline: Duration, needle: &str) {
        wait_until(
            deadline,
            &format!("`{needle}` in the output of a child"),
            || {
                let ended = self.child.try_wait().ok().flatten();
                let output = self.output();
                if output.contains(needle) {
                    return true;
                }
                assert!(
                    ended.is_none(),
                    "ended ({ended:?}) without `{needle}`:\n{output}"
                );
                false
            },
        );
    }

    /// Waits for the child's end and for all of its output.
    ///
    /// # Panics
    /// `deadline` passes first.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let status = wait_for(deadline, "the end of a child", || self.exited());
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        status
    }

    /// How the child ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal to the child alone.
    ///
    /// # Errors
    /// The child is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(self.id(), signal)?)
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited().is_none() {
            let _ = killpg(self.id(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

fn keep(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            let mut output = into.lock().unwrap_or_else(PoisonError::into_inner);
            output.extend_from_slice(&buffer[..len]);
        }
    })
}

/// Runs `command` to its end and returns its standard output.
///
/// # Errors
/// It cannot be started, or fails; the error holds what it wrote to standard error.
pub fn run(mut command: Command) -> io::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{command:?}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "{command:?}: {}: {}",
        output.status,
        said.trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_and_the_status_are_kept() {
        let mut child = Process::spawn(shell("echo out; echo err >&2; exit 3")).unwrap();
        assert_eq!(child.wait(Duration::from_secs(10)).code(), Some(3));
        assert!(child.output().contains("out\n") && child.output().contains("err\n"));
    }

    #[test]
    fn a_dropped_process_takes_its_children_along() {
        let mut child = Process::spawn(shell("sleep 600 & echo pid $!; wait")).unwrap();
        child.wait_for_output(Duration::from_secs(10), "\n");
        let grandchild: i32 = child.output().trim()["pid ".len()..].parse().unwrap();
        drop(child);
        let stat = format!("/proc/{grandchild}/stat");
        wait_until(Duration::from_secs(10), "the grandchild's end", || {
            std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
        });
    }

    #[test]
    fn a_failed_command_says_why() {
        let error = run(shell("echo broken >&2; exit 1"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("broken"), "{error}");
    }
}
