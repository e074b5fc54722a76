//! The keeper: one loop over Claude's pipes, the socket, signals and deadlines.
//!
//! Nothing in it waits except `poll`. Frames are on disk before the loop waits again, so
//! whoever is woken by the journal sees everything that has happened.

mod authors;
mod clients;
mod driver;
mod end;
mod hooks;
mod idle;
mod launch;
mod limits;
mod record;
mod requests;
mod shell;
mod start;
mod watch;

use std::os::fd::AsFd;
use std::time::Duration;

use cib_base::signals::Signals;
use cib_protocol::frame::Data;
use cib_protocol::limits::Resources;
use cib_protocol::session::{SessionSpec, State};
use nix::poll::{PollFd, PollFlags};
use nix::time::{ClockId, clock_gettime};

use crate::claude::command::CommandLine;
use crate::claude::{self, Exit, Process, ReadOutcome};
use crate::lock::Lock;
use crate::resources::{LOOK_MS, Meter};
use crate::runner::Runner;
use crate::stream_json::lines::Limits;
use clients::Clients;
use driver::{Driver, Output};
use end::{Leaving, Why};
use idle::Idle;
use record::Record;
pub use start::{Options, StartError, run};

/// Bytes read at once.
const READ: usize = 32 * 1024;

/// Reads of Claude's output before everybody else has a turn.
const READS: usize = 8;

/// Milliseconds that a pipe may stay open behind Claude's end, held by what Claude left.
const DRAIN_MS: u64 = 300;

/// Milliseconds that Claude may live on after it closed its output.
const CLOSED_MS: u64 = 2000;

/// Milliseconds for which a look at what the session uses is good enough.
const MEASURE_MS: u64 = 250;

/// A running session.
struct Keeper {
    options: Options,
    spec: SessionSpec,
    record: Record,
    /// What starts and signals the session's processes.
    runner: Runner,
    /// Held for the conversation that Claude drives.
    conversation: Lock,
    command: CommandLine,
    claude: Process,
    driver: Driver,
    clients: Clients,
    signals: Signals,
    clock: Clock,
    idle: Idle,
    /// What the session's processes use.
    meter: Meter,
    /// When limits on that are looked at next.
    look_at: u64,
    /// Until when what was seen last is good enough.
    measure_at: u64,
    /// Columns and rows of the terminal, whether there is one or will be.
    size: (u16, u16),
    /// When Claude has to have answered; `None` since it has.
    answer_by: Option<u64>,
    /// When an end of Claude's output without an end of Claude is a failure.
    close_by: Option<u64>,
    leaving: Option<Leaving>,
    /// What Claude waited for when it did not answer.
    waited_for: Option<String>,
    exit: Option<(Exit, u64)>,
    buffer: Box<[u8]>,
}

/// Milliseconds since the keeper began, and for which the session has run.
#[derive(Clone, Copy, Debug)]
struct Clock {
    begun: Duration,
    /// For how long the session ran before.
    before_ms: u64,
}

impl Clock {
    /// Begins to count for a session that used so much before.
    fn new(before: &Resources) -> Self {
        Self {
            begun: boot_time(),
            before_ms: before.run_ms.unwrap_or(0),
        }
    }

    fn now_ms(&self) -> u64 {
        let elapsed = boot_time().saturating_sub(self.begun);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    fn run_ms(&self) -> u64 {
        self.before_ms.saturating_add(self.now_ms())
    }
}

/// A clock that nobody sets, and that goes on while the host sleeps.
fn boot_time() -> Duration {
    // The kernel has this clock, and it cannot be negative.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// What `poll` watches.
#[derive(Clone, Copy, Debug)]
enum Source {
    Signals,
    Launcher,
    Stdin,
    Stdout,
    Stderr,
    Listener,
    Client(usize),
    Files,
    Watcher,
    HookListener,
    Hook(usize),
}

impl Keeper {
    /// Runs until the session has ended and everything about it is written. Returns whether
    /// it could be written.
    fn run(mut self) -> bool {
        loop {
            let ready = self.wait();
            for (source, flags) in ready {
                self.handle(source, flags);
            }
            self.ended();
            self.clients.sweep();
            if let Driver::Tty(terminal) = &mut self.driver {
                terminal.hooks.sweep();
            }
            self.keep_watch();
            self.tick();
            self.record.flush(self.clock.now_ms());
            if self.is_over() && !self.start_again() {
                return self.conclude();
            }
        }
    }

    /// Waits for something to do, or for the next deadline.
    fn wait(&self) -> Vec<(Source, PollFlags)> {
        let mut sources = vec![Source::Signals, Source::Listener];
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.clients.listener.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(fd) = self.runner.as_fd() {
            sources.push(Source::Launcher);
            fds.push(PollFd::new(fd, PollFlags::POLLIN));
        }
        if let Some(pipe) = self.claude.stdin.wants_to_write() {
            sources.push(Source::Stdin);
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        }
        // What cannot be written down is not heard either: pipes and sockets keep it.
        let hears = self.record.blocked().is_none();
        if let Some(pipe) = self.claude.stdout.as_ref().filter(|_| hears) {
            sources.push(Source::Stdout);
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        if let Some(pipe) = &self.claude.stderr {
            sources.push(Source::Stderr);
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        for (index, (stream, flags)) in self.clients.interests().enumerate() {
            sources.push(Source::Client(index));
            fds.push(PollFd::new(stream.as_fd(), flags));
        }
        if let Driver::Tty(terminal) = &self.driver
            && hears
        {
            if let Some(pipe) = terminal.watch.wake() {
                sources.push(Source::Files);
                fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
            }
            if let Some(pipe) = terminal.watch.wants_to_write() {
                sources.push(Source::Watcher);
                fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
            }
            if terminal.hooks.has_room() {
                sources.push(Source::HookListener);
                fds.push(PollFd::new(
                    terminal.hooks.listener.as_fd(),
                    PollFlags::POLLIN,
                ));
            }
            for (index, (stream, flags)) in terminal.hooks.interests().enumerate() {
                sources.push(Source::Hook(index));
                fds.push(PollFd::new(stream.as_fd(), flags));
            }
        }
        self.idle.wait(sources, &mut fds, self.left_ms())
    }

    /// Milliseconds until the next deadline.
    fn left_ms(&self) -> Option<u64> {
        if self.runner.has_events() {
            return Some(0);
        }
        let now_ms = self.clock.now_ms();
        let stays = self.leaving.is_none() && self.exit.is_none();
        let duration = limits::deadline(&self.record.meta)
            .map(|run_ms| run_ms.saturating_sub(self.clock.before_ms));
        let next = [
            self.answer_due().filter(|_| stays),
            self.close_by.filter(|_| stays),
            duration.filter(|_| stays),
            self.watches_limits()
                .then_some(self.look_at)
                .filter(|_| stays),
            self.record.deadline(),
            self.leaving.as_ref().and_then(Leaving::deadline),
            self.driver.deadline(),
            self.drained_at().filter(|_| self.may_end()),
        ]
        .into_iter()
        .flatten()
        .min()?;
        Some(next.saturating_sub(now_ms))
    }

    fn handle(&mut self, source: Source, flags: PollFlags) {
        match source {
            Source::Signals => self.signalled(),
            // What there is to hear is heard in any case.
            Source::Launcher => {}
            Source::Stdin => self.claude.stdin.write(),
            Source::Stdout => {
                self.read_claude();
            }
            Source::Stderr => self.claude.read_complaints(&mut self.buffer),
            Source::Listener => self.clients.accept(),
            Source::Client(index) => self.serve(index, flags),
            Source::Files | Source::Watcher | Source::HookListener | Source::Hook(_) => {
                self.beside(source);
            }
        }
    }

    /// Takes up what happens beside a terminal: in Claude's files and in its hooks.
    fn beside(&mut self, source: Source) {
        let now_ms = self.clock.now_ms();
        let Driver::Tty(terminal) = &mut self.driver else {
            return;
        };
        let output = match source {
            Source::Hook(index) => terminal.hook(index, &mut self.buffer, now_ms),
            Source::HookListener => {
                terminal.hooks.accept();
                return;
            }
            Source::Watcher => {
                terminal.watch.write();
                return;
            }
            _ => terminal.told(now_ms),
        };
        self.take(output);
    }

    /// Reads what Claude says, and writes each portion down before the next. Returns whether
    /// there may be more to read at once.
    fn read_claude(&mut self) -> bool {
        for _ in 0..READS {
            let Some(pipe) = &mut self.claude.stdout else {
                return false;
            };
            let outcome = claude::read(pipe, &mut self.buffer);
            let now_ms = self.clock.now_ms();
            let output = match outcome {
                ReadOutcome::Nothing => return false,
                ReadOutcome::Bytes(count) => self.driver.heard(&self.buffer[..count], now_ms),
                ReadOutcome::End => {
                    self.claude.stdout = None;
                    self.close_by = Some(now_ms + CLOSED_MS);
                    self.driver.heard_all(now_ms)
                }
            };
            self.take(output);
            self.record.flush(now_ms);
            if self.record.blocked().is_some() {
                return false;
            }
        }
        true
    }

    /// Takes up the output of a driver.
    fn take(&mut self, mut output: Output) {
        for line in &output.to_claude {
            self.claude.stdin.send(line.as_bytes());
        }
        for frame in &output.frames {
            if let Data::Meta(news) = frame
                && let Some(id) = &news.claude_session
            {
                self.follow(id);
            }
        }
        let ends_turn = |frame: &Data| matches!(frame, Data::Stop(_));
        if output.frames.iter().any(ends_turn) {
            self.measure();
        }
        self.record.append(std::mem::take(&mut output.frames));
        if output.answers_hooks() {
            // What a hook told is written down before Claude goes on.
            self.record.flush(self.clock.now_ms());
            output.answer_hooks(&mut self.driver);
        }
        if self.driver.state() != State::Starting {
            self.answer_by = None;
        }
    }

    /// Goes on under another conversation's lock when Claude changes to one (`/clear`).
    fn follow(&mut self, id: &str) {
        let Ok(id) = id.parse() else {
            return;
        };
        if self.command.conversation.id() == id {
            return;
        }
        self.command.conversation = claude::command::Conversation::Resume(id);
        match Lock::conversation(&self.options.dir, id, Duration::ZERO) {
            Ok(lock) => {
                self.conversation.clear_driver();
                self.conversation = lock;
                self.name_driver();
            }
            Err(error) => tracing::warn!("Claude went to conversation {id}, but {error}"),
        }
    }

    /// Writes into the conversation's lock who is gone last of all that drives it.
    fn name_driver(&mut self) {
        if let Err(error) = self.conversation.write_driver(self.runner.pid()) {
            tracing::warn!("cannot name the launcher in the conversation's lock: {error}");
        }
    }

    /// Does what is due by time or by count.
    fn tick(&mut self) {
        let now_ms = self.clock.now_ms();
        let output = self.driver.tick(now_ms);
        self.take(output);
        if self.leaving.is_none() {
            if let Some(limit) = limits::reached(&self.record.meta, self.clock.run_ms()) {
                self.leave(Why::Limit(limit));
            } else if let Some(limit) = self.look(now_ms) {
                self.leave(Why::Limit(limit));
            } else if self.answer_due().is_some_and(|by| now_ms >= by) {
                self.leave(Why::NoAnswer);
            } else if self.exit.is_none() && self.close_by.is_some_and(|by| now_ms >= by) {
                self.leave(Why::ClosedOutput);
            }
        }
        self.act();
    }

    /// When Claude has to have answered: after its start, and after a hook of its start has held
    /// a message up.
    fn answer_due(&self) -> Option<u64> {
        let held_up = self.driver.held_up_since();
        let held_up = held_up.map(|since| since + self.options.start_ms);
        [self.answer_by, held_up].into_iter().flatten().min()
    }

    fn watches_limits(&self) -> bool {
        Meter::watches(&self.record.meta.limits)
    }

    /// Looks at what the session's processes use, if that is due, for a limit that they reached.
    fn look(&mut self, now_ms: u64) -> Option<&'static str> {
        if now_ms < self.look_at || !self.watches_limits() {
            return None;
        }
        self.look_at = now_ms + LOOK_MS;
        self.meter.reached(&self.record.meta.limits)
    }

    /// Notes what the session's processes use. It may take a look at every process, so a client
    /// that asks again and again gets what was seen a moment ago.
    fn measure(&mut self) {
        let now_ms = self.clock.now_ms();
        if now_ms >= self.measure_at {
            self.measure_at = now_ms + MEASURE_MS;
            self.record.meta.resources = self.meter.read(now_ms);
            self.record.meta.resources.run_ms = Some(self.clock.run_ms());
        }
    }

    /// Whether Claude has ended and everything it said has been read.
    fn is_over(&self) -> bool {
        let drained = self
            .drained_at()
            .is_some_and(|at| self.claude.stdout.is_none() || self.clock.now_ms() >= at);
        drained && self.may_end()
    }

    /// When an output that is still open behind Claude's end is given up.
    fn drained_at(&self) -> Option<u64> {
        self.exit.map(|(_, at)| at + DRAIN_MS)
    }

    /// Whether nothing that is still to be written stands against an end.
    fn may_end(&self) -> bool {
        self.record.blocked().is_none() || self.leaving.is_some()
    }
}

/// Bounds of Claude's lines.
fn line_limits(options: &Options) -> Limits {
    Limits::for_output(options.output_cap)
}
