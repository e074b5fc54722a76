//! Carries out the boot plan, and records what is done, how long it took and what it said.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cib_protocol::init::StepStatus;
use tokio::time::timeout;

use crate::plan::{OnFailure, Plan, Step, StepId};

/// The steps of this boot. Cheap to clone.
#[derive(Clone)]
pub struct Progress(Rc<RefCell<Vec<Record>>>);

struct Record {
    id: StepId,
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

/// A step failed without which there is no box.
#[derive(Debug, thiserror::Error)]
#[error("boot step `{step}` failed")]
pub struct Failed<E: Error + 'static> {
    /// Which.
    pub step: StepId,
    /// What the box exits with.
    pub code: u8,
    /// Why.
    #[source]
    pub source: E,
}

impl Default for Progress {
    fn default() -> Self {
        let record = |id| Record {
            id,
            state: State::Pending,
            detail: None,
        };
        Self(Rc::new(RefCell::new(StepId::ALL.map(record).into())))
    }
}

impl Progress {
    /// Carries out a plan: one step after the other, each once all that it needs are done or
    /// have nothing to do, and within its deadline. A step whose failure only degrades the box
    /// counts as done, and `degraded` is told. What was done before is not done again.
    ///
    /// # Errors
    /// The first step whose failure ends the box. Nothing that needs it was begun.
    pub async fn carry_out<E: Error + From<Overdue> + 'static>(
        &self,
        plan: &Plan,
        mut work: impl AsyncFnMut(StepId) -> Result<(), E>,
        mut degraded: impl FnMut(StepId, &E),
    ) -> Result<(), Failed<E>> {
        let mut settled = self.already_done();
        let mut left: Vec<&Step> = plan.steps.iter().collect();
        left.retain(|step| !settled.contains(&step.id));
        // A plan in which nothing comes next would need itself; a test proves there is none.
        while let Some(at) = left
            .iter()
            .position(|step| step.needs.iter().all(|need| settled.contains(need)))
        {
            let step = left.remove(at);
            if let Some(why) = &step.skipped {
                self.set(step.id, State::Skipped, Some(why.clone()));
            } else if let Err(source) = self.step(step, &mut work).await {
                match step.on_failure {
                    OnFailure::Ends { code } => {
                        let step = step.id;
                        return Err(Failed { step, code, source });
                    }
                    OnFailure::Degrades => degraded(step.id, &source),
                }
            }
            settled.insert(step.id);
        }
        Ok(())
    }

    async fn step<E: Error + From<Overdue>>(
        &self,
        step: &Step,
        work: &mut impl AsyncFnMut(StepId) -> Result<(), E>,
    ) -> Result<(), E> {
        let since = Instant::now();
        self.set(step.id, State::Running { since }, None);
        let outcome = match timeout(step.deadline, work(step.id)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Overdue(step.deadline).into()),
        };
        let took = since.elapsed();
        match &outcome {
            Ok(()) => self.set(step.id, State::Done { took }, None),
            Err(error) => {
                let detail = Some(error.to_string());
                self.set(step.id, State::Failed { after: took }, detail);
            }
        }
        outcome
    }

    fn already_done(&self) -> BTreeSet<StepId> {
        let records = self.0.borrow();
        let done = records
            .iter()
            .filter(|record| matches!(record.state, State::Done { .. }));
        done.map(|record| record.id).collect()
    }

    /// Notes a step that was done before there was a plan.
    pub fn done(&self, id: StepId, took: Duration) {
        self.set(id, State::Done { took }, None);
    }

    /// Notes that work of a step goes on beside those that come after it.
    pub fn goes_on(&self, id: StepId) {
        let since = Instant::now();
        self.set(id, State::Running { since }, None);
    }

    /// Adds what a person may want to know of a step.
    pub fn explain(&self, id: StepId, detail: String) {
        if let Some(record) = self.0.borrow_mut().iter_mut().find(|r| r.id == id) {
            record.detail = Some(detail);
        }
    }

    /// The steps that failed, in order.
    #[must_use]
    pub fn failed(&self) -> Vec<StepId> {
        let records = self.0.borrow();
        let failed = records
            .iter()
            .filter(|record| matches!(record.state, State::Failed { .. }));
        failed.map(|record| record.id).collect()
    }

    /// The steps as `cib-init status` shows them.
    #[must_use]
    pub fn status(&self) -> Vec<StepStatus> {
        self.0.borrow().iter().map(Record::status).collect()
    }

    fn set(&self, id: StepId, state: State, detail: Option<String>) {
        let mut records = self.0.borrow_mut();
        if let Some(record) = records.iter_mut().find(|record| record.id == id) {
            record.state = state;
            record.detail = detail.or(record.detail.take());
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
            name: self.id.name().to_owned(),
            state: state.to_owned(),
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            detail: self.detail.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
