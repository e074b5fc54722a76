//! When a turn is over, why, and what it used.
//!
//! The hook, the state file and the transcript tell the end of a turn within some tenths of a
//! second, in any order. It is told when the transcript's own mark of the end is in, or when
//! nothing has come for a moment.

use cib_protocol::frame::{By, Data, Stop};
use cib_protocol::limits::Usage;

/// Milliseconds to wait for the last words of a turn that seems to be over.
const LAST_WORDS_MS: u64 = 1500;

/// The turn that runs, if one does.
#[derive(Debug)]
pub(super) struct Turn {
    running: bool,
    /// Why it ended, as far as that is known.
    reason: Option<Reason>,
    /// When it is over at the latest.
    over_at: Option<u64>,
    /// Whether nothing more is to come.
    complete: bool,
    usage: Usage,
    /// The API message that was counted last; each of its blocks repeats its usage.
    counted: Option<String>,
    /// US dollars that the conversation has cost, as far as it was told.
    total_cost: f64,
    /// Who began it, once that is known.
    by: Option<By>,
    /// The user's messages that it answers.
    messages: Vec<String>,
}

/// An end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reason {
    name: &'static str,
    detail: Option<String>,
}

impl Turn {
    pub(super) fn new(total_cost: f64) -> Self {
        Self {
            running: false,
            reason: None,
            over_at: None,
            complete: false,
            usage: Usage::default(),
            counted: None,
            total_cost,
            by: None,
            messages: Vec::new(),
        }
    }

    /// A turn runs, or goes on after a hook did not let it end.
    pub(super) fn runs(&mut self) {
        self.running = true;
        self.reason = None;
        self.over_at = None;
        self.complete = false;
    }

    /// It answers a message of the user; one that was typed by hand has no id.
    pub(super) fn answers(&mut self, id: Option<String>) {
        self.by = Some(By::User);
        self.messages.extend(id);
    }

    /// The CLI begins one itself, if none runs that the user began.
    pub(super) fn is_own(&mut self) {
        if !self.running {
            self.by.get_or_insert(By::Claude);
        }
    }

    /// Whether a turn runs.
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// Its end was told, with the reason.
    pub(super) fn ends(&mut self, reason: &'static str, detail: Option<String>, now_ms: u64) {
        // An interrupt is told once, and a failure before the end that every turn has.
        if self.reason.is_none() {
            self.reason = Some(Reason {
                name: reason,
                detail,
            });
        }
        self.over_at.get_or_insert(now_ms + LAST_WORDS_MS);
    }

    /// The CLI is idle, whatever the reason.
    pub(super) fn seems_over(&mut self, now_ms: u64) {
        self.over_at.get_or_insert(now_ms + LAST_WORDS_MS);
    }

    /// The transcript's last line about it is in.
    pub(super) fn is_complete(&mut self, now_ms: u64) {
        self.complete = true;
        self.over_at.get_or_insert(now_ms);
    }

    /// The process is gone, and the turn with it.
    pub(super) fn process_ended(&mut self, now_ms: u64) {
        if self.running {
            self.ends("interrupted", None, now_ms);
        }
        self.is_complete(now_ms);
    }

    /// Counts an API message's usage once.
    pub(super) fn used(&mut self, message: &str, usage: Usage) {
        if self.counted.as_deref() != Some(message) {
            self.counted = Some(message.to_owned());
            self.usage.add(&usage);
        }
    }

    /// The CLI told what the whole conversation has cost.
    pub(super) fn costs(&mut self, total: f64) {
        self.usage.cost_usd += (total - self.total_cost).max(0.0);
        self.total_cost = self.total_cost.max(total);
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.over_at
    }

    /// The frames of its end, once it is over.
    pub(super) fn finish(&mut self, now_ms: u64) -> Option<Vec<Data>> {
        let over_at = self.over_at?;
        let settled = self.complete && self.reason.is_some();
        if !settled && now_ms < over_at {
            return None;
        }
        let reason = self.reason.take();
        let mut frames = Vec::new();
        let usage = std::mem::take(&mut self.usage);
        let messages = std::mem::take(&mut self.messages);
        let by = self.by.take();
        if self.running || usage != Usage::default() {
            frames.push(Data::Usage(usage));
        }
        if self.running {
            // Every end but an interrupt is told by a hook or by the transcript.
            let default = if self.complete {
                "turn_end"
            } else {
                "interrupted"
            };
            let (name, detail) = reason.map_or((default, None), |r| (r.name, r.detail));
            frames.push(Data::Stop(Stop {
                reason: name.to_owned(),
                last: false,
                detail,
                by: Some(by.unwrap_or(By::User)),
                messages,
                ..Stop::default()
            }));
        }
        self.running = false;
        self.over_at = None;
        self.complete = false;
        Some(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(frames: Option<Vec<Data>>) -> Vec<String> {
        let stops = frames
            .into_iter()
            .flatten()
            .filter_map(|frame| match frame {
                Data::Stop(stop) => Some(stop.reason),
                _ => None,
            });
        stops.collect()
    }

    #[test]
    fn a_turn_ends_when_hook_and_transcript_agree() {
        let mut turn = Turn::new(0.0);
        turn.runs();
        turn.ends("turn_end", None, 100);
        assert_eq!(turn.finish(200), None);
        turn.is_complete(250);
        assert_eq!(reasons(turn.finish(250)), ["turn_end"]);
        assert_eq!(turn.finish(9999), None);
    }

    #[test]
    fn a_turn_ends_after_a_moment_when_only_one_tells() {
        let mut turn = Turn::new(0.0);
        turn.runs();
        turn.seems_over(100);
        turn.ends("interrupted", None, 150);
        assert_eq!(turn.finish(100 + LAST_WORDS_MS - 1), None);
        assert_eq!(reasons(turn.finish(100 + LAST_WORDS_MS)), ["interrupted"]);
    }

    #[test]
    fn a_turn_that_a_hook_keeps_going_has_not_ended() {
        let mut turn = Turn::new(0.0);
        turn.runs();
        turn.ends("turn_end", None, 100);
        turn.runs();
        assert_eq!(turn.deadline(), None);
    }

    #[test]
    fn usage_is_counted_once_a_message() {
        let mut turn = Turn::new(1.0);
        turn.runs();
        let usage = Usage {
            output: 5,
            ..Usage::default()
        };
        turn.used("m1", usage);
        turn.used("m1", usage);
        turn.used("m2", usage);
        turn.costs(1.5);
        turn.ends("turn_end", None, 0);
        turn.is_complete(0);
        let frames = turn.finish(0).unwrap();
        let Data::Usage(told) = frames[0] else {
            panic!("{frames:?}");
        };
        assert_eq!((told.output, told.cost_usd), (10, 0.5));
    }
}
