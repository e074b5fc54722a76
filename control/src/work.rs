//! Work that may wait for a disk, done off the thread that serves.
//!
//! The threads are made before the server says that it is ready and live as long as it does: in a
//! box whose processes are all taken none could be made at the moment of need.
//!
//! Work that may go on for long is done in portions, and by half of the threads at most, so that
//! something short, such as the answer to whether the box is well, always finds one.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::fault::{Code, Fault};

/// Threads that work.
pub const THREADS: usize = 4;

/// A thread without work stays: for longer than any box lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(u32::MAX as u64);

/// Pieces of work that may wait or be done at once.
const PIECES: usize = 512;

/// Portions of long work that are done at once.
const LONG: usize = THREADS / 2;

/// How long a portion of long work goes on before the next in turn has its own.
const PORTION: Duration = Duration::from_millis(20);

/// How long work waits for its turn and for the disk.
pub const TURN: Duration = Duration::from_secs(10);

/// How long the threads have to come up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Taken by each piece of work until it is done.
static PLACES: Semaphore = Semaphore::const_new(PIECES);

/// Taken by each portion of long work, in the order in which they are asked for.
static TURNS: Semaphore = Semaphore::const_new(LONG);

#[derive(Default)]
struct Roll {
    present: usize,
    is_over: bool,
}

/// Makes the threads. Has to be called inside of the runtime, before anything else works.
///
/// # Errors
/// If not all of them can be made.
pub fn prepare() -> io::Result<()> {
    let roll = Arc::new((Mutex::new(Roll::default()), Condvar::new()));
    // The runtime makes a thread for work that finds all others busy, so each has to stay until
    // the last is there. It panics where it cannot make the first.
    let called = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..THREADS {
            let roll = Arc::clone(&roll);
            tokio::task::spawn_blocking(move || {
                let (state, changed) = &*roll;
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.present += 1;
                changed.notify_all();
                // Nobody calls the roll for ever.
                let _ = changed.wait_timeout_while(state, 2 * PATIENCE, |state| !state.is_over);
            });
        }
    }));
    let (state, changed) = &*roll;
    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut state, _) = changed
        .wait_timeout_while(state, PATIENCE, |state| {
            called.is_ok() && state.present < THREADS
        })
        .unwrap_or_else(PoisonError::into_inner);
    state.is_over = true;
    changed.notify_all();
    if state.present == THREADS {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            format!("only {} of {THREADS} threads could be made", state.present),
        ))
    }
}

/// Does a piece of work and waits for it.
///
/// # Errors
/// [`Code::Busy`] if too much work waits already, [`Code::Internal`] if it failed or panicked.
pub async fn run<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Fault>
where
    T: Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    let Ok(place) = PLACES.try_acquire() else {
        let detail = "more is asked of the box at once than its disk gives; try again";
        return Err(Fault::new(Code::Busy, detail).retry_after(Duration::from_secs(1)));
    };
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    done.await
        .map_err(Fault::internal)?
        .map_err(Fault::internal)
}

/// Does a portion of long work and waits for it. The work is told when it has to let others have
/// their turn.
///
/// # Errors
/// [`Code::Busy`] if its turn does not come or the disk does not answer in time.
pub async fn portion<T: Send + 'static>(
    work: impl FnOnce(Instant) -> T + Send + 'static,
) -> Result<T, Fault> {
    let done = async {
        let turn = TURNS.acquire().await.map_err(Fault::internal)?;
        run(move || {
            let _turn = turn;
            Ok::<_, Infallible>(work(Instant::now() + PORTION))
        })
        .await
    };
    in_time(done).await
}

/// Waits for work, but not for ever.
///
/// # Errors
/// [`Code::Busy`] if it takes longer than [`TURN`].
pub async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::time::timeout(TURN, work).await {
        Ok(done) => done,
        Err(_) => Err(Fault::new(
            Code::Busy,
            "the disk does not answer in time; try again later",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_is_a_fault_and_the_next_is_done() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(THREADS)
            .thread_keep_alive(KEEP_ALIVE)
            .build()
            .unwrap();
        runtime.block_on(async {
            prepare().unwrap();
            let broken = run(|| -> io::Result<()> { panic!("as the test wants") }).await;
            assert_eq!(broken.unwrap_err().code(), Code::Internal);
            assert_eq!(run(|| Ok::<_, io::Error>(7)).await.unwrap(), 7);
        });
        runtime.shutdown_background();
    }

    #[test]
    fn long_work_leaves_threads_to_what_is_short() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(THREADS)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (free, held) = std::sync::mpsc::channel::<()>();
            let held = Arc::new(Mutex::new(held));
            let long: Vec<_> = (0..4 * THREADS)
                .map(|_| {
                    let held = Arc::clone(&held);
                    tokio::spawn(portion(move |_| held.lock().unwrap().recv().unwrap_err()))
                })
                .collect();
            // It would wait for ever if all threads were taken.
            let short = in_time(run(|| Ok::<_, io::Error>(7))).await;
            drop(free);
            assert_eq!(short.unwrap(), 7);
            for work in long {
                work.await.unwrap().unwrap();
            }
        });
    }

    #[test]
    fn more_work_than_may_wait_is_refused_and_taken_again_afterwards() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let all = u32::try_from(PIECES).unwrap();
            let taken = PLACES.acquire_many(all).await.unwrap();
            let refused = run(|| Ok::<_, io::Error>(())).await.unwrap_err();
            assert_eq!(refused.code(), Code::Busy);
            assert_eq!(refused.retry_after_seconds(), Some(1));
            drop(taken);
            run(|| Ok::<_, io::Error>(())).await.unwrap();
        });
    }
}
