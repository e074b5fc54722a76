//! Starts the command of the bare init as the parent's shell would start it.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::unistd::{Pid, execvp, execvpe, getpid, setpgid, tcsetpgrp};

use super::options::Options;
use super::say;
use crate::exit;
use crate::sys::{fork, signal, start};

/// Names the process that the sockets of `sd_listen_fds(3)` are meant for.
const LISTEN_PID: &str = "LISTEN_PID";

/// Starts the command, which leads a process group of its own, in the foreground of `terminal`.
/// It has the mask and the dispositions that this process was given. Where it cannot be executed
/// the child says so and ends with the code for that.
///
/// # Errors
/// There is no memory or no process left.
pub(super) fn launch(
    options: &Options,
    terminal: Option<BorrowedFd<'_>>,
    ignores_children: bool,
) -> nix::Result<Pid> {
    let is_for_us = std::env::var_os(LISTEN_PID)
        .is_some_and(|pid| pid == OsStr::new(&std::process::id().to_string()));
    let words: Vec<CString> = options
        .command
        .iter()
        .map(|word| text(word.as_bytes()))
        .collect();
    fork::start(words.len(), || {
        // Neither can fail in a child that was made just now.
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
        if let Some(terminal) = terminal {
            // The caller is in the background now; SIGTTOU is blocked, so this does not stop it.
            let _ = tcsetpgrp(terminal, getpid());
        }
        if ignores_children {
            signal::ignore_children();
        }
        let _ = start::mask().thread_set_mask();
        let name = options.command[0].to_string_lossy();
        let Err(error) = execute(&words, is_for_us);
        if let Errno::ENOENT | Errno::ENOTDIR = error {
            say(&format!("{name}: no such command"));
            return exit::NOT_FOUND;
        }
        say(&format!("{name}: {}", why(error)));
        exit::NOT_EXECUTABLE
    })
}

fn execute(words: &[CString], names_child: bool) -> nix::Result<Infallible> {
    if !names_child {
        return execvp(&words[0], words);
    }
    let own = OsString::from(getpid().to_string());
    let variables = std::env::vars_os().map(|(name, value)| {
        let value = if name == LISTEN_PID {
            own.clone()
        } else {
            value
        };
        let mut entry = name.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        text(&entry)
    });
    execvpe(&words[0], words, &variables.collect::<Vec<_>>())
}

/// What the kernel ended with NUL has none inside.
fn text(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}

fn why(error: Errno) -> &'static str {
    match error {
        Errno::EACCES | Errno::EPERM => "not executable",
        Errno::ENOEXEC => "not a program for this machine",
        Errno::E2BIG => "the arguments and the environment are too long",
        Errno::ENOMEM | Errno::EAGAIN => "no memory is left to start it",
        other => other.desc(),
    }
}
