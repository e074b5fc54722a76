//! Runs a program as a real PID 1, with its own process, mount and (if wanted) network
//! namespace. Needs root, `unshare` and `nsenter`.

use std::fs;
use std::io;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::netns::Netns;
use crate::process::Process;
use crate::wait::wait_for;

/// A PID 1; dropping it ends everything in its namespace.
#[derive(Debug)]
pub struct Pid1 {
    outside: Process,
}

impl Pid1 {
    /// Starts `command` as PID 1 with its own `/proc`, inside `netns` where one is given and
    /// in the network of the test otherwise. The command keeps its own environment alone.
    ///
    /// # Errors
    /// Not root, or a tool is missing.
    pub fn spawn(command: &Command, netns: Option<&Netns>) -> io::Result<Self> {
        let mut outer = match netns {
            Some(netns) => netns.command("unshare"),
            None => Command::new("unshare"),
        };
        outer.args([
            "--pid",
            "--mount",
            "--fork",
            "--mount-proc",
            "--kill-child=KILL",
            "--",
        ]);
        outer.env_clear();
        outer.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        outer.arg(command.get_program()).args(command.get_args());
        Ok(Self {
            outside: Process::spawn(outer)?,
        })
    }

    /// The process id of PID 1 as the test sees it.
    ///
    /// # Panics
    /// It does not start within ten seconds.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let outside = self.outside.pid();
        let children = format!("/proc/{outside}/task/{outside}/children");
        wait_for(Duration::from_secs(10), "PID 1", || {
            let child = fs::read_to_string(&children).ok()?;
            Some(Pid::from_raw(
                child.split_whitespace().next()?.parse().ok()?,
            ))
        })
    }

    /// Sends a signal to PID 1.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// Everything written so far by PID 1 and its children.
    #[must_use]
    pub fn output(&self) -> String {
        self.outside.output()
    }

    /// See [`Process::wait_for_output`].
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn wait_for_output(&mut self, deadline: Duration, needle: &str) {
        self.outside.wait_for_output(deadline, needle);
    }

    /// Waits for the end of PID 1; its exit status, which is the signal's where one ended it.
    ///
    /// # Panics
    /// `deadline` passes first.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        self.outside.wait(deadline)
    }
}
