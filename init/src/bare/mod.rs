//! The bare init: runs one command, passes signals on, reaps, and leaves nobody behind.
//!
//! No runtime, no descriptor and, until the command is gone, no allocation: signals are all
//! blocked and taken from the queue one by one, so between two of them the process sleeps in
//! the kernel. SIGCHLD is only a hint that somebody died; who did is asked of the kernel
//! until it knows of no more, because a thousand deaths may share one signal.

mod descendants;
mod options;

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::process::WaitOptions;

pub use descendants::Remaining;
pub(crate) use descendants::{KILL_AGAIN, UNKILLABLE};
pub use options::{Options, OptionsError, Parsed, Rewrites};

use crate::exit::{self, Exit};
use crate::reaper::ended;
use crate::sys::launch::{self, Launch};
use crate::sys::signal::{self, SignalSet};
use crate::sys::start::{self, Arguments};

/// Never passed on: SIGCHLD tells of our own children, the others are the kernel's word on a
/// fault of the process that gets them.
const KEPT: SignalSet = SignalSet::NONE
    .with(libc::SIGCHLD)
    .with(libc::SIGILL)
    .with(libc::SIGTRAP)
    .with(libc::SIGBUS)
    .with(libc::SIGFPE)
    .with(libc::SIGSEGV)
    .with(libc::SIGSYS);

/// Deaths that are taken before signals are looked at again: a storm of orphans must not hold
/// up a SIGTERM.
const BATCH: usize = 64;

/// What this process is to those it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// PID 1 of its namespace: every other process in it is a descendant.
    Init,
    /// Somebody else is PID 1; orphans come here because we asked for them.
    Subreaper,
    /// As before, but the kernel refused.
    Plain,
}

/// Runs the command that `options` names and returns the code to exit with.
///
/// Every signal must be blocked, which the program's entry point did.
#[must_use]
pub fn run(options: &Options, arguments: Arguments) -> u8 {
    let role = take_role();
    if let Some(signal) = options.parent_death {
        let signal = rustix::process::Signal::from_named_raw(signal);
        // Losing it is losing a convenience; the parent may be gone already in any case.
        let _ = rustix::process::set_parent_process_death_signal(signal);
    }
    let ignore_child = signal::is_ignored(libc::SIGCHLD);
    if ignore_child {
        // The kernel would throw exit codes away.
        signal::set_ignored(libc::SIGCHLD, false);
    }
    let terminal = foreground_terminal();
    let launched = launch::launch(&Launch {
        arguments,
        command: options.command,
        mask: start::inherited_mask(),
        ignore_child,
        terminal,
    });
    let launched = match launched {
        Ok(launched) => launched,
        Err(error) => return refuse(options, arguments, &error),
    };
    let _ = rustix::process::chdir("/");
    // Standard error stays for the few words that we may have to say.
    start::close_range(3, i32::MAX);
    start::close_range(0, 1);
    let mut init = Init {
        options,
        role,
        main: launched.pid,
        has_terminal: terminal.is_some(),
    };
    let code = init.watch();
    clear(options.grace);
    match launched.failure() {
        Some(error) => refuse(options, arguments, &error),
        None => code,
    }
}

fn take_role() -> Role {
    let own = rustix::process::getpid();
    if own.is_init() {
        return Role::Init;
    }
    if rustix::process::set_child_subreaper(Some(own)).is_ok() {
        say(format_args!(
            "not PID 1 but {}: orphans are taken over as a subreaper",
            own.as_raw_nonzero()
        ));
        Role::Subreaper
    } else {
        say(format_args!(
            "not PID 1 and cannot become a subreaper: orphans are not reaped here"
        ));
        Role::Plain
    }
}

/// The first of the standard descriptors that is our terminal, if we are in the foreground of
/// it: only then is it ours to give away.
fn foreground_terminal() -> Option<i32> {
    use std::os::fd::{AsRawFd, BorrowedFd};
    let ours = |fd: BorrowedFd<'_>| {
        // Both are 0 where the group's leader lives outside our pid namespace; `rustix` reports
        // that as an error, so ask for the number alone.
        let owner = match rustix::termios::tcgetpgrp(fd) {
            Ok(pid) => pid.as_raw_nonzero().get(),
            Err(rustix::io::Errno::OPNOTSUPP) => 0,
            Err(_) => return None,
        };
        (owner == 0 || owner == rustix::process::getpgrp().as_raw_nonzero().get())
            .then(|| fd.as_raw_fd())
    };
    ours(rustix::stdio::stdin())
        .or_else(|| ours(rustix::stdio::stdout()))
        .or_else(|| ours(rustix::stdio::stderr()))
}

fn refuse(options: &Options, arguments: Arguments, error: &io::Error) -> u8 {
    let name = arguments.at(options.command).unwrap_or_default();
    let (reason, code) = match error.kind() {
        io::ErrorKind::NotFound => ("no such command", exit::NOT_FOUND),
        io::ErrorKind::PermissionDenied => ("not executable", exit::NOT_EXECUTABLE),
        io::ErrorKind::NotADirectory => ("no such command", exit::NOT_FOUND),
        _ => {
            say(format_args!("{}: {error}", name.to_string_lossy()));
            return exit::NOT_EXECUTABLE;
        }
    };
    say(format_args!("{}: {reason}", name.to_string_lossy()));
    code
}

/// Writes one line to standard error, in one call so that it is not torn.
fn say(message: fmt::Arguments<'_>) {
    let line = format!("cib-init: {message}\n");
    // Nobody is left to tell if this fails.
    let _ = io::stderr().write_all(line.as_bytes());
}

struct Init<'a> {
    options: &'a Options,
    role: Role,
    main: i32,
    has_terminal: bool,
}

/// What a round of waiting found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaped {
    /// The command ended.
    Main(Exit),
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
    fn watch(&mut self) -> u8 {
        // Somebody may have died before this program took the process over.
        let mut timeout = Some(Duration::ZERO);
        loop {
            let delivered = signal::wait(SignalSet::ALL, timeout);
            match delivered {
                Some(got) if got.signal != libc::SIGCHLD => {
                    self.pass_on(got.signal);
                    continue;
                }
                _ => {}
            }
            timeout = match self.reap() {
                Reaped::Main(exit) => return self.options.code(exit),
                Reaped::MainStopped => {
                    self.stop_with_it();
                    Some(Duration::ZERO)
                }
                Reaped::More => Some(Duration::ZERO),
                Reaped::Nobody => None,
                // Cannot be while the command lives.
                Reaped::NoChild => return exit::INTERNAL,
            };
        }
    }

    fn pass_on(&self, signal: i32) {
        if KEPT.contains(signal) {
            return;
        }
        let Some(signal) = self.options.rewrites.apply(signal) else {
            return;
        };
        let target = if self.options.group {
            -self.main
        } else {
            self.main
        };
        if self.options.verbose {
            say(format_args!("sending {} to {target}", signal::name(signal)));
        }
        // The command may have died an instant ago.
        let _ = signal::send(target, signal);
    }

    fn reap(&self) -> Reaped {
        let mut options = WaitOptions::NOHANG;
        if self.mirrors_stops() {
            options |= WaitOptions::UNTRACED;
        }
        reap(Some(self.main), options)
    }

    /// Under somebody's shell the whole job stops when its command does, or the shell would
    /// wait for ever for a job that cannot run.
    fn mirrors_stops(&self) -> bool {
        self.has_terminal && self.role != Role::Init
    }

    fn stop_with_it(&self) {
        let own = rustix::process::getpid();
        let terminal = rustix::fs::open(
            "/dev/tty",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        );
        // KILL and STOP cannot be blocked: this returns after a SIGCONT.
        let _ = signal::send(own.as_raw_nonzero().get(), libc::SIGSTOP);
        if let (Ok(terminal), Some(main)) = (&terminal, rustix::process::Pid::from_raw(self.main))
            && rustix::termios::tcgetpgrp(terminal) == Ok(rustix::process::getpgrp())
        {
            let _ = rustix::termios::tcsetpgrp(terminal, main);
        }
        let _ = signal::send(-self.main, libc::SIGCONT);
    }
}

/// Takes one batch of deaths.
fn reap(main: Option<i32>, options: WaitOptions) -> Reaped {
    for _ in 0..BATCH {
        match rustix::process::wait(options) {
            Ok(Some((pid, status))) if Some(pid.as_raw_nonzero().get()) == main => {
                match ended(status) {
                    Some(exit) => return Reaped::Main(exit),
                    None => return Reaped::MainStopped,
                }
            }
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return Reaped::Nobody,
            Err(_) => return Reaped::NoChild,
        }
    }
    Reaped::More
}

/// Asks every descendant that is left to end, waits until they have, and kills after `grace`.
/// As PID 1 those are all processes of the namespace. Every signal must be blocked.
pub fn clear(grace: Duration) {
    let mut remaining = Remaining::of_this_process();
    let mut kill_at = Instant::now() + grace;
    loop {
        let mut timeout = Duration::ZERO;
        match reap(None, WaitOptions::NOHANG) {
            Reaped::NoChild => return,
            Reaped::More | Reaped::Main(_) | Reaped::MainStopped => {}
            Reaped::Nobody => {
                let now = Instant::now();
                if now < kill_at {
                    remaining.ask();
                    timeout = kill_at - now;
                } else if now < kill_at + UNKILLABLE {
                    remaining.kill();
                    timeout = KILL_AGAIN;
                } else {
                    say(format_args!(
                        "some processes cannot be killed; leaving them"
                    ));
                    return;
                }
            }
        }
        // Asked to end while the rest is given its grace: it has had some.
        if let Some(got) = signal::wait(SignalSet::ALL, Some(timeout))
            && matches!(got.signal, libc::SIGTERM | libc::SIGINT)
        {
            kill_at = kill_at.min(Instant::now());
        }
    }
}
