//! A plain terminal: the journal, the socket and the end of a session, with the user's shell
//! where Claude would be.
//!
//! It knows bytes alone, so there is no driver. A shell that has ended cannot be continued;
//! its journal can still be read.

use std::env;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use cib_base::signals::Signals;
use cib_launcher::Event;
use cib_protocol::frame::{Data, Meta, PtyRaw, Status, Stop};
use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use cib_protocol::session::{SessionSpec, State};
use cib_protocol::time::Timestamp;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use super::clients::Clients;
use super::end::{KILLED, LAST_WRITE, NO_LAUNCHER, REAP, write_out};
use super::idle::Idle;
use super::record::Record;
use super::requests::{Refusal, sized};
use super::start::{Options, StartError, open_record, opening, prepare, say_ready, visit};
use super::{Clock, DRAIN_MS, READ, READS, limits};
use crate::claude::command::shell_environment;
use crate::claude::ending::{Act, Ending};
use crate::claude::pty::DEFAULT_SIZE;
use crate::claude::{self, Exit, Process, ReadOutcome};
use crate::journal::Journal;
use crate::lock::Lock;
use crate::runner::Runner;
use crate::{base64, meta};

/// Shells in the order in which they are tried behind the user's own (`SHELL`).
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// Why a shell is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Asked,
    Shutdown,
    Limit(&'static str),
    NoLauncher,
}

/// A running shell.
struct Shell {
    grace_ms: u64,
    record: Record,
    runner: Runner,
    program: Process,
    clients: Clients,
    signals: Signals,
    clock: Clock,
    idle: Idle,
    /// Columns and rows of the terminal.
    size: (u16, u16),
    leaving: Option<(Why, Ending)>,
    exit: Option<(Exit, u64)>,
    buffer: Box<[u8]>,
}

/// What `poll` watches.
#[derive(Clone, Copy, Debug)]
enum Source {
    Signals,
    Launcher,
    Listener,
    Stdin,
    Terminal,
    Client(usize),
}

/// Runs a shell to its end.
pub(super) fn run(spec: &SessionSpec, mut options: Options) -> Result<(), StartError> {
    let (signals, mut runner) = prepare(&mut options)?;
    let _session = Lock::session(&options.dir)?;
    // Somebody will start Claude in it by hand.
    let home = visit(&mut runner, spec, spec.id)?;
    let (mut journal, opened) = Journal::open(&options.dir, spec.id, options.sync)?;
    let earlier = meta::load(&options.dir, &mut journal)?;
    let mut now = meta::begin(spec, earlier, Timestamp::now());
    now.last_seq = journal.last_seq();
    let clock = Clock::new(&now.resources);
    let facts = Meta {
        workdir: Some(spec.workdir.display().to_string()),
        ..Meta::default()
    };
    let told = opening(facts, &now, opened.torn);
    let record = Record::new(journal, now, clock);
    let (mut record, clients) = open_record(record, told, &home, &options, clock)?;
    let path = program();
    let mut command = Command::new(&path);
    command.current_dir(&spec.workdir);
    command.env("TERM", "xterm-256color");
    command.env("COLORTERM", "truecolor");
    shell_environment(&mut command, spec);
    let size = spec.size.unwrap_or(DEFAULT_SIZE);
    let program = match runner.start_on_terminal(&command, size) {
        Ok(program) => program,
        Err(source) => {
            let why = "the shell cannot be started".to_owned();
            record.append(last_words(why, State::Failed, Some(source.to_string()), 0));
            record.flush(clock.now_ms());
            return Err(StartError::Claude {
                program: path,
                source,
            });
        }
    };
    record.append([sized(size), status(State::Idle, clock.now_ms())]);
    record.flush(clock.now_ms());
    let shell = Shell {
        grace_ms: options.grace_ms,
        record,
        runner,
        program,
        clients,
        signals,
        clock,
        idle: Idle::new(),
        size,
        leaving: None,
        exit: None,
        buffer: vec![0; READ].into_boxed_slice(),
    };
    say_ready(options.ready);
    if shell.run() {
        Ok(())
    } else {
        Err(StartError::Unwritten)
    }
}

/// The user's shell. It is interactive because it has a terminal; as a login shell it would
/// forget the box's `PATH`.
fn program() -> PathBuf {
    let own = env::var_os("SHELL").map(PathBuf::from);
    own.into_iter()
        .chain(SHELLS.map(PathBuf::from))
        .find(|shell| shell.is_absolute() && shell.is_file())
        .unwrap_or_else(|| SHELLS[1].into())
}

impl Shell {
    /// Runs until the shell has ended and everything about it is written. Returns whether it
    /// could be written.
    fn run(mut self) -> bool {
        while !self.is_over() {
            for (source, flags) in self.wait() {
                match source {
                    Source::Signals => self.signalled(),
                    // What there is to hear is heard in any case.
                    Source::Launcher => {}
                    Source::Listener => self.clients.accept(),
                    Source::Stdin => self.program.stdin.write(),
                    Source::Terminal => self.read(),
                    Source::Client(index) => self.serve(index, flags),
                }
            }
            self.ended();
            self.clients.sweep();
            if let Some(limit) = limits::reached(&self.record.meta, self.clock.run_ms()) {
                self.leave(Why::Limit(limit));
            }
            self.act();
            self.record.flush(self.clock.now_ms());
            self.wait_for_room();
        }
        self.conclude()
    }

    /// A time in which nothing can be written down, and so nothing is read, is none in which
    /// what a shell showed could have been read. Unless it has to end now.
    fn wait_for_room(&mut self) {
        if self.record.blocked().is_some()
            && self.leaving.is_none()
            && let Some((_, at)) = &mut self.exit
        {
            *at = self.clock.now_ms();
        }
    }

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
        if let Some(terminal) = self.program.stdin.wants_to_write() {
            sources.push(Source::Stdin);
            fds.push(PollFd::new(terminal.as_fd(), PollFlags::POLLOUT));
        }
        // What cannot be written down is not read either: the terminal keeps it.
        let reads = self.record.blocked().is_none();
        if let Some(terminal) = self.program.stdout.as_ref().filter(|_| reads) {
            sources.push(Source::Terminal);
            fds.push(PollFd::new(terminal.as_fd(), PollFlags::POLLIN));
        }
        for (index, (stream, flags)) in self.clients.interests().enumerate() {
            sources.push(Source::Client(index));
            fds.push(PollFd::new(stream.as_fd(), flags));
        }
        self.idle.wait(sources, &mut fds, self.left_ms())
    }

    /// Milliseconds until the next deadline.
    fn left_ms(&self) -> Option<u64> {
        if self.runner.has_events() {
            return Some(0);
        }
        let now_ms = self.clock.now_ms();
        let duration = limits::deadline(&self.record.meta)
            .map(|run_ms| run_ms.saturating_sub(self.clock.before_ms));
        let next = [
            duration.filter(|_| self.leaving.is_none()),
            self.leaving.and_then(|(_, ending)| ending.deadline()),
            self.record.deadline(),
            self.exit.map(|(_, at)| at + DRAIN_MS),
        ];
        let next = next.into_iter().flatten().min()?;
        Some(next.saturating_sub(now_ms))
    }

    /// Reads what the terminal shows, and writes each portion down before the next.
    fn read(&mut self) {
        for _ in 0..READS {
            let Some(terminal) = &mut self.program.stdout else {
                return;
            };
            match claude::read(terminal, &mut self.buffer) {
                ReadOutcome::Nothing => return,
                ReadOutcome::Bytes(count) => {
                    let data = base64::encode(&self.buffer[..count]);
                    self.record.append([Data::PtyRaw(PtyRaw { data })]);
                }
                ReadOutcome::End => self.program.stdout = None,
            }
            self.record.flush(self.clock.now_ms());
            if self.record.blocked().is_some() {
                return;
            }
        }
    }

    /// Serves a client that has something to say or takes its replies.
    fn serve(&mut self, index: usize, flags: PollFlags) {
        for request in self.clients.serve(index, flags, &mut self.buffer) {
            let reply = self.request(request).unwrap_or_else(Refusal::into_reply);
            self.record.flush(self.clock.now_ms());
            if let Some(client) = self.clients.get(index) {
                client.reply(&reply);
            }
        }
    }

    fn request(&mut self, request: KeeperRequest) -> Result<KeeperReply, Refusal> {
        let Some(request) = self.record.hear(request)? else {
            return Ok(KeeperReply::Done);
        };
        match request {
            KeeperRequest::Status => {
                return Ok(KeeperReply::Status(Box::new(self.record.meta.clone())));
            }
            KeeperRequest::Stop { kill } => {
                self.leave(Why::Asked);
                if let Some((_, ending)) = self.leaving.as_mut().filter(|_| kill) {
                    ending.hurry(self.clock.now_ms());
                }
                self.act();
            }
            KeeperRequest::SetTitle { title } => {
                self.record.append([Data::Meta(Meta {
                    title: Some(title),
                    ..Meta::default()
                })]);
            }
            KeeperRequest::Raw { data } => {
                self.check_stays()?;
                let bytes = base64::decode(&data)
                    .map_err(|error| Refusal::new(KeeperFault::BadRequest, error.to_string()))?;
                if self.program.stdin.is_full() {
                    let detail = "the terminal does not take its input; try again later";
                    return Err(Refusal::new(KeeperFault::Busy, detail));
                }
                self.program.stdin.send(&bytes);
            }
            KeeperRequest::Resize { cols, rows } => {
                self.check_stays()?;
                if cols == 0 || rows == 0 {
                    let detail = "a terminal has at least one column and one row";
                    return Err(Refusal::new(KeeperFault::BadRequest, detail));
                }
                self.program
                    .resize((cols, rows))
                    .map_err(|error| Refusal::new(KeeperFault::Ending, error.to_string()))?;
                if self.size != (cols, rows) {
                    self.size = (cols, rows);
                    self.record.append([sized(self.size)]);
                }
            }
            other => {
                if let KeeperRequest::Input { id: Some(id), .. } = other {
                    self.record.authors.forget(id);
                }
                let detail = "a shell has no Claude; type into it";
                return Err(Refusal::new(KeeperFault::WrongDriver, detail));
            }
        }
        Ok(KeeperReply::Done)
    }

    fn check_stays(&self) -> Result<(), Refusal> {
        if self.leaving.is_some() || self.exit.is_some() {
            return Err(Refusal::new(KeeperFault::Ending, "the shell is ending"));
        }
        Ok(())
    }

    fn signalled(&mut self) {
        for _ in self.signals.come() {
            self.leave(Why::Shutdown);
        }
    }

    fn ended(&mut self) {
        while let Some(event) = self.runner.event() {
            let now_ms = self.clock.now_ms();
            match event {
                Event::Exited { pid, code } if pid == self.program.pid => {
                    self.exit = Some((Exit { code }, now_ms));
                }
                Event::Exited { .. } => {}
                Event::Gone => {
                    self.leave(Why::NoLauncher);
                    self.exit.get_or_insert((KILLED, now_ms));
                }
            }
        }
    }

    fn leave(&mut self, why: Why) {
        if self.leaving.is_none() {
            let ending = Ending::in_order(self.clock.now_ms(), self.grace_ms);
            self.leaving = Some((why, ending));
            self.act();
        }
    }

    /// Does what is due of the ending. A shell is asked by a hang-up, which it passes on to
    /// its jobs; an interactive one does not hear SIGTERM.
    fn act(&mut self) {
        let now_ms = self.clock.now_ms();
        while let Some(act) = self
            .leaving
            .as_mut()
            .and_then(|(_, ending)| ending.due(now_ms))
        {
            let signal = match act {
                Act::Ask => Signal::SIGHUP,
                Act::Terminate => Signal::SIGTERM,
                Act::Kill => Signal::SIGKILL,
            };
            self.runner.signal_group(self.program.pid, signal);
        }
    }

    /// Whether the shell has ended and everything it showed has been read. Jobs that it left
    /// behind may hold the terminal open; they are not waited for.
    fn is_over(&self) -> bool {
        let writable = self.record.blocked().is_none() || self.leaving.is_some();
        let drained = self.exit.is_some_and(|(_, at)| {
            self.program.stdout.is_none() || self.clock.now_ms() >= at + DRAIN_MS
        });
        drained && writable
    }

    fn conclude(mut self) -> bool {
        self.runner.kill_everything(REAP);
        let code = self.exit.map(|(exit, _)| exit.code);
        let (state, reason) = match self.leaving.map(|(why, _)| why) {
            Some(Why::Shutdown) => (State::Interrupted, "shutdown".to_owned()),
            Some(Why::Limit(name)) => (State::Stopped, format!("limit {name}")),
            Some(Why::NoLauncher) => (State::Failed, NO_LAUNCHER.to_owned()),
            Some(Why::Asked) => (State::Stopped, "exit".to_owned()),
            // The code is that of the last command, which says nothing about the shell.
            None => match code {
                None | Some(0) => (State::Stopped, "exit".to_owned()),
                Some(code) => (State::Stopped, format!("exit {code}")),
            },
        };
        self.record.amend(|meta| meta.exit_code = code);
        let elapsed = self.clock.now_ms();
        self.record.append(last_words(reason, state, None, elapsed));
        write_out(&mut self.record, self.clock, Instant::now() + LAST_WRITE)
    }
}

fn status(state: State, elapsed_ms: u64) -> Data {
    Data::Status(Status { state, elapsed_ms })
}

fn last_words(reason: String, state: State, detail: Option<String>, elapsed_ms: u64) -> [Data; 2] {
    let stop = Stop {
        reason,
        last: true,
        detail,
        ..Stop::default()
    };
    [Data::Stop(stop), status(state, elapsed_ms)]
}
