//! Plans that are carried out, in every order of luck.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::time::sleep;

use super::*;

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Overdue(#[from] Overdue),
    #[error("bad luck")]
    Luck,
}

const DEADLINE: Duration = Duration::from_secs(3);

/// A plan with the real steps and needs.
fn plan(degrading: &BTreeSet<StepId>, skipped: &BTreeSet<StepId>) -> Plan {
    let steps = StepId::ALL.map(|id| Step {
        id,
        what: String::new(),
        needs: id.needs(),
        deadline: DEADLINE,
        on_failure: if degrading.contains(&id) {
            OnFailure::Degrades
        } else {
            OnFailure::Ends { code: 42 }
        },
        skipped: skipped.contains(&id).then(|| "nothing to do".to_owned()),
    });
    Plan {
        steps: steps.into(),
        services: Vec::new(),
    }
}

fn states(progress: &Progress) -> BTreeMap<String, (String, Option<String>)> {
    let status = progress.status().into_iter();
    status
        .map(|step| (step.name, (step.state, step.detail)))
        .collect()
}

fn paused<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(work)
}

#[test]
fn a_step_that_hangs_fails_at_its_deadline_and_says_so() {
    let progress = Progress::default();
    let plan = plan(&BTreeSet::new(), &BTreeSet::new());
    let work = async |id| match id {
        StepId::Users => std::future::pending::<Result<(), Fault>>().await,
        _ => Ok(()),
    };
    let none = |_: StepId, _: &Fault| panic!("nothing degrades here");
    let failed = paused(progress.carry_out(&plan, work, none)).unwrap_err();
    assert_eq!((failed.step, failed.code), (StepId::Users, 42));
    assert!(matches!(failed.source, Fault::Overdue(_)));
    let states = states(&progress);
    let why = Some("it was not done within 3 s".to_owned());
    assert_eq!(states["users"], ("failed".to_owned(), why));
    assert_eq!(states["keys"].0, "pending");
}

#[test]
fn what_was_done_before_keeps_its_time_and_is_not_done_again() {
    let progress = Progress::default();
    progress.done(StepId::ReadConfig, Duration::from_millis(7));
    let plan = plan(&BTreeSet::new(), &BTreeSet::new());
    let work = async |id| {
        assert_ne!(id, StepId::ReadConfig);
        Ok::<_, Fault>(())
    };
    paused(progress.carry_out(&plan, work, |_, _| {})).unwrap();
    let first = progress.status().into_iter().next().unwrap();
    assert_eq!(
        (first.name.as_str(), first.elapsed_us),
        ("read-config", 7000)
    );
}

fn some_steps() -> impl Strategy<Value = BTreeSet<StepId>> {
    prop::collection::btree_set(prop::sample::select(StepId::ALL.to_vec()), 0..6)
}

proptest! {
    #[test]
    fn no_step_begins_before_its_needs_none_is_forgotten_and_failure_means_what_the_plan_says(
        failing in some_steps(), degrading in some_steps(), skipped in some_steps(),
        millis in prop::collection::vec(0_u64..5_000, StepId::ALL.len()),
    ) {
        let plan = plan(&degrading, &skipped);
        let progress = Progress::default();
        let ended = RefCell::new(skipped.clone());
        let told = RefCell::new(BTreeSet::new());
        let takes = |id: StepId| Duration::from_millis(millis[id as usize]);
        let work = async |id: StepId| {
            {
                let mut ended = ended.borrow_mut();
                assert!(id.needs().iter().all(|need| ended.contains(need)), "{id} is too early");
                // One that takes too long never comes to its end by itself.
                assert!(ended.insert(id), "{id} came twice, or though it is skipped");
            }
            sleep(takes(id)).await;
            if failing.contains(&id) { Err(Fault::Luck) } else { Ok(()) }
        };
        let degraded = |id: StepId, _: &Fault| { told.borrow_mut().insert(id); };
        let outcome = paused(progress.carry_out(&plan, work, degraded));
        let fails = |id: &StepId| {
            !skipped.contains(id) && (failing.contains(id) || takes(*id) > DEADLINE)
        };
        let fatal = StepId::ALL.iter().find(|id| fails(id) && !degrading.contains(id));
        prop_assert_eq!(outcome.as_ref().err().map(|failed| failed.step), fatal.copied());
        let states = states(&progress);
        for id in StepId::ALL {
            let came = fatal.is_none_or(|last| id <= *last);
            let expected = match () {
                () if !came => "pending",
                () if skipped.contains(&id) => "skipped",
                () if fails(&id) => "failed",
                () => "done",
            };
            prop_assert_eq!(&states[id.name()].0, expected, "{}", id);
            let degrades = came && fails(&id) && degrading.contains(&id);
            prop_assert_eq!(told.borrow().contains(&id), degrades);
        }
    }
}
