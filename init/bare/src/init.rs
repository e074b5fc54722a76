//! The life of the bare init, from the command's start to the last descendant's end.
//!
//! Signals are all blocked and taken from the queue one by one, so between two of them the
//! process sleeps in the kernel. SIGCHLD is only a hint that somebody died; who did is asked of
//! the kernel until it knows of no more, because a thousand deaths may share one signal.

use crate::descendants::{KILL_AGAIN, Remaining, UNKILLABLE, WAKE_AFTER};
use crate::exit;
use crate::options::Options;
use crate::program::{say, say_plainly};
use crate::signal::{self, SignalSet};
use crate::sys::kernel::{self, Changed, Errno};
use crate::sys::launch::{Launch, launch};
use crate::sys::process::Process;
use crate::text::Digits;
use crate::time::Time;

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
pub(crate) fn run(options: &Options, process: Process) -> u8 {
    let role = take_role();
    if let Some(signal) = options.parent_death {
        // Losing it is losing a convenience; the parent may be gone already in any case.
        let _ = kernel::set_parent_death(signal);
    }
    let ignore_child = kernel::is_ignored(libc::SIGCHLD);
    if ignore_child {
        // The kernel would throw exit codes away.
        kernel::set_ignored(libc::SIGCHLD, false);
    }
    let terminal = foreground_terminal();
    let launched = launch(&Launch {
        process,
        command: options.command,
        mask: Process::mask(),
        ignore_child,
        terminal,
    });
    let launched = match launched {
        Ok(launched) => launched,
        Err(error) => return refuse(options, process, error),
    };
    kernel::enter_root();
    // Standard error stays for the few words that we may have to say.
    kernel::close_range(3, i32::MAX);
    kernel::close_range(0, 1);
    let init = Init {
        options,
        role,
        main: launched.pid,
        has_terminal: terminal.is_some(),
    };
    let code = init.watch();
    clear(options.grace);
    match launched.failure() {
        Some(error) => refuse(options, process, error),
        None => code,
    }
}

fn take_role() -> Role {
    let own = kernel::own_pid();
    if own == 1 {
        return Role::Init;
    }
    if kernel::become_subreaper().is_ok() {
        let own = Digits::of(own.unsigned_abs());
        let rest = b": orphans are taken over as a subreaper";
        say(&[b"not PID 1 but ", own.as_bytes(), rest]);
        Role::Subreaper
    } else {
        say_plainly(b"not PID 1 and cannot become a subreaper: orphans are not reaped here");
        Role::Plain
    }
}

/// The first of the standard descriptors that is our terminal, if we are in the foreground of
/// it: only then is it ours to give away.
fn foreground_terminal() -> Option<i32> {
    // Both are 0 where the group's leader lives outside our pid namespace.
    let ours = |fd| {
        let owner = kernel::foreground_group(fd)?;
        (owner == 0 || owner == kernel::own_group()).then_some(fd)
    };
    ours(libc::STDIN_FILENO)
        .or_else(|| ours(libc::STDOUT_FILENO))
        .or_else(|| ours(libc::STDERR_FILENO))
}

/// Says why the command does not run, and returns the code of that.
fn refuse(options: &Options, process: Process, Errno(error): Errno) -> u8 {
    let name = process.argument(options.command).unwrap_or_default();
    if error == libc::ENOENT || error == libc::ENOTDIR {
        say(&[name, b": no such command"]);
        return exit::NOT_FOUND;
    }
    if error == libc::EACCES || error == libc::EPERM {
        say(&[name, b": not executable"]);
    } else if error == libc::ENOEXEC {
        say(&[name, b": not a program for this machine"]);
    } else if error == libc::E2BIG {
        say(&[name, b": the arguments and the environment are too long"]);
    } else if error == libc::ENOMEM || error == libc::EAGAIN {
        say(&[name, b": no memory or no process is left to start it"]);
    } else {
        let number = Digits::of(error.unsigned_abs());
        say(&[name, b": cannot be executed: error ", number.as_bytes()]);
    }
    exit::NOT_EXECUTABLE
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
        let mut timeout = Some(Time::ZERO);
        loop {
            match kernel::next_signal(timeout) {
                Some(signal) if signal != libc::SIGCHLD => {
                    self.pass_on(signal);
                    continue;
                }
                _ => {}
            }
            timeout = match self.reap() {
                Reaped::Main(code) => return self.options.code(code),
                Reaped::MainStopped => {
                    self.stop_with_it();
                    Some(Time::ZERO)
                }
                Reaped::More => Some(Time::ZERO),
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
        // The command may have died an instant ago.
        kernel::send(
            if self.options.group {
                -self.main
            } else {
                self.main
            },
            signal,
        );
        if self.options.verbose {
            let name = signal::named(signal);
            let [word, digits] = name.parts();
            let target = Digits::of(self.main.unsigned_abs());
            let whom: &[u8] = if self.options.group {
                b" to -"
            } else {
                b" to "
            };
            say(&[b"sent ", word, digits, whom, target.as_bytes()]);
        }
    }

    fn reap(&self) -> Reaped {
        reap(self.main, self.mirrors_stops())
    }

    /// Under somebody's shell the whole job stops when its command does, or the shell would
    /// wait for ever for a job that cannot run.
    fn mirrors_stops(&self) -> bool {
        self.has_terminal && self.role != Role::Init
    }

    fn stop_with_it(&self) {
        let terminal = kernel::open(b"/dev/tty\0", libc::O_RDWR).ok();
        // KILL and STOP cannot be blocked: this returns after a SIGCONT.
        kernel::send(kernel::own_pid(), libc::SIGSTOP);
        if let Some(terminal) = terminal {
            if kernel::foreground_group(terminal) == Some(kernel::own_group()) {
                kernel::set_foreground_group(terminal, self.main);
            }
            kernel::close(terminal);
        }
        kernel::send(-self.main, libc::SIGCONT);
    }
}

/// Takes one batch of deaths. No child has the number 0.
fn reap(main: i32, stops: bool) -> Reaped {
    let mut taken = 0;
    while taken < BATCH {
        match kernel::wait_for_child(stops) {
            Ok(Some(Changed { pid, status })) if pid == main => {
                return match exit::code(status) {
                    Some(code) => Reaped::Main(code),
                    None => Reaped::MainStopped,
                };
            }
            Ok(Some(_)) | Err(Errno(libc::EINTR)) => taken += 1,
            Ok(None) => return Reaped::Nobody,
            Err(_) => return Reaped::NoChild,
        }
    }
    Reaped::More
}

/// Asks every descendant that is left to end, waits until they have, and kills after `grace`.
/// As PID 1 those are all processes of the namespace. Every signal must be blocked.
pub(crate) fn clear(grace: Time) {
    let mut remaining = Remaining::of_this_process();
    let mut kill_at = kernel::now().plus(grace);
    let mut wake_at = None;
    loop {
        let mut timeout = Time::ZERO;
        match reap(0, false) {
            Reaped::NoChild => return,
            Reaped::More | Reaped::Main(_) | Reaped::MainStopped => {}
            Reaped::Nobody => {
                let now = kernel::now();
                if now < kill_at {
                    if remaining.ask() {
                        wake_at = Some(now.plus(Time::of(WAKE_AFTER)));
                    }
                    timeout = match wake_at {
                        Some(then) if then <= now => {
                            remaining.wake();
                            wake_at = None;
                            kill_at.since(now)
                        }
                        Some(then) => then.min(kill_at).since(now),
                        None => kill_at.since(now),
                    };
                } else if now < kill_at.plus(Time::of(UNKILLABLE)) {
                    remaining.kill();
                    timeout = Time::of(KILL_AGAIN);
                } else {
                    say_plainly(b"some processes cannot be killed; leaving them");
                    return;
                }
            }
        }
        // Asked to end while the rest is given its grace: it has had some.
        match kernel::next_signal(Some(timeout)) {
            Some(asked) if signal::ends(asked) => kill_at = kill_at.min(kernel::now()),
            _ => {}
        }
    }
}
