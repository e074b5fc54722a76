//! Hooks of others that run, and what waits for them.

use super::{Out, Tty};

/// Milliseconds for which a message may wait for a hook before that is told.
const HOOK_MS: u64 = 5000;

/// Hooks of others that run.
#[derive(Debug, Default)]
pub(super) struct Running(Vec<Run>);

/// A hook that runs.
#[derive(Debug)]
pub(super) struct Run {
    /// Names it.
    id: String,
    pub(super) event: String,
    pub(super) command: String,
}

impl Running {
    /// Runs remembered.
    const MAX: usize = 64;

    /// Longest text of a hook's that is repeated, in bytes.
    const MAX_TEXT: usize = 200;

    pub(super) fn begins(&mut self, id: String, mut event: String, mut command: String) {
        if self.0.len() < Self::MAX {
            for text in [&mut event, &mut command] {
                text.truncate(text.floor_char_boundary(Self::MAX_TEXT));
            }
            self.0.push(Run { id, event, command });
        }
    }

    pub(super) fn ends(&mut self, id: &str) {
        self.0.retain(|run| run.id != id);
    }

    /// The one that has run for longest.
    pub(super) fn first(&self) -> Option<&Run> {
        self.0.first()
    }

    /// One that the CLI waits for before it takes its first message.
    pub(super) fn at_start(&self) -> Option<&Run> {
        self.0.iter().find(|run| run.event == "SessionStart")
    }
}

/// A message that was submitted, and that the CLI holds up until a hook has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldUp {
    since: u64,
    is_told: bool,
}

impl HeldUp {
    /// When it is told.
    pub(super) fn deadline(self) -> Option<u64> {
        (!self.is_told).then_some(self.since + HOOK_MS)
    }
}

impl Tty {
    /// Since when a message waits for a hook, of which the CLI says nothing itself.
    #[must_use]
    pub fn held_up_since(&self) -> Option<u64> {
        self.held_up.map(|message| message.since)
    }

    /// Looks whether a message that was typed waits for a hook: the CLI takes none before those of
    /// its start have ended.
    pub(super) fn look_at_hooks(&mut self, now_ms: u64) {
        if self.hooks.at_start().is_none() {
            self.held_up = None;
        } else if self.held.is_none() && !self.expected.is_empty() {
            self.held_up.get_or_insert(HeldUp {
                since: now_ms,
                is_told: false,
            });
        }
    }

    /// Tells which hook keeps a message waiting.
    pub(super) fn tell_of_hook(&mut self, now_ms: u64, out: &mut Out) {
        let Some(message) = &mut self.held_up else {
            return;
        };
        if message.deadline().is_none_or(|at| now_ms < at) {
            return;
        }
        message.is_told = true;
        if let Some(why) = self.waits_for() {
            let note = format!("Claude takes no message yet: {why}");
            self.ledger.note(note, &mut out.frames);
        }
    }
}
