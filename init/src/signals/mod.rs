//! Names signals, says which of them ask a box to end, and waits for those that a box takes.

mod name;

use std::io;

use cib_base::signals::Come;
use tokio::net::UnixStream;

pub use name::{name, parse};

/// The highest signal number.
pub const MAX: i32 = 64;
/// The lowest real-time signal that programs may use: the C library keeps 32 and 33.
pub const RTMIN: i32 = 34;

/// Whether a signal asks an init to end its box: what engines send, and what managers send that
/// take the box for a machine. `RTMIN+3` and those after it are halt, power off, reboot and kexec,
/// `RTMIN+13` and those after it the same at once (`systemd(1)`).
#[must_use]
pub fn asks_to_end(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGPWR
    ) || (RTMIN + 3..=RTMIN + 6).contains(&signal)
        || (RTMIN + 13..=RTMIN + 16).contains(&signal)
}

/// The signals that ask for an end, and the one that tells of deaths.
#[must_use]
pub fn of_a_box() -> Vec<i32> {
    let all = (1..=MAX).filter(|signal| asks_to_end(*signal));
    all.chain([libc::SIGCHLD]).collect()
}

/// Signals of this process, to be waited for in the runtime.
#[derive(Debug)]
pub struct Signals {
    taken: cib_base::signals::Signals,
    bell: UnixStream,
    come: Come,
}

impl Signals {
    /// Waits for these from now on; one that came while it was blocked is not lost. Must be
    /// called in the runtime.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn of(signals: &[i32]) -> io::Result<Self> {
        let mut taken = cib_base::signals::Signals::of(signals)?;
        Ok(Self {
            bell: UnixStream::from_std(taken.bell()?)?,
            come: taken.come(),
            taken,
        })
    }

    /// Waits for the next one and returns its number. May be dropped on the way without losing
    /// any.
    ///
    /// # Errors
    /// The kernel fails to tell, which it does not do to a descriptor that is open.
    pub async fn next(&mut self) -> io::Result<i32> {
        loop {
            if let Some(signal) = self.come.next() {
                return Ok(signal);
            }
            self.bell.readable().await?;
            // What rings after this is heard the next time.
            while self
                .bell
                .try_read(&mut [0; 64])
                .is_ok_and(|count| count > 0)
            {}
            self.come = self.taken.come();
        }
    }
}
