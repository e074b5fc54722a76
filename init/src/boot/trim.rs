//! Giving memory back while the box is idle.
//!
//! PID 1 sleeps most of its life. Booting takes several times the memory that watching does, and
//! each wake-up brings pages of the program in again. A quarter of a second after the first thing
//! that happens, and once for all that happens within that time, both are given back.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::Notify;

use crate::pause::Timer;
use crate::sys::memory::Program;

/// From the first thing that happens until memory is given back.
const DELAY: Duration = Duration::from_millis(250);

#[derive(Clone, Copy)]
enum State {
    /// Nothing has happened since memory was given back.
    Trimmed,
    /// Something has happened, and the timer runs.
    Waiting,
    /// The timer is over.
    Due,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Trimmed) };
    static PROGRAM: RefCell<Program> = RefCell::default();
}
static WOKEN: Notify = Notify::const_new();

/// Has memory given back, again and again.
pub(super) async fn whenever_idle() {
    let mut timer = Timer::new();
    loop {
        WOKEN.notified().await;
        timer.pause(DELAY).await;
        // The stack may have grown since the last time. Without `/proc` all stays.
        PROGRAM.set(Program::of_this_process().unwrap_or_default());
        STATE.set(State::Due);
    }
}

/// The runtime is about to sleep, so something has happened. Only here is memory given back:
/// what runs in between would bring many a page in again at once.
pub(super) fn before_sleep() {
    match STATE.get() {
        State::Trimmed => {
            STATE.set(State::Waiting);
            WOKEN.notify_one();
        }
        State::Waiting => {}
        State::Due => {
            STATE.set(State::Trimmed);
            PROGRAM.with_borrow(Program::trim);
        }
    }
}
