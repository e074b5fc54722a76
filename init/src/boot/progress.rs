//! The boot plan as it is carried out: what is done, how long it took, what it said.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cib_protocol::init::StepStatus;
use tokio::time::timeout;

/// The steps of this boot. Cheap to clone.
#[derive(Clone, Default)]
pub struct Progress(Rc<RefCell<Vec<Record>>>);

struct Record {
    name: &'static str,
    state: State,
    detail: Option<String>,
}

enum State {
    Pending,
    Running { since: Instant },
    Done { took: Duration },
    Skipped,
    Failed { after: Duration },
}

/// A step that took too long.
#[derive(Debug, thiserror::Error)]
#[error("it was not done within {} s", .0.as_secs_f32())]
pub struct Overdue(pub Duration);

impl Progress {
    /// All steps of a plan, none begun.
    #[must_use]
    pub fn of(names: impl IntoIterator<Item = &'static str>) -> Self {
        let record = |name| Record {
            name,
            state: State::Pending,
            detail: None,
        };
        Self(Rc::new(RefCell::new(
            names.into_iter().map(record).collect(),
        )))
    }

    /// Carries out one step within its deadline and notes how it went.
    ///
    /// # Errors
    /// The step's own error, or that it was overdue.
    pub async fn step<T, E: From<Overdue> + std::fmt::Display>(
        &self,
        name: &'static str,
        deadline: Duration,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let since = Instant::now();
        self.set(name, State::Running { since }, None);
        let outcome = match timeout(deadline, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Overdue(deadline).into()),
        };
        match &outcome {
            Ok(_) => self.set(
                name,
                State::Done {
                    took: since.elapsed(),
                },
                None,
            ),
            Err(error) => {
                let after = since.elapsed();
                self.set(name, State::Failed { after }, Some(error.to_string()));
            }
        }
        outcome
    }

    /// Notes that a step has nothing to do, and why.
    pub fn skip(&self, name: &'static str, why: &str) {
        self.set(name, State::Skipped, Some(why.to_owned()));
    }

    /// Adds what a person may want to know of a step.
    pub fn explain(&self, name: &'static str, detail: String) {
        if let Some(record) = self.0.borrow_mut().iter_mut().find(|r| r.name == name) {
            record.detail = Some(detail);
        }
    }

    /// The steps as `cib-init status` shows them.
    #[must_use]
    pub fn status(&self) -> Vec<StepStatus> {
        self.0.borrow().iter().map(Record::status).collect()
    }

    fn set(&self, name: &'static str, state: State, detail: Option<String>) {
        let mut records = self.0.borrow_mut();
        match records.iter_mut().find(|record| record.name == name) {
            Some(record) => {
                record.state = state;
                record.detail = detail.or(record.detail.take());
            }
            None => records.push(Record {
                name,
                state,
                detail,
            }),
        }
    }
}

impl Record {
    fn status(&self) -> StepStatus {
        let (state, elapsed) = match self.state {
            State::Pending => ("pending", Duration::ZERO),
            State::Running { since } => ("running", since.elapsed()),
            State::Done { took } => ("done", took),
            State::Skipped => ("skipped", Duration::ZERO),
            State::Failed { after } => ("failed", after),
        };
        StepStatus {
            name: self.name.to_owned(),
            state: state.to_owned(),
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            detail: self.detail.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Fault(#[from] Overdue);

    #[tokio::test(start_paused = true)]
    async fn a_step_that_hangs_fails_at_its_deadline_and_says_so() {
        let progress = Progress::of(["users", "keys"]);
        let hang = std::future::pending::<Result<(), Fault>>();
        progress
            .step("users", Duration::from_secs(3), hang)
            .await
            .unwrap_err();
        let steps = progress.status();
        assert_eq!(
            (steps[0].state.as_str(), steps[1].state.as_str()),
            ("failed", "pending")
        );
        assert_eq!(
            steps[0].detail.as_deref(),
            Some("it was not done within 3 s")
        );
    }

    #[tokio::test]
    async fn a_step_that_is_done_keeps_its_place_and_its_time() {
        let progress = Progress::of(["users", "keys"]);
        let done = async { Ok::<_, Fault>(7) };
        assert_eq!(
            progress
                .step("keys", Duration::from_secs(3), done)
                .await
                .unwrap(),
            7
        );
        progress.skip("users", "not root");
        let states: Vec<_> = progress
            .status()
            .into_iter()
            .map(|s| (s.name, s.state))
            .collect();
        assert_eq!(
            states,
            [
                ("users".to_owned(), "skipped".to_owned()),
                ("keys".to_owned(), "done".to_owned())
            ]
        );
    }
}
