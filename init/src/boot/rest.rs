//! PID 1 sleeps most of its life, and need not hold then what booting took.

use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::pause::Timer;
use crate::sys::memory::Program;

/// So long nothing has to have happened before memory is given back.
const QUIET: Duration = Duration::from_millis(200);

static PROGRAM: OnceLock<Program> = OnceLock::new();
static DUE: AtomicBool = AtomicBool::new(false);

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
    if DUE.swap(false, Ordering::Relaxed)
        && let Some(program) = PROGRAM.get()
    {
        program.rest();
    }
}
