//! The signals of the box, one after the other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use cib_bare::signal::SignalSet;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys::ready;
use crate::sys::signal::{self, Delivered, RECORD};

/// Every signal that this process gets. All of them must be blocked.
#[derive(Debug)]
pub struct Signals(AsyncFd<OwnedFd>);

impl Signals {
    /// Listens from now on; what was pending already is not lost.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let fd = signal::descriptor(SignalSet::ALL)?;
        Ok(Self(ready::watch(fd, Interest::READABLE)?))
    }

    /// Waits for the next one. May be dropped on the way without losing any.
    ///
    /// # Errors
    /// The kernel fails to tell, which it does not do to a descriptor that is open.
    pub async fn next(&self) -> io::Result<Delivered> {
        loop {
            let mut guard = self.0.readable().await?;
            let mut record = [0; RECORD];
            let read = guard.try_io(|fd| {
                let count = rustix::io::read(fd.get_ref().as_fd(), &mut record[..])?;
                Ok(count)
            });
            match read {
                Ok(Ok(RECORD)) => return Ok(signal::decode(&record)),
                Ok(Ok(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}
