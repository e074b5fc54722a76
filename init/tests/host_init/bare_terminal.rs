//! The bare init on a terminal: the command owns it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::openpty;

use crate::support::{INIT, PATIENCE, eventually, status_field};

/// A terminal with somebody on it.
struct Terminal {
    master: File,
    shell: Child,
    seen: String,
}

impl Terminal {
    /// Runs a command as the leader of a session whose terminal this is.
    fn running(words: &[&str]) -> Self {
        let pair = openpty(None, None).unwrap();
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let (master, slave) = (pair.master, pair.slave);
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let shell = Command::new("env")
            .args(["--default-signal", "setsid", "--ctty"])
            .args(words)
            .env("PS1", "$ ")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        Self {
            master: File::from(master),
            shell,
            seen: String::new(),
        }
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` was shown, and forgets what came before its end.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(
                Instant::now() < end,
                "{text:?} was never shown, but {:?}",
                self.seen
            );
            let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            poll(&mut ready, 1_000_u16).unwrap();
            if ready[0].any() == Some(true) {
                let mut buffer = [0; 4096];
                let count = self.master.read(&mut buffer).unwrap_or(0);
                assert!(
                    count > 0,
                    "the terminal was closed before {text:?}, after {:?}",
                    self.seen
                );
                self.seen
                    .push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
    }

    /// Waits until a process of this name leads the foreground and sleeps: from then on it is
    /// the one that keys reach.
    #[track_caller]
    fn foreground(&self, name: &str) {
        eventually("the right process is in the foreground", || {
            let pid = nix::unistd::tcgetpgrp(&self.master).ok()?.as_raw();
            let ready =
                status_field(pid, "Name")? == name && status_field(pid, "State")?.starts_with('S');
            ready.then_some(())
        });
    }

    fn code(mut self) -> i32 {
        let status = eventually("the command ends", || self.shell.try_wait().unwrap());
        status.code().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

const UNSHARE: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

fn as_pid_1(words: &[&'static str]) -> Terminal {
    let mut line = UNSHARE.to_vec();
    line.push(INIT);
    line.extend(words);
    Terminal::running(&line)
}

#[test]
fn ctrl_c_interrupts_the_command_and_not_the_init() {
    let mut terminal = as_pid_1(&["bash", "-c", "exec sleep 60"]);
    terminal.foreground("sleep");
    terminal.type_in("\x03");
    assert_eq!(terminal.code(), 130);
}

/// Stops the `sleep` of a shell from the keyboard, has it go on, and ends it.
fn stop_and_go_on(terminal: &mut Terminal) {
    terminal.foreground("sleep");
    terminal.type_in("\x1a");
    terminal.expect("Stopped");
    terminal.foreground("bash");
    terminal.type_in("fg\n");
    terminal.foreground("sleep");
    terminal.type_in("\x03");
    terminal.foreground("bash");
    terminal.type_in("echo code $?\n");
    terminal.expect("code 130");
}

#[test]
fn an_interactive_shell_has_job_control() {
    let mut terminal = as_pid_1(&["bash", "--norc", "--noprofile", "--noediting", "-i"]);
    terminal.type_in("sleep 61\n");
    stop_and_go_on(&mut terminal);
    terminal.type_in("exit 5\n");
    assert_eq!(terminal.code(), 5);
}

#[test]
fn the_command_may_read_from_its_terminal_even_where_background_writes_stop() {
    let mut terminal = as_pid_1(&[
        "bash",
        "-c",
        "stty tostop; echo name?; read name; echo hello $name",
    ]);
    terminal.expect("name?");
    terminal.type_in("coder\n");
    terminal.expect("hello coder");
    assert_eq!(terminal.code(), 0);
}

#[test]
fn a_changed_window_size_reaches_the_command() {
    let script = "trap 'stty size; exit 6' WINCH; echo up; while :; do sleep 0.05; done";
    let mut terminal = as_pid_1(&["bash", "-c", script]);
    terminal.expect("up");
    let master = Stdio::from(terminal.master.try_clone().unwrap());
    let mut stty = Command::new("stty");
    stty.args(["rows", "33", "cols", "77"]).stdin(master);
    assert!(stty.status().unwrap().success());
    terminal.expect("33 77");
    assert_eq!(terminal.code(), 6);
}

#[test]
fn under_a_shell_the_whole_job_stops_and_goes_on() {
    let mut terminal = Terminal::running(&["bash", "--norc", "--noprofile", "--noediting", "-i"]);
    terminal.type_in(&format!("{INIT} sleep 62\n"));
    stop_and_go_on(&mut terminal);
    terminal.type_in("exit 0\n");
    assert_eq!(terminal.code(), 0);
}
