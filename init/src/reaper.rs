//! Takes the death of every child, and tells whoever started it.
//!
//! Whoever starts a child registers its process id here before the reaper can run again: all
//! of it happens in one thread, and nothing between `fork` and the registration yields. So a
//! death always finds its owner, and a death without one is an orphan's.
//!
//! A process id is the child's only until it is reaped. Signals therefore go through this
//! table: one that is sent to a child whose death was already taken goes nowhere, even if the
//! number has a new owner by then.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use tokio::sync::{Notify, oneshot};

use crate::exit::Exit;
use crate::sys::{signal, wait};

/// Deaths that are taken before anything else gets its turn.
const BATCH: usize = 64;

/// A child, told apart from another that gets the same number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChildId {
    pid: i32,
    generation: u64,
}

impl ChildId {
    /// The process id.
    #[must_use]
    pub fn pid(self) -> u32 {
        self.pid.cast_unsigned()
    }
}

/// Whether there may be more deaths to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Nobody else is dead.
    Drained,
    /// The batch was full.
    Full,
}

/// The table of children. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reaper(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    table: RefCell<Table>,
    /// Rung after each batch in which somebody was dead.
    deaths: Notify,
}

#[derive(Debug, Default)]
struct Table {
    children: HashMap<i32, Entry>,
    generation: u64,
    orphans: u64,
}

#[derive(Debug)]
struct Entry {
    generation: u64,
    exit: oneshot::Sender<Exit>,
}

impl Reaper {
    /// Takes over a child that was started just now; its end comes out of the receiver.
    pub(crate) fn register(&self, pid: i32) -> (ChildId, oneshot::Receiver<Exit>) {
        let mut table = self.0.table.borrow_mut();
        table.generation += 1;
        let generation = table.generation;
        let (exit, receiver) = oneshot::channel();
        table.children.insert(pid, Entry { generation, exit });
        (ChildId { pid, generation }, receiver)
    }

    /// Signals a child, unless its death was taken already.
    ///
    /// # Errors
    /// The child is gone (`ESRCH`), or is no longer ours to signal (`EPERM`).
    pub fn signal(&self, child: ChildId, number: i32) -> io::Result<()> {
        self.send(child, child.pid, number)
    }

    /// Signals the whole process group that a child leads.
    ///
    /// # Errors
    /// As [`Reaper::signal`].
    pub fn signal_group(&self, child: ChildId, number: i32) -> io::Result<()> {
        self.send(child, -child.pid, number)
    }

    fn send(&self, child: ChildId, target: i32, number: i32) -> io::Result<()> {
        if !self.is_alive(child) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        signal::send(target, number)
    }

    /// Whether the child's death has not been taken.
    #[must_use]
    pub fn is_alive(&self, child: ChildId) -> bool {
        self.0
            .table
            .borrow()
            .children
            .get(&child.pid)
            .is_some_and(|entry| entry.generation == child.generation)
    }

    /// Children whose death has not been taken.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.0.table.borrow().children.len()
    }

    /// Orphans reaped so far.
    #[must_use]
    pub fn orphans(&self) -> u64 {
        self.0.table.borrow().orphans
    }

    /// Takes one batch of deaths and tells their owners. Never waits.
    pub fn reap(&self) -> Batch {
        let batch = self.take_batch();
        self.0.deaths.notify_waiters();
        batch
    }

    /// Waits until somebody has died after this was called.
    pub async fn death(&self) {
        self.0.deaths.notified().await;
    }

    /// Whether no process is left that this one would have to reap, dead ones included.
    #[must_use]
    pub fn is_childless(&self) -> bool {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        matches!(waitid(Id::All, look), Err(Errno::ECHILD))
    }

    fn take_batch(&self) -> Batch {
        for _ in 0..BATCH {
            match wait::any(WaitPidFlag::WNOHANG) {
                Ok(Some((pid, status))) => {
                    if let Some(exit) = ended(status) {
                        self.settle(pid, exit);
                    }
                }
                // Nobody is dead, or there is no child at all.
                Ok(None) | Err(_) => return Batch::Drained,
            }
        }
        Batch::Full
    }

    /// Takes deaths until nobody is dead, and lets others have their turn in between.
    pub async fn drain(&self) {
        while self.reap() == Batch::Full {
            tokio::task::yield_now().await;
        }
    }

    fn settle(&self, pid: i32, exit: Exit) {
        let mut table = self.0.table.borrow_mut();
        match table.children.remove(&pid) {
            // Whoever does not wait for its child does not want to know.
            Some(entry) => drop(entry.exit.send(exit)),
            None => table.orphans += 1,
        }
    }
}

/// How a process ended; `None` if it was only stopped or continued.
#[must_use]
pub fn ended(status: ExitStatus) -> Option<Exit> {
    if let Some(code) = status.code() {
        return Some(Exit::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)));
    }
    status.signal().map(Exit::Signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_has_a_new_owner_is_not_signalled_for_the_old_one() {
        let reaper = Reaper::default();
        // Our own number: a signal that went through would be delivered.
        let own = std::process::id().cast_signed();
        let (old, mut exit) = reaper.register(own);
        reaper.settle(own, Exit::Code(3));
        assert_eq!(exit.try_recv(), Ok(Exit::Code(3)));
        let (new, _exit) = reaper.register(own);
        assert!(!reaper.is_alive(old) && reaper.is_alive(new));
        let refused = reaper.signal(old, libc::SIGWINCH).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ESRCH));
        reaper.signal(new, libc::SIGWINCH).unwrap();
    }

    #[test]
    fn a_death_without_an_owner_is_an_orphans() {
        let reaper = Reaper::default();
        reaper.settle(12345, Exit::Code(0));
        assert_eq!((reaper.orphans(), reaper.alive()), (1, 0));
    }
}
