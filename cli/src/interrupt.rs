//! Ctrl-C, and being told to end, while something is being made that has to be taken away again.
//!
//! While a [`Watch`] lives, such a signal ends no process: it is kept, whatever waits for another
//! program stops waiting, and what was made is removed. The terminal sends it to this process
//! alone, because other programs have groups of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::failure::{Exit, Failure};

/// Whether signals are kept.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Whether one has come.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Whether something goes on that nothing interrupts.
static SHIELDED: AtomicBool = AtomicBool::new(false);

/// Whether this process was told to end, and what waits had better not.
#[must_use]
pub fn is_told() -> bool {
    TOLD.load(Ordering::Acquire) && !SHIELDED.load(Ordering::Acquire)
}

/// Keeps signals while it lives.
#[derive(Debug)]
pub struct Watch(SigSet);

impl Watch {
    /// From now on.
    ///
    /// # Errors
    /// The kernel does not let signals be held, or gives no thread.
    pub fn begin() -> std::io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        // Threads that are made from here on hold them as well; programs do not.
        set.thread_block()?;
        WATCHED.store(true, Ordering::Release);
        let name = "signals".to_owned();
        thread::Builder::new().name(name).spawn(move || {
            while set.wait().is_ok() {
                if !WATCHED.load(Ordering::Acquire) {
                    std::process::exit(Exit::Interrupted.code().into());
                }
                TOLD.store(true, Ordering::Release);
            }
        })?;
        Ok(Self(set))
    }

    /// What was made, unless this process was told to end meanwhile.
    ///
    /// # Errors
    /// It was told to, or nothing was made.
    pub fn outcome<T>(&self, made: Result<T, Failure>) -> Result<T, Failure> {
        if TOLD.load(Ordering::Acquire) {
            return Err(Failure::new(
                Exit::Interrupted,
                "interrupted, and nothing is left of it",
            ));
        }
        made
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.store(false, Ordering::Release);
        TOLD.store(false, Ordering::Release);
        // Ctrl-C ends the process again, by this thread or by the other.
        let _ = self.0.thread_unblock();
    }
}

/// Does what has to be done to its end, whoever wants to stop.
pub fn to_the_end<T>(work: impl FnOnce() -> T) -> T {
    let before = SHIELDED.swap(true, Ordering::AcqRel);
    let done = work();
    SHIELDED.store(before, Ordering::Release);
    done
}
