//! PID 1 sleeps most of its life, and need not hold then what booting took.

use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

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
        loop {
            self.0.notified().await;
            while timeout(QUIET, self.0.notified()).await.is_ok() {}
            DUE.store(true, Ordering::Relaxed);
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
