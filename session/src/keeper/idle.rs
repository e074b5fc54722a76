//! Waiting for something to do, with little memory meanwhile.

use std::cell::Cell;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::Code;

/// Milliseconds without an event after which the keeper gives memory back.
const IDLE_MS: u64 = 1000;

/// Waits, and lets go of this program's code, of which an idle keeper needs little.
#[derive(Debug)]
pub(super) struct Idle {
    code: Code,
    /// Whether anything has happened since it was let go.
    is_awake: Cell<bool>,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self {
            // Without it the keeper only stays as large as it is.
            code: Code::find().unwrap_or_default(),
            is_awake: Cell::new(true),
        }
    }

    /// Waits for one of the descriptors, at most `left_ms`. Returns whose are ready: each source
    /// stands where its descriptor does.
    pub(super) fn wait<S>(
        &self,
        sources: Vec<S>,
        fds: &mut [PollFd<'_>],
        left_ms: Option<u64>,
    ) -> Vec<(S, PollFlags)> {
        if self.poll(fds, left_ms) == 0 {
            return Vec::new();
        }
        let seen = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let ready = sources.into_iter().zip(seen);
        ready.filter(|(_, flags)| !flags.is_empty()).collect()
    }

    /// Returns how many are ready.
    fn poll(&self, fds: &mut [PollFd<'_>], left_ms: Option<u64>) -> usize {
        let may_sleep = left_ms.is_none_or(|left_ms| left_ms > IDLE_MS);
        let mut count: i32 = 0;
        if self.is_awake.get() && may_sleep {
            let polled = poll(fds, within(IDLE_MS));
            count = polled.unwrap_or(0);
            if polled == Ok(0) {
                // Nothing between here and the next line may need more than a page or two.
                self.code.release();
                self.is_awake.set(false);
            }
        }
        if count == 0 {
            let left = left_ms.map_or(PollTimeout::NONE, within);
            // Interrupted: what there is to do is seen next time.
            count = poll(fds, left).unwrap_or(0);
        }
        if count > 0 {
            self.is_awake.set(true);
        }
        usize::try_from(count).unwrap_or(0)
    }
}

/// Milliseconds as `poll` takes them: it wakes after three weeks at the latest, for nothing.
fn within(milliseconds: u64) -> PollTimeout {
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}
