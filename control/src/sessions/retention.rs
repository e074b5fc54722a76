//! Purging what ended long ago (`CIB_SESSION_RETENTION`).
//!
//! Nothing that is purged comes back, so what says how old something is has to be believed first:
//! the journal's own times, which nobody but the keeper writes, and a clock that has kept pace.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cib_protocol::session::{Program, SessionId, SessionMeta};
use cib_protocol::time::Timestamp;

use super::purge::purge;
use super::revive;
use crate::app::App;
use crate::fault::{Code, Fault};

/// How often it is looked for what is old.
pub const INTERVAL: Duration = Duration::from_secs(3600);

/// How many are purged between two looks at most.
pub const PORTION: usize = 200;

/// The pause between two of them, in which others are served.
const BREATH: Duration = Duration::from_millis(20);

/// Milliseconds of the first of January 2026. There was no box before; whatever says so was
/// written by a clock that was wrong.
const EARLIEST: i64 = 1_767_225_600_000;

/// How much the clock may differ between two looks from what has passed.
const DRIFT: Duration = Duration::from_secs(300);

/// How long the box may have been away for its clock to be believed at once. A clock that is
/// wrong by less does not matter to what is kept for days.
const ABSENCE: Duration = Duration::from_secs(24 * 3600);

/// The file that says when the clock was believed last, in milliseconds.
const MARK: &str = "control/retention";

/// Whether a session ended so long ago that it is not kept any longer. One that is damaged was
/// looked at by nobody yet, and is kept.
#[must_use]
pub fn is_due(meta: &SessionMeta, now: Timestamp, kept: Duration) -> bool {
    if meta.state.is_live() || meta.damage.is_some() {
        return false;
    }
    let Some(ended) = meta.stopped_at.map(Timestamp::as_millis) else {
        return false;
    };
    let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    ended >= EARLIEST && now.as_millis().saturating_sub(ended) > kept
}

/// Those that are not kept any longer, the oldest first.
#[must_use]
pub fn due(sessions: &[SessionMeta], now: Timestamp, kept: Duration) -> Vec<SessionId> {
    let mut due: Vec<_> = sessions
        .iter()
        .filter(|meta| is_due(meta, now, kept))
        .map(|meta| (meta.stopped_at, meta.id))
        .collect();
    due.sort_unstable();
    due.into_iter().map(|(_, id)| id).collect()
}

/// The wall clock as this has seen it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// When it was believed last, in an earlier life.
    believed: Option<Timestamp>,
    /// What it said at the last look, and when that was.
    seen: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// A clock that was believed then, if ever.
    #[must_use]
    pub fn new(believed: Option<Timestamp>) -> Self {
        Self {
            believed,
            seen: None,
        }
    }

    /// Whether it can be gone by: since the last look it has moved as time has, or, at the first
    /// look, it is not far ahead of where an earlier life left it. A clock that has stepped has to
    /// keep pace until the next look before anything is lost by it.
    #[must_use]
    pub fn is_believed(&mut self, wall: Timestamp, now: Instant) -> bool {
        let is_sane = wall.as_millis() >= EARLIEST;
        let ahead = |earlier: Timestamp| wall.as_millis().saturating_sub(earlier.as_millis());
        let is_steady = match self.seen {
            Some((then, at)) => {
                let passed = now.saturating_duration_since(at);
                ahead(then).abs_diff(millis(passed)) <= DRIFT.as_millis() as u64
            }
            None => self
                .believed
                .is_some_and(|then| (0..=millis(ABSENCE)).contains(&ahead(then))),
        };
        self.seen = Some((wall, now));
        is_sane && is_steady
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Sessions and shells that were purged.
    pub purged: u64,
    /// Bytes that this freed.
    pub freed: u64,
    /// Those that could not be purged, and what is said of the first.
    pub failed: u64,
    /// What was wrong with the first of them.
    pub why: Option<String>,
}

/// Keeps sessions for so long and no longer, for as long as this runs.
pub async fn keep(app: Arc<App>, kept: Duration, data: PathBuf) {
    // What was cut off ends, for its journal, when its record is closed.
    revive::wait_for_records(&app).await;
    let mark = data.join(MARK);
    let mut clock = Clock::new(believed(&mark));
    loop {
        let now = Timestamp::now();
        if clock.is_believed(now, Instant::now()) {
            if let Err(error) = fs::write(&mark, now.as_millis().to_string()) {
                tracing::warn!(%error, "when the clock was believed is not remembered");
            }
            tell(&pass(&app, now, kept).await);
        } else {
            tracing::info!("nothing is purged until the clock has kept pace for an hour");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// When a file says that the clock was believed last.
#[must_use]
pub fn believed(mark: &Path) -> Option<Timestamp> {
    let millis = cib_foreign::own::read_to_string(mark)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Timestamp::from_millis(millis))
}

/// Purges a portion of what is not kept any longer.
pub async fn pass(app: &App, now: Timestamp, kept: Duration) -> Outcome {
    let mut outcome = Outcome::default();
    let mut left = PORTION;
    for program in [Program::Claude, Program::Shell] {
        let sessions = match app.store.list(program).await {
            Ok(sessions) => sessions,
            Err(fault) => {
                outcome.fail(&fault);
                continue;
            }
        };
        let due = due(&sessions, now, kept);
        for id in due.into_iter().take(left) {
            left -= 1;
            match one(app, program, id, now, kept).await {
                Ok(Some(freed)) => {
                    outcome.purged += 1;
                    outcome.freed = outcome.freed.saturating_add(freed);
                }
                Ok(None) => {}
                Err(fault) => {
                    outcome.fail(&fault);
                    // It is not this one's fault.
                    if matches!(fault.code(), Code::InitUnreachable | Code::NotNow) {
                        return outcome;
                    }
                }
            }
            tokio::time::sleep(BREATH).await;
        }
    }
    outcome
}

/// Purges one, if it is still what the list said. Init purges none that lives.
async fn one(
    app: &App,
    program: Program,
    id: SessionId,
    now: Timestamp,
    kept: Duration,
) -> Result<Option<u64>, Fault> {
    let meta = app.store.get(program, id).await?;
    if !is_due(&meta, now, kept) {
        return Ok(None);
    }
    Ok(Some(purge(app, program, id).await?.freed))
}

impl Outcome {
    fn fail(&mut self, fault: &Fault) {
        self.failed += 1;
        self.why.get_or_insert_with(|| fault.to_string());
    }
}

fn tell(outcome: &Outcome) {
    let Outcome {
        purged,
        freed,
        failed,
        why,
    } = outcome;
    if let Some(why) = why {
        tracing::warn!(purged, freed, failed, why, "what ended long ago was purged");
    } else if *purged > 0 {
        tracing::info!(purged, freed, "what ended long ago was purged");
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::session::State;
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn session(id: u128, state: State, ended: Option<i64>, damage: bool) -> SessionMeta {
        let id = SessionId::from_u128(id);
        let mut meta = cib_journal::fold::unknown(id, Timestamp::from_millis(0));
        meta.state = state;
        meta.stopped_at = ended.map(Timestamp::from_millis);
        meta.damage = damage.then(|| "a line is no frame".to_owned());
        meta
    }

    fn states() -> impl Strategy<Value = State> {
        prop::sample::select(vec![
            State::Starting,
            State::Idle,
            State::Working,
            State::WaitingForInput,
            State::Stopped,
            State::Failed,
            State::Interrupted,
        ])
    }

    proptest! {
        #[test]
        fn only_what_has_ended_before_is_picked_and_all_of_it_the_oldest_first(
            given in prop::collection::vec(
                (states(), prop::option::of(-5 * HOUR..200 * HOUR), prop::bool::weighted(0.1)),
                0..40,
            ),
            now in -10 * HOUR..300 * HOUR,
            kept in 1_u32..100,
        ) {
            let sessions: Vec<_> = (0..)
                .zip(&given)
                .map(|(id, (state, ended, damage))| {
                    session(id, *state, ended.map(|at| EARLIEST + at), *damage)
                })
                .collect();
            let kept_ms = i64::from(kept) * HOUR;
            let now = EARLIEST + now;
            let picked = due(
                &sessions,
                Timestamp::from_millis(now),
                Duration::from_secs(3600) * kept,
            );
            for meta in &sessions {
                let ended = meta.stopped_at.map(Timestamp::as_millis);
                let is_old = ended.is_some_and(|at| at >= EARLIEST && now - at > kept_ms);
                let has_ended = !meta.state.is_live() && meta.damage.is_none();
                prop_assert_eq!(picked.contains(&meta.id), is_old && has_ended);
            }
            let end = |id: &SessionId| sessions.iter().find(|m| m.id == *id).unwrap().stopped_at;
            prop_assert!(picked.iter().map(end).is_sorted());
        }
    }

    #[test]
    fn a_clock_that_has_stepped_loses_nothing_until_it_has_kept_pace() {
        let start = Instant::now();
        let at = |hours: i64| Timestamp::from_millis(EARLIEST + hours * HOUR);
        let after = |hours: u64| start + Duration::from_secs(hours * 3600);
        let mut clock = Clock::new(Some(at(1000)));
        assert!(clock.is_believed(at(1020), after(0)), "a night's absence");
        assert!(clock.is_believed(at(1021), after(1)));
        assert!(!clock.is_believed(at(90_000), after(2)), "it stepped ahead");
        assert!(!clock.is_believed(at(1023), after(3)), "and back");
        assert!(clock.is_believed(at(1024), after(4)));
        assert!(!clock.is_believed(at(-400_000), after(5)), "a dead battery");
        assert!(
            !clock.is_believed(at(-399_999), after(6)),
            "is none to go by"
        );
        assert!(!clock.is_believed(at(1027), after(7)));
        assert!(clock.is_believed(at(1028), after(8)));
    }

    #[test]
    fn the_first_look_believes_no_clock_that_is_far_from_where_it_was_left() {
        let now = Instant::now();
        let later = now + INTERVAL;
        let at = |hours: i64| Timestamp::from_millis(EARLIEST + hours * HOUR);
        for believed in [None, Some(at(1)), Some(at(2000))] {
            let mut clock = Clock::new(believed);
            assert!(!clock.is_believed(at(1000), now), "{believed:?}");
            assert!(clock.is_believed(at(1001), later), "{believed:?}");
        }
    }
}
