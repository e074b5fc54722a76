//! Running the server: from a checked configuration to the end.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use cib_base::signals::Signals;
use cib_forge::ForgesFault;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::app::App;
use crate::auth::accounts::Accounts;
use crate::auth::gate::{Gate, Mode};
use crate::auth::sign_ins::SignIns;
use crate::auth::tokens::{OpenError, TokenStore};
use crate::config::Config;
use crate::console;
use crate::envelope::Envelope;
use crate::files::Files;
use crate::forges::Forges;
use crate::http::limits::Limits;
use crate::http::{health, listen, server};
use crate::mqtt;
use crate::notices::{self, Notices};
use crate::prefs::Prefs;
use crate::providers::Providers;
use crate::publish::{Publisher, gate};
use crate::sessions::init::Init;
use crate::sessions::seats::Seats;
use crate::sessions::store::Store;
use crate::sessions::{retention, revive};
use crate::tasks;
use crate::tasks::store::Tasks;
use crate::web::Web;
use crate::{offers, sys, work};

/// How long the end waits until it is written down what is known of the sessions.
const KEEPING: Duration = Duration::from_secs(2);

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Accounts, sign-ins or device tokens cannot be used.
    #[error("who may come in is not known")]
    Known(#[from] OpenError),
    /// Accounts at forges cannot be used.
    #[error("the accounts at forges cannot be used")]
    Forges(#[from] ForgesFault),
    /// The address cannot be listened on.
    #[error("cannot listen on {listen:?}; is another server there?")]
    Listen {
        /// The address.
        listen: listen::Listen,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A socket that was to be passed in is not there.
    #[error("descriptor {fd} ({option}) is unusable")]
    Lent {
        /// The option that names it.
        option: &'static str,
        /// The descriptor.
        fd: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// There are no threads to read disks with.
    #[error("threads cannot be made; has the box reached its limit of processes?")]
    Threads(#[source] io::Error),
    /// A signal cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// Whoever waits for the server cannot be told that it listens.
    #[error("cannot write to descriptor {fd} (--ready-fd)")]
    Ready {
        /// The descriptor.
        fd: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Nobody watches the journals any more.
    #[error("journals cannot be watched")]
    Watch(#[source] io::Error),
}

/// Puts the application together. Opens who may come in, the tasks and the table of the pages, and
/// nothing else.
///
/// # Errors
/// If a file of those who may come in, or of accounts at forges, cannot be used.
pub fn assemble(config: &Config) -> Result<Arc<App>, RunError> {
    let own = config.data.join("control");
    let gate = Gate::new(
        config.auth.clone(),
        config.trusted.clone(),
        TokenStore::open(&own)?,
        Accounts::open(&own)?,
        SignIns::open(&own)?,
    );
    let forges = Forges::open(&config.forges, config.bridge)?;
    let publisher = publisher(config, forges.shared());
    let mut tasks = Tasks::open(&own.join("tasks"), config.max_sessions);
    tasks.pauses.clone_from(&config.claude_pauses);
    tasks.finding = config.finding;
    Ok(App::new(
        config.mode.clone(),
        config.roots.clone(),
        config.heartbeat,
        Store::new(&config.data, &config.runtime),
        Init::new(config.init_socket.clone()),
        Files::new(config.runtime.join("files/files.sock"), config.max_upload),
        forges,
        tasks,
        publisher,
        Notices::open(&own, config.notices.clone(), config.bridge)?,
        Prefs::new(&own),
        Providers::new(&own, config.bridge),
        offers::Known::open(&own, config.gateway),
        gate,
        envelope(config)?,
        Seats::new(config.max_sessions),
        config.logout_url.clone(),
        pages(config),
    ))
}

/// Serves until SIGTERM or SIGINT, then ends streams and requests in order.
///
/// # Errors
/// See [`RunError`].
pub async fn run(config: &Config) -> Result<(), RunError> {
    sys::keep_nothing_large();
    work::prepare().map_err(RunError::Threads)?;
    let app = assemble(config)?;
    let signals = Signals::of(&[libc::SIGTERM, libc::SIGINT]).map_err(RunError::Signals)?;
    let bell = signals.bell().and_then(UnixStream::from_std);
    let bell = bell.map_err(RunError::Signals)?;
    let limits = Limits {
        connections: connections(),
        ..Limits::default()
    };
    let listener = listener(config)?;
    let records = records(config)?;
    let answering = health(config, &listener, &app, limits)?;
    let console = console(config, &app)?;
    begin_accounts(config, &app).await;
    if let Ok(address) = listener.local_addr() {
        let _ = app.tasks.api.set(address);
        tracing::info!(%address, connections = limits.connections, "listening");
    }
    if let Some(fd) = config.ready_fd {
        announce(fd).map_err(|source| RunError::Ready { fd, source })?;
    }
    if config.resume {
        revive(&app, config);
    }
    let store = app.store.clone();
    tokio::spawn(async move {
        store.warm().await;
        store.keep().await;
    });
    if let Some(kept) = config.retention {
        tokio::spawn(retention::keep(Arc::clone(&app), kept, config.data.clone()));
    }
    if let Some(kept) = config.task_retention {
        let data = config.data.clone();
        tokio::spawn(tasks::clean::keep(Arc::clone(&app), kept, data));
    }
    if app.publisher.is_open() {
        let gits = gits(config, &app)?;
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            if let Err(error) = gate::serve(gits, app).await {
                tracing::error!(%error, "the box publishes nothing");
            }
        });
    }
    let going_on = Arc::clone(&app);
    tokio::spawn(async move {
        tasks::store::revive(&going_on).await;
        tasks::schedule::keep(going_on).await;
    });
    tokio::spawn(notices::run(Arc::clone(&app)));
    if let Some(bridge) = bridge(config, &app) {
        tokio::spawn(bridge);
    }
    let watching = Arc::clone(&app).watch();
    let serving = server::serve(listener, records, Arc::clone(&app), limits);
    tokio::pin!(serving);
    tokio::select! {
        _ = bell.readable() => {}
        _ = &mut serving => {}
        () = answering => {}
        () = console => {}
        watched = watching => watched.map_err(RunError::Watch)?,
    }
    tracing::info!("ending streams and requests");
    app.begin_shutdown();
    let keeping = tokio::time::timeout(KEEPING, app.store.save());
    let uses = async {
        app.gate.tokens().save().await?;
        app.gate.sign_ins().save().await
    };
    let (is_drained, saved, _) = tokio::join!(serving, uses, keeping);
    if !is_drained {
        tracing::warn!("some clients did not take their last event in time");
    }
    if let Err(error) = saved {
        tracing::warn!(%error, "when tokens and sign-ins were last used is forgotten");
    }
    Ok(())
}

/// The sealed sessions of devices, and what was published before where that is asked for.
fn envelope(config: &Config) -> Result<Envelope, RunError> {
    let envelope = Envelope::begin().map_err(OpenError::Random)?;
    if !config.aes_legacy {
        return Ok(envelope);
    }
    tracing::warn!("{}", crate::envelope::WARNING);
    Ok(envelope.with_earlier(&config.data.join("control")))
}

/// What keeps the box at its MQTT broker, if it has one.
#[must_use]
pub fn bridge(config: &Config, app: &Arc<App>) -> Option<impl Future<Output = ()> + Send + use<>> {
    let setup = mqtt::Setup {
        settings: config.mqtt.clone()?,
        bridge: config.bridge,
        public_url: config.public_url.clone(),
        bundle: config.notices.bundle.clone(),
    };
    let (app, own) = (Arc::clone(app), config.data.join("control"));
    Some(async move {
        if let Err(error) = mqtt::run(app, &own, setup).await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the box is not at its MQTT broker");
        }
    })
}

/// What publishes.
fn publisher(config: &Config, forges: Arc<cib_forge::Forges>) -> Arc<Publisher> {
    let mut publisher = Publisher::new(
        forges,
        config.secrets.clone(),
        config.data.join("control/git"),
        config.runtime.join("git/git.sock"),
        config.program.clone(),
    );
    publisher.pauses.clone_from(&config.pauses);
    publisher.bridge = config.bridge;
    publisher.large = config.large;
    publisher.most_pushed = config.most_pushed;
    publisher.public_url.clone_from(&config.public_url);
    Arc::new(publisher)
}

/// The pages, unless the box is to have none. Pages that cannot be used are no reason to have no
/// API.
fn pages(config: &Config) -> Option<Web> {
    let folder = config.web.as_ref()?;
    Web::open(folder).unwrap_or_else(|error| {
        let folder = folder.display();
        tracing::error!(%folder, error = &error as &dyn std::error::Error, "there are no pages");
        None
    })
}

/// The socket that the API is served on: init's, so that nobody else gets the port while this
/// process does not run, or one of its own.
fn listener(config: &Config) -> Result<TcpListener, RunError> {
    match config.listen_fd {
        Some(fd) => listen::lent(fd).map_err(|source| RunError::Lent {
            option: "--listen-fd",
            fd,
            source,
        }),
        None => listen::bind(config.listen).map_err(|source| RunError::Listen {
            listen: config.listen,
            source,
        }),
    }
}

/// The socket on which devices speak without HTTP, if there is to be one.
fn records(config: &Config) -> Result<Option<TcpListener>, RunError> {
    let Some(fd) = config.tcp_fd else {
        return Ok(None);
    };
    let listener = listen::lent(fd).map_err(|source| RunError::Lent {
        option: "--tcp-fd",
        fd,
        source,
    })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening for devices without HTTP");
    }
    Ok(Some(listener))
}

/// Answers those who ask for health; without a socket for that it waits for ever.
fn health(
    config: &Config,
    listener: &TcpListener,
    app: &Arc<App>,
    limits: Limits,
) -> Result<impl Future<Output = ()> + use<>, RunError> {
    let asked = config.health_fd.map(|fd| {
        let unusable = |source| RunError::Lent {
            option: "--health-fd",
            fd,
            source,
        };
        let socket = listen::lent_local(fd).map_err(unusable)?;
        let server = listener.as_fd().try_clone_to_owned().map_err(unusable)?;
        Ok::<_, RunError>(health::answer(socket, server, Arc::clone(app), limits))
    });
    let asked = asked.transpose()?;
    Ok(async move {
        match asked {
            Some(answering) => answering.await,
            None => std::future::pending().await,
        }
    })
}

/// Lets root change accounts; without a socket for that it waits for ever.
fn console(config: &Config, app: &Arc<App>) -> Result<impl Future<Output = ()> + use<>, RunError> {
    let socket = config.accounts_fd.map(|fd| {
        let unusable = |source| RunError::Lent {
            option: "--accounts-fd",
            fd,
            source,
        };
        listen::lent_local(fd).map_err(unusable)
    });
    let (socket, app) = (socket.transpose()?, Arc::clone(app));
    Ok(async move {
        match socket {
            Some(socket) => console::answer(socket, app).await,
            None => std::future::pending().await,
        }
    })
}

/// The socket on which coder's git asks: init's, so that it is there while this process is not, or
/// one of its own.
fn gits(config: &Config, app: &App) -> Result<UnixListener, RunError> {
    let (fd, bound) = match config.git_fd {
        Some(fd) => (fd, listen::lent_local(fd)),
        None => (0, listen::local(app.publisher.socket())),
    };
    bound.map_err(|source| RunError::Lent {
        option: "--git-fd",
        fd,
        source,
    })
}

/// Makes the administrator that the box is to begin with. A disk that is full is no reason to
/// have no API.
async fn begin_accounts(config: &Config, app: &App) {
    let Some(first) = &config.first_account else {
        return;
    };
    if matches!(config.auth, Mode::Disabled) {
        return;
    }
    match app.gate.accounts().begin(first).await {
        Ok(true) => tracing::info!(account = first.name, "the first account was made"),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "the first account could not be made"),
    }
}

/// Resumes in the background what the box's restart interrupted.
fn revive(app: &Arc<App>, config: &Config) {
    let mark = config.data.join("control/boot");
    let app = Arc::clone(app);
    match revive::boot_name() {
        Ok(boot) => {
            tokio::spawn(async move { revive::revive(app, &boot, &mark).await });
        }
        Err(error) => tracing::warn!(%error, "sessions are not resumed"),
    }
}

/// As many connections as there are descriptors for: a stream takes its socket, and every
/// journal that is read takes one file.
fn connections() -> usize {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
    let raised =
        getrlimit(RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of descriptors stays");
    }
    let descriptors = getrlimit(RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    let half = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
    half.saturating_sub(32)
        .clamp(16, Limits::default().connections)
}

/// Writes a newline to a descriptor that was passed in.
fn announce(fd: u32) -> io::Result<()> {
    // Opened anew through /proc, because taking over a number would be unsafe.
    std::fs::write(format!("/proc/self/fd/{fd}"), "\n")
}
