//! The bare init: runs one command, passes signals on, reaps, and leaves nobody behind.
//!
//! Signals are all blocked and taken from the queue one by one, so between two of them the
//! process sleeps in the kernel. SIGCHLD is only a hint that somebody died; who did is asked of
//! the kernel until it knows of no more, because a thousand deaths may share one signal.

mod launch;
mod options;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::wait::WaitPidFlag;
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use crate::sys::{fork, signal, wait};
use crate::{descendants, exit, signals};
use options::{Asked, Options};

const HELP: &str = include_str!("help.txt");
const LICENSE: &str = include_str!("../../../LICENSE");

/// Never passed on: SIGCHLD tells of our own children, the others are the kernel's word on a
/// fault of the process that gets them.
const KEPT: [i32; 7] = [
    libc::SIGCHLD,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGSYS,
];

/// Deaths that are taken before signals are looked at again: a storm of orphans must not hold
/// up a SIGTERM.
const BATCH: usize = 64;

/// Does what the arguments after the program's name ask for; the code to exit with.
///
/// Every signal must be blocked.
#[must_use]
pub fn main(words: &[OsString]) -> u8 {
    match Options::read(words, |name| std::env::var_os(name)) {
        Ok(Asked::Run(options)) => run(&options),
        Ok(Asked::Help) => print(HELP),
        Ok(Asked::Version) => print(concat!("cib-init ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Asked::License) => print(LICENSE),
        Err(error) => {
            say(&error.to_string());
            let usage = "usage: cib-init [OPTIONS] [--] COMMAND [ARGUMENT...]; see cib-init --help";
            let _ = writeln!(io::stderr(), "{usage}");
            exit::USAGE
        }
    }
}

/// Writes one line to standard error, in one call so that it is not torn. Nobody is left to
/// tell if that fails.
fn say(text: &str) {
    let _ = io::stderr().write_all(format!("cib-init: {text}\n").as_bytes());
}

/// Writes to standard output; a reader that went away is no failure.
fn print(text: &str) -> u8 {
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit::INTERNAL,
        _ => exit::OK,
    }
}

fn run(options: &Options) -> u8 {
    let is_pid_1 = std::process::id() == 1;
    if !is_pid_1 {
        become_subreaper(options.verbose);
    }
    if let Some(signal) = options.parent_death {
        // Losing it is losing a convenience; the parent may be gone already in any case.
        let _ = prctl::set_pdeathsig(signal);
    }
    let ignores_children = signal::keep_children();
    let terminal = foreground_terminal();
    let main = match launch::launch(options, terminal, ignores_children) {
        Ok(main) => main,
        Err(_) => {
            say("no memory or no process is left to start the command");
            return exit::NOT_EXECUTABLE;
        }
    };
    let init = Init {
        options,
        main,
        // Under somebody's shell the whole job stops when its command does, or the shell would
        // wait for ever for a job that cannot run.
        mirrors_stops: terminal.is_some() && !is_pid_1,
    };
    // A folder that somebody wants to unmount is not held. Standard error stays for the few
    // words that we may have to say.
    let _ = nix::unistd::chdir("/");
    fork::close_all_but_stderr();
    let code = init.watch();
    if !descendants::clear(options.grace) {
        say("some processes cannot be killed; leaving them");
    }
    code
}

fn become_subreaper(verbose: bool) {
    match prctl::set_child_subreaper(true) {
        Ok(()) if verbose => say(&format!(
            "not PID 1 but {}: orphans are taken over as a subreaper",
            std::process::id()
        )),
        Ok(()) => {}
        Err(_) => say("not PID 1 and cannot become a subreaper: orphans are not reaped here"),
    }
}

/// The first of the standard descriptors that is our terminal, if we are in the foreground of
/// it: only then is it ours to give away.
fn foreground_terminal() -> Option<BorrowedFd<'static>> {
    // Both are 0 where the group's leader lives outside our pid namespace.
    let is_ours = |fd: &BorrowedFd<'_>| {
        tcgetpgrp(fd).is_ok_and(|owner| owner.as_raw() == 0 || owner == getpgrp())
    };
    fork::standard().into_iter().find(is_ours)
}

struct Init<'a> {
    options: &'a Options,
    main: Pid,
    mirrors_stops: bool,
}

/// What a round of waiting found.
enum Reaped {
    /// The command ended with this code.
    Main(u8),
    /// The command was stopped.
    MainStopped,
    /// The batch is full; there may be more.
    More,
    /// Nobody else is dead, and somebody is alive.
    Nobody,
    /// There is no child at all.
    NoChild,
}

impl Init<'_> {
    /// Passes signals on until the command has ended; the code to exit with.
    fn watch(&self) -> u8 {
        // Somebody may have died before this program took the process over.
        loop {
            let timeout = match self.reap() {
                Reaped::Main(code) => return self.options.code(code),
                Reaped::MainStopped => {
                    self.stop_with_it();
                    Some(Duration::ZERO)
                }
                Reaped::More => Some(Duration::ZERO),
                Reaped::Nobody => None,
                // Cannot be while the command lives.
                Reaped::NoChild => return exit::INTERNAL,
            };
            while let Some(number) = signal::take(timeout).filter(|one| *one != libc::SIGCHLD) {
                self.pass_on(number);
            }
        }
    }

    fn pass_on(&self, number: i32) {
        if KEPT.contains(&number) {
            return;
        }
        let Some(number) = self.options.rewritten(number) else {
            return;
        };
        let main = self.main.as_raw();
        let target = if self.options.group { -main } else { main };
        // Whoever is gone meanwhile needs no signal.
        let _ = signal::send(target, number);
        if self.options.verbose {
            say(&format!("sent {} to {target}", signals::name(number)));
        }
    }

    fn reap(&self) -> Reaped {
        let mut flags = WaitPidFlag::WNOHANG;
        flags.set(WaitPidFlag::WUNTRACED, self.mirrors_stops);
        for _ in 0..BATCH {
            match wait::any(flags) {
                Ok(Some((pid, status))) if pid == self.main.as_raw() => {
                    return code(status).map_or(Reaped::MainStopped, Reaped::Main);
                }
                Ok(Some((pid, status))) => {
                    if self.options.warn && code(status).is_some() {
                        say(&format!("reaped orphan {pid}: {status}"));
                    }
                }
                Ok(None) => return Reaped::Nobody,
                Err(_) => return Reaped::NoChild,
            }
        }
        Reaped::More
    }

    fn stop_with_it(&self) {
        let mut how = OpenOptions::new();
        let terminal = cib_foreign::own::open_as(how.read(true).write(true), "/dev/tty");
        // KILL and STOP cannot be blocked: this returns after a SIGCONT.
        let _ = signal::send(std::process::id().cast_signed(), libc::SIGSTOP);
        if let Ok(terminal) = terminal
            && tcgetpgrp(terminal.as_fd()) == Ok(getpgrp())
        {
            let _ = tcsetpgrp(terminal.as_fd(), self.main);
        }
        let _ = signal::send(-self.main.as_raw(), libc::SIGCONT);
    }
}

/// The code that a shell would show: the command's own, or 128 plus the signal that ended it.
/// `None` if it was only stopped.
fn code(status: ExitStatus) -> Option<u8> {
    let signal = status.signal().map(|signal| 128 | signal);
    status.code().or(signal)?.try_into().ok()
}
