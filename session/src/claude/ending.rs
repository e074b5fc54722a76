//! Ending a process in order: it is asked, then told, then killed.

/// Share of the time that asking may take; SIGTERM then has the rest before SIGKILL.
const ASKING_PERCENT: u64 = 40;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Interrupt the running turn and close the input.
    Ask,
    /// Send SIGTERM.
    Terminate,
    /// Send SIGKILL to everything.
    Kill,
}

/// How far an ending is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Begun,
    Asked,
    Terminated,
    Killed,
}

/// An ending with its deadlines, all in milliseconds on one monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    progress: Progress,
    terminate_at: u64,
    kill_at: u64,
}

impl Ending {
    /// An ending that may take `grace_ms`.
    #[must_use]
    pub fn in_order(now_ms: u64, grace_ms: u64) -> Self {
        Self {
            progress: Progress::Begun,
            terminate_at: now_ms + grace_ms * ASKING_PERCENT / 100,
            kill_at: now_ms + grace_ms,
        }
    }

    /// An ending that kills at once.
    #[must_use]
    pub fn at_once(now_ms: u64) -> Self {
        Self {
            progress: Progress::Terminated,
            terminate_at: now_ms,
            kill_at: now_ms,
        }
    }

    /// Makes an ending that is under way kill at once.
    pub fn hurry(&mut self, now_ms: u64) {
        if self.progress != Progress::Killed {
            *self = Self::at_once(now_ms);
        }
    }

    /// What is due. Each act is given once; call again until there is none.
    pub fn due(&mut self, now_ms: u64) -> Option<Act> {
        let (act, progress) = match self.progress {
            Progress::Begun => (Act::Ask, Progress::Asked),
            Progress::Asked if now_ms >= self.terminate_at => {
                (Act::Terminate, Progress::Terminated)
            }
            Progress::Terminated if now_ms >= self.kill_at => (Act::Kill, Progress::Killed),
            Progress::Asked | Progress::Terminated | Progress::Killed => return None,
        };
        self.progress = progress;
        Some(act)
    }

    /// When something is due next; `None` after the last act.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        match self.progress {
            Progress::Begun => Some(0),
            Progress::Asked => Some(self.terminate_at),
            Progress::Terminated => Some(self.kill_at),
            Progress::Killed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(ending: &mut Ending, now_ms: u64) -> Vec<Act> {
        std::iter::from_fn(|| ending.due(now_ms)).collect()
    }

    #[test]
    fn a_process_is_asked_then_told_then_killed() {
        let mut ending = Ending::in_order(1000, 5000);
        assert_eq!(acts(&mut ending, 1000), [Act::Ask]);
        assert_eq!(ending.deadline(), Some(3000));
        assert_eq!(acts(&mut ending, 2999), []);
        assert_eq!(acts(&mut ending, 3000), [Act::Terminate]);
        assert_eq!(ending.deadline(), Some(6000));
        assert_eq!(acts(&mut ending, 6000), [Act::Kill]);
        assert_eq!(ending.deadline(), None);
        assert_eq!(acts(&mut ending, 9000), []);
    }

    #[test]
    fn hurry_skips_what_is_left_of_the_order() {
        let mut ending = Ending::in_order(0, 5000);
        assert_eq!(acts(&mut ending, 0), [Act::Ask]);
        ending.hurry(10);
        assert_eq!(acts(&mut ending, 10), [Act::Kill]);
        ending.hurry(20);
        assert_eq!(acts(&mut ending, 20), []);
    }
}
