//! Whether a session does anything at all: something that stands still without an end is no work.

/// Milliseconds of CPU time in a minute that are no sign of work: whatever waits wakes up now and then.
const IDLE: u64 = 600;

/// How long a session has been quiet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet {
    since: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    seq: u64,
    cpu_ms: Option<u64>,
    at_ms: u64,
}

impl Quiet {
    /// Begins anew: it is not its turn to do anything.
    pub fn rest(&mut self) {
        self.since = None;
    }

    /// Takes a look: the seq of its last frame, the CPU time that it has used if that is known, and the
    /// time by a clock that nobody sets, in milliseconds. For how many milliseconds it has been quiet.
    pub fn look(&mut self, seq: u64, cpu_ms: Option<u64>, at_ms: u64) -> u64 {
        let now = Seen { seq, cpu_ms, at_ms };
        let seen = *self.since.get_or_insert(now);
        let quiet = at_ms.saturating_sub(seen.at_ms);
        let used = match (seen.cpu_ms, cpu_ms) {
            (Some(then), Some(now)) => now.saturating_sub(then),
            _ => 0,
        };
        // The first minute may have any part of the whole.
        let allowed = IDLE.saturating_mul(quiet / 60_000 + 1);
        if seq != seen.seq || used > allowed {
            self.since = Some(now);
            return 0;
        }
        // What is known only now counts from now on.
        if seen.cpu_ms.is_none() && cpu_ms.is_some() {
            self.since = Some(Seen { cpu_ms, ..seen });
        }
        quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn neither_output_nor_work_is_quiet_and_either_ends_it() {
        let mut quiet = Quiet::default();
        assert_eq!(quiet.look(7, Some(1000), 0), 0);
        assert_eq!(quiet.look(7, Some(1100), 5 * MINUTE), 5 * MINUTE);
        // A hundredth of a core all the time is no work.
        assert_eq!(
            quiet.look(7, Some(1000 + 600 * 14), 14 * MINUTE),
            14 * MINUTE
        );
        assert_eq!(quiet.look(8, Some(1000 + 600 * 15), 15 * MINUTE), 0);
        assert_eq!(quiet.look(8, None, 16 * MINUTE), MINUTE);
        // A compiler says nothing for long, and works.
        assert_eq!(quiet.look(8, Some(90_000), 17 * MINUTE), 0);
        assert_eq!(quiet.look(8, Some(90_000), 18 * MINUTE), MINUTE);
        quiet.rest();
        assert_eq!(quiet.look(8, Some(90_000), 60 * MINUTE), 0);
    }

    #[test]
    fn where_cpu_time_is_not_known_output_alone_counts() {
        let mut quiet = Quiet::default();
        assert_eq!(quiet.look(7, None, 0), 0);
        assert_eq!(quiet.look(7, None, 15 * MINUTE), 15 * MINUTE);
        assert_eq!(quiet.look(7, Some(5_000_000), 16 * MINUTE), 16 * MINUTE);
    }
}
