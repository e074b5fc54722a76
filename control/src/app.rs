//! What every request can reach.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cib_protocol::api::Disk;
use cib_protocol::init::BoxStatus;
use cib_protocol::session::{SessionId, SessionSpec};
use tokio::sync::watch;

use crate::auth::gate::Gate;
use crate::disks;
use crate::envelope::Envelope;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::files::Files;
use crate::forges::Forges;
use crate::journal::hub::Hub;
use crate::metrics::Metrics;
use crate::mqtt;
use crate::notices::Notices;
use crate::offers;
use crate::once::Once;
use crate::ports::grants::Grants;
use crate::prefs::Prefs;
use crate::providers::Providers;
use crate::publish::Publisher;
use crate::sessions::init::Init;
use crate::sessions::seats::Seats;
use crate::sessions::store::Store;
use crate::stream::size::{Act, Client, Size, Sizes};
use crate::talk::known::Known as Talks;
use crate::tasks::store::Tasks;
use crate::web::Web;
use crate::work;

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

/// How old an answer may be that everybody may ask for, or that is dear.
const FRESH: Duration = Duration::from_secs(1);

/// How old an answer about disks may be.
const DISKS: Duration = Duration::from_secs(10);

/// How long the disk and init have to answer before that is a fault.
const LOOK: Duration = Duration::from_millis(700);

/// How many sessions are purged at once.
const PURGES: usize = 2;

/// What was found out, and when.
type Known<T> = tokio::sync::Mutex<Option<(Instant, T)>>;

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
    /// Coder's files.
    pub files: Files,
    /// Forges that the box has an account at.
    pub forges: Forges,
    /// The tasks.
    pub tasks: Tasks,
    /// What publishes what they make.
    pub publisher: Arc<Publisher>,
    /// Who is told of what.
    pub notices: Notices,
    /// What clients keep with the box.
    pub prefs: Prefs,
    /// Others than Anthropic.
    pub providers: Providers,
    /// What Claude has to choose from.
    pub offers: offers::Known,
    /// Ports that were opened to browsers.
    pub grants: Grants,
    /// Who may come in.
    pub gate: Gate,
    /// The sealed sessions of devices.
    pub envelope: Envelope,
    /// Where signing out leads whom a reverse proxy signed in.
    pub logout_url: Option<String>,
    /// The pages, where there are any.
    pub web: Option<Web>,
    /// What changes in the box, for whoever listens.
    pub feed: Feed,
    /// What is not done twice.
    pub once: Arc<Once>,
    /// How it stands with the MQTT broker.
    pub mqtt: Arc<mqtt::Status>,
    /// Which sessions have had which conversations.
    pub talks: Talks,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    shutdown: watch::Sender<bool>,
    seats: Seats,
    wellness: Known<Result<(), String>>,
    status: Known<BoxStatus>,
    disks: Known<Vec<Disk>>,
    /// Held while a session is purged, which takes a place at init that others need.
    pub purges: tokio::sync::Semaphore,
    clients: AtomicU64,
    sizes: Mutex<HashMap<SessionId, Sizes>>,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    #[expect(
        clippy::too_many_arguments,
        reason = "each part is made elsewhere, once"
    )]
    pub fn new(
        mode: String,
        roots: Vec<PathBuf>,
        heartbeat: Duration,
        store: Store,
        init: Init,
        files: Files,
        forges: Forges,
        tasks: Tasks,
        publisher: Arc<Publisher>,
        notices: Notices,
        prefs: Prefs,
        providers: Providers,
        offers: offers::Known,
        gate: Gate,
        envelope: Envelope,
        seats: Seats,
        logout_url: Option<String>,
        web: Option<Web>,
    ) -> Arc<Self> {
        Arc::new(Self {
            mode,
            roots,
            heartbeat,
            hub: Hub::new(store.sessions()),
            store,
            init,
            files,
            forges,
            tasks,
            publisher,
            notices,
            prefs,
            providers,
            offers,
            grants: Grants::default(),
            gate,
            envelope,
            logout_url,
            web,
            feed: Feed::default(),
            once: Arc::default(),
            mqtt: Arc::default(),
            talks: Talks::default(),
            metrics: Arc::default(),
            shutdown: watch::Sender::new(false),
            seats,
            wellness: Known::default(),
            status: Known::default(),
            disks: Known::default(),
            purges: tokio::sync::Semaphore::new(PURGES),
            clients: AtomicU64::new(0),
            sizes: Mutex::default(),
        })
    }

    /// Whether sessions can be read and started; if not, a sentence that says why. Everybody
    /// may ask that, so it is looked at once a second at most, by one for all.
    ///
    /// # Errors
    /// The sentence.
    pub async fn wellness(&self) -> Result<(), String> {
        let mut known = self.wellness.lock().await;
        if let Some((at, wellness)) = &*known
            && at.elapsed() < FRESH
        {
            return wellness.clone();
        }
        let (store, init) = (self.store.clone(), self.init.clone());
        let look =
            work::run(move || Ok::<_, io::Error>((store.is_readable(), init.is_listening())));
        let wellness = match tokio::time::timeout(LOOK, look).await {
            Ok(Ok((true, true))) => Ok(()),
            Ok(Ok((false, _))) => Err("the sessions on the disk cannot be read".to_owned()),
            Ok(Ok((true, false))) => Err("init does not listen".to_owned()),
            Ok(Err(fault)) => Err(fault.detail().to_owned()),
            Err(_) => Err(format!(
                "the disk did not answer within {} ms",
                LOOK.as_millis()
            )),
        };
        *known = Some((Instant::now(), wellness.clone()));
        wellness
    }

    /// The box as init sees it, asked once a second at most.
    ///
    /// # Errors
    /// As [`Init::status`].
    pub async fn status(&self) -> Result<BoxStatus, Fault> {
        let mut known = self.status.lock().await;
        if let Some((at, status)) = &*known
            && at.elapsed() < FRESH
        {
            return Ok(status.clone());
        }
        let status = self.init.status().await?;
        *known = Some((Instant::now(), status.clone()));
        Ok(status)
    }

    /// How full the disks are, looked at every ten seconds at most; none if they do not answer.
    pub async fn disks(&self) -> Vec<Disk> {
        let mut known = self.disks.lock().await;
        if let Some((at, disks)) = &*known
            && at.elapsed() < DISKS
        {
            return disks.clone();
        }
        let mut folders = self.roots.clone();
        folders.push(self.store.sessions().to_owned());
        let look = work::run(move || Ok::<_, io::Error>(disks::of(&folders)));
        let disks = match tokio::time::timeout(LOOK, look).await {
            Ok(Ok(disks)) => disks,
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        *known = Some((Instant::now(), disks.clone()));
        disks
    }

    /// Starts a session or a shell, if there is a seat for it, and waits until it is ready.
    ///
    /// # Errors
    /// [`Code::TooManySessions`](crate::fault::Code::TooManySessions) or
    /// [`Code::TooManyShells`](crate::fault::Code::TooManyShells), or as [`Init::start`].
    pub async fn start(&self, spec: SessionSpec) -> Result<(), Fault> {
        let _seat = self.seats.take(&self.store, spec.program, spec.id).await?;
        let id = spec.id;
        self.init.start(spec).await?;
        self.feed.begun(id);
        Ok(())
    }

    /// Wakes who reads journals, until it is dropped.
    ///
    /// # Errors
    /// As [`Hub::run`].
    pub async fn watch(self: Arc<Self>) -> io::Result<()> {
        let (sessions, tasks) = (self.hub.clone(), self.tasks.hub.clone());
        tokio::try_join!(sessions.run(), tasks.run()).map(drop)
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
