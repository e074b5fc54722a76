//! What every request can reach.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cib_protocol::session::SessionId;
use tokio::sync::watch;

use crate::auth::gate::Gate;
use crate::journal::hub::Hub;
use crate::metrics::Metrics;
use crate::sessions::init::Init;
use crate::sessions::store::Store;
use crate::stream::size::{Act, Client, Size, Sizes};

/// Version of the box.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Tells when the control plane has to end.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Waits until it has to.
    pub async fn begun(&mut self) {
        // An error means that the application is gone, and everything with it.
        let _ = self.0.wait_for(|begun| *begun).await;
    }
}

/// How old the answer to [`App::is_well`] may be.
const WELLNESS: Duration = Duration::from_secs(1);

/// The control plane. It holds nothing that a restart would lose, but who is connected.
#[derive(Debug)]
pub struct App {
    /// Empty, or `headless`.
    pub mode: String,
    /// Directories in which a session may work.
    pub roots: Vec<PathBuf>,
    /// How long a stream is silent before it says that it lives.
    pub heartbeat: Duration,
    /// The sessions on the disk.
    pub store: Store,
    /// Their journals.
    pub hub: Hub,
    /// The box's init.
    pub init: Init,
    /// Who may come in.
    pub gate: Gate,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    shutdown: watch::Sender<bool>,
    wellness: Mutex<Option<(Instant, bool)>>,
    clients: AtomicU64,
    sizes: Mutex<HashMap<SessionId, Sizes>>,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        mode: String,
        roots: Vec<PathBuf>,
        heartbeat: Duration,
        store: Store,
        init: Init,
        gate: Gate,
    ) -> Arc<Self> {
        Arc::new(Self {
            mode,
            roots,
            heartbeat,
            hub: Hub::new(store.sessions()),
            store,
            init,
            gate,
            metrics: Arc::default(),
            shutdown: watch::Sender::new(false),
            wellness: Mutex::default(),
            clients: AtomicU64::new(0),
            sizes: Mutex::default(),
        })
    }

    /// Whether sessions can be read and started. Everybody may ask that, so it is looked at
    /// once a second at most.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let mut wellness = self.wellness.lock().unwrap_or_else(PoisonError::into_inner);
        match *wellness {
            Some((at, is_well)) if at.elapsed() < WELLNESS => is_well,
            _ => {
                let is_well = self.store.is_readable() && self.init.is_listening();
                *wellness = Some((Instant::now(), is_well));
                is_well
            }
        }
    }

    /// Tells every stream to end.
    pub fn begin_shutdown(&self) {
        self.shutdown.send_replace(true);
    }

    /// Tells when every stream has to end.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.shutdown.subscribe())
    }

    /// A name for a client that connects.
    #[must_use]
    pub fn new_client(&self) -> Client {
        Client(self.clients.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes up what a client of a session did; the session is to be given the size returned.
    #[must_use]
    pub fn resize(&self, session: SessionId, act: Act) -> Option<Size> {
        let mut sessions = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let sizes = sessions.entry(session).or_default();
        let size = sizes.apply(act);
        if sizes.is_empty() {
            sessions.remove(&session);
        }
        size
    }
}
