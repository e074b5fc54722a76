//! PID 1 sleeps most of its life, and need not hold then what booting took.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::pause::Timer;
use crate::sys::memory::Program;

/// So long nothing has to have happened before memory is given back.
const QUIET: Duration = Duration::from_millis(200);

/// After so long without it, whatever wakes the runtime counts as something that happened:
/// timers wake it as well, and none of them says so.
const LONG: Duration = Duration::from_secs(1);

static PROGRAM: OnceLock<Program> = OnceLock::new();
static DUE: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Who gives memory back, and when it last did.
    static LAST: RefCell<Option<(Stir, Instant)>> = const { RefCell::new(None) };
}

/// Knows that something happened. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Stir(Rc<Notify>);

impl Stir {
    /// Something happened.
    pub(super) fn stir(&self) {
        self.0.notify_one();
    }

    /// Has memory given back once after each thing that happened, when it has been quiet since.
    pub(super) async fn rest(self) {
        let Ok(program) = Program::of_this_process() else {
            return;
        };
        let _ = PROGRAM.set(program);
        let mut timer = Timer::new();
        LAST.with_borrow_mut(|last| *last = Some((self.clone(), Instant::now())));
        loop {
            self.0.notified().await;
            while self.stirs_again(&mut timer).await {}
            DUE.store(true, Ordering::Relaxed);
        }
    }

    /// Whether something happens before it has been quiet for long enough.
    async fn stirs_again(&self, timer: &mut Timer) -> bool {
        tokio::select! {
            () = self.0.notified() => true,
            () = timer.pause(QUIET) => false,
        }
    }
}

/// The runtime is about to sleep. Only here is memory given back: what runs between would
/// bring many a page in again at once.
pub(super) fn before_sleep() {
    let is_due = DUE.swap(false, Ordering::Relaxed);
    LAST.with_borrow_mut(|last| match last {
        Some((_, at)) if is_due => *at = Instant::now(),
        Some((stir, at)) if at.elapsed() >= LONG => {
            *at = Instant::now();
            stir.stir();
        }
        _ => {}
    });
    if is_due && let Some(program) = PROGRAM.get() {
        program.rest();
    }
}
