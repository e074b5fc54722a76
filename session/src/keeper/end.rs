//! How a session ends: why, in which order, and what is written about it.

use std::time::{Duration, Instant};

use cib_launcher::Event;
use cib_protocol::frame::{Data, Stop};
use cib_protocol::session::{Driver, State};
use nix::poll::{PollTimeout, poll};
use nix::sys::signal::Signal;

use super::driver::Driver as Drive;
use super::record::Record;
use super::{Clock, Keeper};
use crate::claude::Exit;
use crate::claude::ending::{Act, Ending};

/// How long processes that Claude left behind may take to go after SIGKILL.
pub(super) const REAP: Duration = Duration::from_secs(2);

/// How long the last frames are tried to be written when the journal is blocked.
pub(super) const LAST_WRITE: Duration = Duration::from_secs(2);

/// The pause between two of these tries.
const TRY: Duration = Duration::from_millis(50);

/// The end of everything that a launcher started when that is gone itself.
pub(super) const KILLED: Exit = Exit { code: 137 };

/// The reason of a session that ends for want of a launcher.
pub(super) const NO_LAUNCHER: &str = "the launcher of the session's processes ended";

/// Why a session is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A client asked for it.
    Asked,
    /// The keeper got a signal: the box is going down.
    Shutdown,
    /// A limit is reached.
    Limit(&'static str),
    /// Claude did not answer in time after its start.
    NoAnswer,
    /// Claude closed its output and lived on.
    ClosedOutput,
    /// The launcher is gone, and everything that it started with it.
    NoLauncher,
    /// Nobody can follow Claude's files.
    Unwatched,
    /// The session goes on with the other driver.
    Switch(Driver),
}

/// An ending under way.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) why: Why,
    ending: Ending,
}

impl Leaving {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.ending.deadline()
    }
}

impl Keeper {
    /// Begins to end the session, unless that has begun already.
    pub(super) fn leave(&mut self, why: Why) {
        if self.leaving.is_some() {
            return;
        }
        let now_ms = self.clock.now_ms();
        if why == Why::NoAnswer {
            self.waited_for = self.driver.waits_for();
        }
        let state = self.record.meta.state;
        self.record.amend(|meta| meta.ended_in = Some(state));
        self.answer_by = None;
        self.leaving = Some(Leaving {
            why,
            ending: Ending::in_order(now_ms, self.options.grace_ms),
        });
        self.act();
    }

    /// Ends the session without asking Claude.
    pub(super) fn leave_now(&mut self) {
        self.leave(Why::Asked);
        let now_ms = self.clock.now_ms();
        if let Some(leaving) = &mut self.leaving {
            leaving.ending.hurry(now_ms);
        }
        self.act();
    }

    /// Does what is due of the ending.
    pub(super) fn act(&mut self) {
        let now_ms = self.clock.now_ms();
        while let Some(act) = self.leaving.as_mut().and_then(|l| l.ending.due(now_ms)) {
            match act {
                Act::Ask => {
                    self.interrupt();
                    match self.driver.kind() {
                        Driver::Stream => self.claude.stdin.close(),
                        // The terminal interface takes it for "quit".
                        Driver::Tty => self.runner.signal(self.claude.pid, Signal::SIGINT),
                    }
                }
                Act::Terminate => self.runner.signal(self.claude.pid, Signal::SIGTERM),
                Act::Kill => self.runner.signal_group(self.claude.pid, Signal::SIGKILL),
            }
        }
    }

    /// Ends the running turn, if there is one.
    pub(super) fn interrupt(&mut self) {
        let state = self.driver.state();
        if matches!(state, State::Working | State::WaitingForInput) {
            let output = self.driver.interrupt(self.clock.now_ms());
            self.take(output);
        }
    }

    /// Reads the signals that have come.
    pub(super) fn signalled(&mut self) {
        for _ in self.signals.come() {
            self.leave(Why::Shutdown);
        }
    }

    /// Takes up which processes have ended.
    pub(super) fn ended(&mut self) {
        while let Some(event) = self.runner.event() {
            let now_ms = self.clock.now_ms();
            match event {
                Event::Exited { pid, code } if pid == self.claude.pid => {
                    self.exit = Some((Exit { code }, now_ms));
                }
                Event::Exited { pid, .. } => {
                    if let Drive::Tty(terminal) = &mut self.driver {
                        terminal.watch.ended(pid);
                    }
                }
                Event::Gone => {
                    self.leave(Why::NoLauncher);
                    self.exit.get_or_insert((KILLED, now_ms));
                }
            }
        }
    }

    /// Sees to it that somebody follows Claude's files as long as there is a Claude.
    pub(super) fn keep_watch(&mut self) {
        let Drive::Tty(terminal) = &mut self.driver else {
            return;
        };
        if self.exit.is_some() || self.leaving.is_some() || !terminal.watch.is_dead() {
            return;
        }
        if let Err(error) = terminal.watch.restart(&mut self.runner) {
            tracing::error!("nobody follows Claude's files: {error}");
            self.leave(Why::Unwatched);
        }
    }

    /// Writes how the session ended and leaves nothing running. Returns whether everything
    /// could be written.
    pub(super) fn conclude(mut self) -> bool {
        let last = self.driver.look(self.clock.now_ms());
        // The launcher goes on with it, should that not be enough.
        self.runner.kill_everything(REAP);
        if let Some(settings) = &self.command.settings {
            let _ = std::fs::remove_file(settings);
        }
        let deadline = Instant::now() + LAST_WRITE;
        self.hear_the_rest(deadline);
        self.take(last);
        let output = self.driver.ended(self.clock.now_ms());
        self.take(output);
        let exit = self.exit.map(|(exit, _)| exit);
        let asked = self.leaving.as_ref().map(|leaving| leaving.why);
        // A limit may have ended Claude before anybody has looked.
        let why = asked.or_else(|| self.meter.reached(&self.record.meta.limits).map(Why::Limit));
        let (state, mut reason) = verdict(why, exit);
        if let Some(waited_for) = &self.waited_for {
            let first = waited_for.lines().next().unwrap_or_default();
            reason = format!("{reason}: {first}");
        }
        let resources = self.meter.read_last(self.clock.now_ms());
        self.record.amend(|meta| meta.resources = resources);
        let detail = (state == State::Failed)
            .then(|| self.claude.complaints.text().or(self.waited_for.take()))
            .flatten();
        self.record
            .amend(|meta| meta.exit_code = exit.map(|exit| exit.code));
        self.record.append([Data::Stop(Stop {
            reason,
            last: true,
            detail,
            ..Stop::default()
        })]);
        let output = self.driver.set_state(state, self.clock.now_ms());
        self.record.append(output.frames);
        let is_written = self.write_the_end(deadline);
        // Not before: on a full disk it would give the journal a page of room in the middle of
        // what it has to say.
        self.conversation.clear_driver();
        is_written
    }

    /// Reads what Claude had said when it ended. A journal that was blocked has held it up in
    /// its pipe, and it must not be left out between frames that are written.
    fn hear_the_rest(&mut self, deadline: Instant) {
        while self.claude.stdout.is_some() {
            if self.record.blocked().is_some() {
                if Instant::now() >= deadline {
                    return;
                }
                pause(TRY);
                self.record.flush(self.clock.now_ms());
            } else if !self.read_claude() && self.record.blocked().is_none() {
                return;
            }
        }
    }

    /// Writes the last frames; returns whether that was possible before the deadline.
    fn write_the_end(&mut self, deadline: Instant) -> bool {
        // What Claude still has in its pipe has not been heard, so the end cannot be told.
        if self.record.blocked().is_some() && self.claude.stdout.is_some() {
            return false;
        }
        write_out(&mut self.record, self.clock, deadline)
    }
}

/// Writes the last frames, until the deadline also into a journal that cannot be written.
/// Returns whether all of them are on the disk.
pub(super) fn write_out(record: &mut Record, clock: Clock, deadline: Instant) -> bool {
    loop {
        record.flush(clock.now_ms());
        if !record.is_behind() {
            record.sync();
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        pause(TRY);
    }
}

/// The state and the reason that a session ends with.
fn verdict(why: Option<Why>, exit: Option<Exit>) -> (State, String) {
    match (why, exit.map(|exit| exit.code)) {
        (Some(Why::Asked), _) => (State::Stopped, "exit".to_owned()),
        (Some(Why::Shutdown), _) => (State::Interrupted, "shutdown".to_owned()),
        (Some(Why::Limit(name)), _) => (State::Stopped, format!("limit {name}")),
        (Some(Why::Switch(_)), _) => (State::Failed, "the driver cannot be changed".to_owned()),
        (Some(Why::NoAnswer), _) => (State::Failed, "no answer from Claude".to_owned()),
        (Some(Why::NoLauncher), _) => (State::Failed, NO_LAUNCHER.to_owned()),
        (Some(Why::Unwatched), _) => {
            let reason = "Claude's files cannot be followed";
            (State::Failed, reason.to_owned())
        }
        (Some(Why::ClosedOutput), _) => (State::Failed, "Claude closed its output".to_owned()),
        (None, None | Some(0)) => (State::Stopped, "exit".to_owned()),
        (None, Some(code)) => (State::Failed, format!("exit {code}")),
    }
}

/// Waits a moment; a signal ends it early.
fn pause(time: Duration) {
    let _ = poll(
        &mut [],
        PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_nobody_asked_for_is_a_failure_unless_its_code_is_zero() {
        let code = |code| Some(Exit { code });
        assert_eq!(verdict(None, code(0)), (State::Stopped, "exit".to_owned()));
        assert_eq!(verdict(None, code(1)), (State::Failed, "exit 1".to_owned()));
        assert_eq!(
            verdict(None, code(137)),
            (State::Failed, "exit 137".to_owned())
        );
    }

    #[test]
    fn an_end_that_was_asked_for_is_none_of_claudes_exit_code() {
        let killed = Some(Exit { code: 137 });
        assert_eq!(verdict(Some(Why::Asked), killed).0, State::Stopped);
        assert_eq!(verdict(Some(Why::Shutdown), killed).0, State::Interrupted);
        assert_eq!(
            verdict(Some(Why::Limit("max_turns")), killed),
            (State::Stopped, "limit max_turns".to_owned())
        );
    }
}
