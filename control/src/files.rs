//! Coder's files, by way of `cib-files`, which has coder's rights and no others.
//!
//! What it answers is the agent's word. A reply has a limit of size and of time, has to be of the
//! kind that was asked for, and is written anew from its typed form; a name in it is shown and
//! never used. One that does not answer costs its own request.

pub mod ask;
pub mod conditions;
pub mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::{Code, Fault};

/// Requests at once; init starts a few more than that.
const PLACES: usize = 12;

/// Requests at once whose answers are large.
const LARGE: usize = 2;

/// Requests at once of tasks that may go on for long.
const TREES: usize = 4;

/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// The way to coder's files.
#[derive(Clone, Debug)]
pub struct Files {
    socket: PathBuf,
    most: u64,
    places: Arc<Semaphore>,
    large: Arc<Semaphore>,
    trees: Arc<Semaphore>,
}

impl Files {
    /// Asked on this socket, with files of at most so many bytes to be uploaded.
    #[must_use]
    pub fn new(socket: PathBuf, most: u64) -> Self {
        Self {
            socket,
            most,
            places: Arc::new(Semaphore::new(PLACES)),
            large: Arc::new(Semaphore::new(LARGE)),
            trees: Arc::new(Semaphore::new(TREES)),
        }
    }

    /// Bytes of the largest file that may be uploaded.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.most
    }

    async fn place(&self, is_large: bool) -> Result<OwnedSemaphorePermit, Fault> {
        let places = if is_large { &self.large } else { &self.places };
        let turn = tokio::time::timeout(TURN, Arc::clone(places).acquire_owned());
        match turn.await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Fault::new(
                Code::Busy,
                "too many requests for files are on their way",
            )),
        }
    }
}
