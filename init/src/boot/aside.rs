//! Runs work that may have to wait for a disk in a thread of its own.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// More than any step needs.
const STACK: usize = 512 * 1024;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum AsideError {
    /// There is no thread or no memory left.
    #[error("no thread can be started")]
    Thread(#[source] io::Error),
    /// The panic itself was told already.
    #[error("it failed inside")]
    Panic,
}

/// Does something in a thread of its own and waits for what comes of it. Whoever gives up on
/// the way leaves the thread behind: nothing ends one that waits for a disk that is gone.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AsideError> {
    let (tell, told) = oneshot::channel();
    // Nobody listens any more if the step is overdue.
    let work = move || drop(tell.send(work()));
    let thread = thread::Builder::new().name("step".to_owned());
    let thread = thread.stack_size(STACK).spawn(work);
    drop(thread.map_err(AsideError::Thread)?);
    told.await.map_err(|_| AsideError::Panic)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_step_that_waits_for_ever_reaches_its_deadline_and_holds_nobody_up() {
        let (release, held) = mpsc::channel::<()>();
        let stuck = aside(move || held.recv());
        let others = async {
            assert_eq!(aside(|| 7).await.unwrap(), 7);
        };
        let deadline = timeout(Duration::from_millis(300), stuck);
        let (overdue, ()) = tokio::join!(deadline, others);
        assert!(overdue.is_err());
        drop(release);
    }
}
