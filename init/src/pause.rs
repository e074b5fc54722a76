//! A timer for seconds and minutes that does not wake the runtime on the way.
//!
//! The runtime's own timer sorts what is far off coarsely and wakes to sort it anew, two or three
//! times on the way to a few seconds. Each time brings hundreds of kilobytes of the program in
//! again, of a box that does nothing. A timer of the kernel's wakes once. It takes a descriptor,
//! so it is for what waits in an idle box, not for deadlines.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys::ready;

/// A timer for one who waits again and again. It is kept, because the runtime would still have to
/// clear away behind one that was not when the box is to sleep.
#[derive(Debug)]
pub struct Timer(Option<AsyncFd<Kernels>>);

impl Timer {
    /// A timer of the kernel's, or of the runtime's where the kernel has none left. Must be called
    /// in the runtime.
    #[must_use]
    pub fn new() -> Self {
        Self(descriptor().ok())
    }

    /// Waits for so long. Whoever gives up has not waited: the next time is a new one.
    pub async fn pause(&mut self, length: Duration) {
        if let Some(timer) = &self.0
            && wait(timer, length).await.is_ok()
        {
            return;
        }
        tokio::time::sleep(length).await;
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

/// A timer of the kernel's, which the runtime knows by its number.
#[derive(Debug)]
struct Kernels(TimerFd);

impl AsRawFd for Kernels {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl ready::Steady for Kernels {}

fn descriptor() -> io::Result<AsyncFd<Kernels>> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
    ready::watch(Kernels(timer), Interest::READABLE)
}

async fn wait(timer: &AsyncFd<Kernels>, length: Duration) -> io::Result<()> {
    // None at all would switch the timer off.
    let once = Expiration::OneShot(length.max(Duration::from_nanos(1)).into());
    // Also forgets that a time that nobody waited for is over.
    timer.get_ref().0.set(once, TimerSetTimeFlags::empty())?;
    loop {
        let mut guard = timer.readable().await?;
        let over = guard.try_io(|timer| Ok(nix::unistd::read(&timer.get_ref().0, &mut [0; 8])?));
        if let Ok(done) = over {
            return done.map(|_| ());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn each_pause_lasts_as_long_as_it_says() {
        let mut timer = Timer::new();
        assert!(timer.0.is_some());
        for length in [0, 1, 30, 5].map(Duration::from_millis) {
            let began = Instant::now();
            timer.pause(length).await;
            assert!(began.elapsed() >= length);
        }
    }

    #[tokio::test]
    async fn a_pause_that_was_given_up_does_not_shorten_the_next() {
        let (mut timer, mut other) = (Timer::new(), Timer::new());
        let (long, short) = (Duration::from_millis(40), Duration::from_millis(20));
        tokio::select! {
            () = timer.pause(long) => panic!("the shorter one is over first"),
            () = other.pause(short) => {}
        }
        // Until the time that nobody waited for is over, and further.
        other.pause(long).await;
        let began = Instant::now();
        timer.pause(long).await;
        assert!(began.elapsed() >= long);
    }
}
