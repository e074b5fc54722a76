//! MQTT: the box at a broker, as another reader of its journals and caller of its routes.
//!
//! [`wire`] is the protocol as a function of bytes, [`bridge`] one connection, [`topics`] under which
//! names what is said, [`sources`] reads journals as the broker takes them, [`coalesce`]
//! joins what comes in pieces, [`positions`] remembers how
//! far it has them, [`commands`] puts what is asked there to the routes, [`sealed`] does so for devices
//! with a key of their own, [`pushes`] is what these have subscribed to, [`states`] and [`discovery`] say
//! what the box and its sessions are.
//!
//! The journal is the queue: nothing is kept for a broker that is away.

mod bridge;
mod coalesce;
mod commands;
mod discovery;
pub mod fuzz;
mod positions;
mod pushes;
mod sealed;
mod sources;
mod states;
mod topics;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cib_base::errors::chain;
use cib_base::log::Seldom;
use cib_https::{Client, HttpsError, Identity, Options};
use cib_protocol::mqtt::MqttSettings;
use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::app::App;
use crate::auth::store::OpenError;
use crate::feed::reader::SHUTTING_DOWN;
use crate::http::inside::Inside;
use bridge::Bridge;
use commands::Memory;
use positions::Positions;
use pushes::Pushes;
use wire::{Refusal, Speaks, Wire};

/// How long a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(20);

/// The first pause before the broker is tried again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The pause where trying again is of no use before something is changed.
const LONG: Duration = Duration::from_secs(300);

/// A connection that lasted so long was one.
const LASTED: Duration = Duration::from_secs(30);

static UNWANTED: Seldom = Seldom::new();
static BUSY: Seldom = Seldom::new();

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("it is not reached")]
    Reach(#[source] HttpsError),
    #[error("the connection broke")]
    Line(#[source] io::Error),
    #[error("it does not answer in time")]
    Late,
    #[error("{0}")]
    Protocol(String),
    #[error("it refuses the box{}", said(.0))]
    Refused(Refusal),
    /// It is told anew at the next connection.
    #[error("what the box does cannot be read now ({0})")]
    Unread(&'static str),
    #[error("the box ends")]
    Ending,
}

fn said(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Version => ": it does not speak this version of MQTT".to_owned(),
        Refusal::Never(why) | Refusal::Later(why) => format!(": {why}"),
    }
}

impl Broken {
    /// Why the box's own events ended.
    fn by(reason: &'static str) -> Self {
        match reason {
            SHUTTING_DOWN => Self::Ending,
            reason => Self::Unread(reason),
        }
    }

    /// Whether trying again is of no use before something is changed.
    fn lasts(&self) -> bool {
        match self {
            Self::Reach(error) => !error.is_passing() || is_certificate(error),
            Self::Refused(refusal) => matches!(refusal, Refusal::Never(_)),
            _ => false,
        }
    }

    /// The variable that it may be put right with.
    fn variable(&self) -> &'static str {
        match self {
            Self::Reach(HttpsError::Tls { .. } | HttpsError::Trust { .. }) => "CIB_MQTT_CA",
            Self::Reach(HttpsError::Identity(_)) => "CIB_MQTT_CERT",
            Self::Reach(HttpsError::Connect { .. } | HttpsError::Forbidden { .. }) => {
                "CIB_MQTT_URL, CIB_LAN"
            }
            _ => "CIB_MQTT_URL",
        }
    }
}

/// Whether a certificate is the reason, which does not pass by itself.
fn is_certificate(error: &HttpsError) -> bool {
    matches!(error, HttpsError::Tls { source, .. } if source.kind() == io::ErrorKind::InvalidData)
}

/// How it stands with the broker, for whoever asks.
#[derive(Debug, Default)]
pub struct Status {
    is_connected: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Status {
    /// Whether the broker has the box.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// What is wrong, in a sentence with the variable.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.slot().clone()
    }

    #[expect(clippy::unused_self, reason = "it is told where the others are")]
    fn unwanted(&self) {
        if let Some(times) = UNWANTED.happened() {
            tracing::warn!(
                times,
                "the MQTT broker lets the box not say what it says there"
            );
        }
    }

    #[expect(clippy::unused_self, reason = "it is told where the others are")]
    fn busy(&self) {
        if let Some(times) = BUSY.happened() {
            tracing::warn!(times, "more MQTT commands came than are taken at once");
        }
    }

    fn deaf(&self) {
        let why = "CIB_MQTT_URL: the broker lets the box not hear its commands; its rules have to \
                   allow the topics of docs/guides/mqtt.md";
        self.set(Some(why.to_owned()));
    }

    fn set(&self, trouble: Option<String>) {
        let mut slot = self.slot();
        if let Some(trouble) = &trouble
            && slot.as_ref() != Some(trouble)
        {
            tracing::warn!("{trouble}");
        }
        *slot = trouble;
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a bridge is set up with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the variables say.
    pub settings: MqttSettings,
    /// A proxy on the loopback that the broker is reached through.
    pub bridge: Option<std::net::SocketAddr>,
    /// Where people open the pages of this box.
    pub public_url: Option<String>,
    /// The certificates that are trusted if nothing is said: a file in PEM.
    pub bundle: PathBuf,
}

/// What every connection needs.
struct Desk {
    app: Arc<App>,
    inside: Inside,
    settings: MqttSettings,
    public_url: Option<String>,
    status: Arc<Status>,
    /// Another at each start.
    boot: String,
}

/// What is known from one connection to the next.
struct Known {
    positions: Positions,
    memory: Memory,
    pushes: Pushes,
}

/// Keeps the box at its broker, until it is dropped.
///
/// # Errors
/// If the file that says what the broker has cannot be used.
pub async fn run(app: Arc<App>, own: &Path, setup: Setup) -> Result<(), OpenError> {
    let Setup {
        settings,
        bridge,
        public_url,
        bundle,
    } = setup;
    let (host, port, prefix) = (&settings.host, settings.port, &settings.prefix);
    let broker = format!("{host}:{port}/{prefix}");
    let positions = Positions::open(&own.join("mqtt"), broker)?;
    let mut known = Known {
        positions,
        memory: Memory::default(),
        pushes: Pushes::default(),
    };
    let client = Client::new(Options {
        bridge,
        bundle,
        patience: CONNECT,
        ..Options::default()
    });
    let mut speaks = if settings.is_three {
        Speaks::Three
    } else {
        Speaks::Five
    };
    let desk = Desk {
        inside: Inside::new(&app),
        status: Arc::clone(&app.mqtt),
        app,
        settings,
        public_url,
        boot: Uuid::new_v4().simple().to_string(),
    };
    let mut pause = PAUSE.0;
    let mut shutdown = desk.app.shutdown();
    loop {
        let began = Instant::now();
        let attempt = attempt(&desk, &client, speaks, &mut known);
        let outcome = contained(attempt).await;
        desk.status.is_connected.store(false, Ordering::Relaxed);
        desk.app.metrics.at_broker(false);
        let wait = match outcome {
            Ok(()) | Err(Broken::Ending) => return Ok(()),
            Err(Broken::Refused(Refusal::Version)) if speaks == Speaks::Five => {
                tracing::info!("the MQTT broker does not speak MQTT 5; 3.1.1 is tried");
                speaks = Speaks::Three;
                continue;
            }
            Err(broken) => {
                // A broker that was restarted may speak another version now.
                if !desk.settings.is_three {
                    speaks = Speaks::Five;
                }
                desk.status.set(Some(format!(
                    "{}: the MQTT broker {}:{}: {}",
                    broken.variable(),
                    desk.settings.host,
                    desk.settings.port,
                    chain(&broken)
                )));
                if began.elapsed() >= LASTED {
                    pause = PAUSE.0;
                }
                let wait = if broken.lasts() { LONG } else { pause };
                pause = (pause * 2).min(PAUSE.1);
                wait
            }
        };
        tokio::select! {
            () = shutdown.begun() => return Ok(()),
            () = sleep(jittered(wait)) => {}
        }
    }
}

/// A connection, of which not even a fault of the box's own ends more than it: what a broker sends
/// is anybody's.
async fn contained(attempt: impl Future<Output = Result<(), Broken>>) -> Result<(), Broken> {
    let outcome = std::panic::AssertUnwindSafe(attempt).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(Broken::Protocol("it cannot be understood".to_owned())))
}

/// Not all boxes come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0];
    // Without randomness they do.
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.75 + f64::from(random[0]) / 1024.0)
}

async fn attempt(
    desk: &Desk,
    client: &Client,
    speaks: Speaks,
    known: &mut Known,
) -> Result<(), Broken> {
    let settings = &desk.settings;
    let topics = topics::Topics::new(&settings.prefix);
    let id = format!("cib-{}", settings.name());
    let wire = Wire::begin(speaks, settings, &id, &topics.status()).map_err(Broken::Refused)?;
    let dial = timeout(CONNECT, client.dial(&settings.host, settings.port));
    let stream = dial
        .await
        .map_err(|_| Broken::Late)?
        .map_err(Broken::Reach)?;
    if !settings.tls {
        return converse(desk, known, stream, wire).await;
    }
    let identity = Identity {
        roots: settings.ca.clone(),
        certificate: settings.certificate.clone(),
        key: settings.key.as_ref().map(|key| key.expose().to_owned()),
    };
    let secure = timeout(CONNECT, client.secure_as(&settings.host, stream, &identity));
    let stream = secure
        .await
        .map_err(|_| Broken::Late)?
        .map_err(Broken::Reach)?;
    converse(desk, known, stream, wire).await
}

async fn converse<S>(desk: &Desk, known: &mut Known, stream: S, wire: Wire) -> Result<(), Broken>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let bridge = Bridge::begin(desk, known, stream, wire).await?;
    desk.status.is_connected.store(true, Ordering::Relaxed);
    desk.app.metrics.at_broker(true);
    desk.status.set(None);
    tracing::info!(broker = desk.settings.host, "the MQTT broker has the box");
    let mut shutdown = desk.app.shutdown();
    bridge.run(&mut shutdown).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_box_stumbles_over_ends_the_connection_and_it_is_tried_again() {
        let heard: Vec<u8> = Vec::new();
        let attempt = async {
            assert!(!heard.is_empty(), "what it cannot be");
            Ok(())
        };
        let broken = contained(attempt).await.unwrap_err();
        assert!(matches!(broken, Broken::Protocol(_)) && !broken.lasts());
    }

    #[test]
    fn a_box_that_cannot_be_read_for_a_moment_comes_back_and_one_that_ends_does_not() {
        assert!(matches!(Broken::by(SHUTTING_DOWN), Broken::Ending));
        let broken = Broken::by("unavailable");
        assert!(matches!(broken, Broken::Unread("unavailable")) && !broken.lasts());
    }
}
