//! A kept connection to one DNS server by one way, shared by every query.
//!
//! The connection is made by a task of its own, which outlives the query that wanted it: on a
//! slow upstream the first query may give up waiting, and the next one finds it ready.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::ClientConfig;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::route::Way;
use super::server::DnsServer;
use super::{doh, tcp53};
use crate::client::{DialError, Dialer};

/// How many queries may wait for one connection.
const QUEUE: usize = 64;

/// Why a link gave no reply.
#[derive(Clone, Debug, Error)]
pub(super) enum LinkError {
    /// There is no connection.
    #[error("{0}")]
    Dial(Arc<DialError>),
    /// There is one, and it does not carry DNS.
    #[error("{0}")]
    Setup(Arc<doh::SetupFault>),
    /// It closed before the reply came.
    #[error("the connection closed")]
    Closed,
    /// Too many wait for it.
    #[error("too many queries wait for this server")]
    Full,
    /// The server answered with something that is no reply.
    #[error("{0}")]
    Answer(&'static str),
}

/// One query on its way.
pub(super) struct Request {
    /// The message, with id 0.
    pub(super) query: Vec<u8>,
    /// Where the reply goes.
    pub(super) answer: oneshot::Sender<Result<Vec<u8>, LinkError>>,
}

/// Told of every failure to connect, also of those that no query waits for any more.
pub(super) type OnFailure = dyn Fn(&DialError) + Send + Sync;

/// What all links need.
pub(super) struct Ground {
    pub(super) dialer: Arc<Dialer>,
    on_failure: Box<OnFailure>,
    ca_bundle: PathBuf,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground")
            .field("dialer", &self.dialer)
            .finish_non_exhaustive()
    }
}

impl Ground {
    pub(super) fn new(dialer: Arc<Dialer>, ca_bundle: PathBuf, on_failure: Box<OnFailure>) -> Self {
        Self {
            dialer,
            on_failure,
            ca_bundle,
            tls: OnceLock::new(),
        }
    }

    /// Made when it is first needed: the certificates are the largest thing in this process.
    fn tls(&self) -> Result<Arc<ClientConfig>, doh::SetupFault> {
        if let Some(tls) = self.tls.get() {
            return Ok(Arc::clone(tls));
        }
        let tls = doh::client_config(&self.ca_bundle)?;
        Ok(Arc::clone(self.tls.get_or_init(|| tls)))
    }
}

/// The place of one server and way. It connects when it is first asked, and again after the
/// connection was closed.
#[derive(Debug)]
pub(super) struct Link {
    server: DnsServer,
    way: Way,
    current: Mutex<Option<mpsc::Sender<Request>>>,
}

impl Link {
    pub(super) fn new(server: DnsServer, way: Way) -> Self {
        Self {
            server,
            way,
            current: Mutex::new(None),
        }
    }

    /// Sends a query and waits for its reply, without a limit of time. A connection that the
    /// server closed while it was idle is replaced once.
    pub(super) async fn ask(
        &self,
        ground: &Arc<Ground>,
        query: &[u8],
    ) -> Result<Vec<u8>, LinkError> {
        loop {
            let (sender, is_new) = self.sender(ground);
            let (answer, reply) = oneshot::channel();
            match sender.try_send(Request {
                query: query.to_vec(),
                answer,
            }) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => return Err(LinkError::Full),
                Err(mpsc::error::TrySendError::Closed(_)) => continue,
            }
            match reply.await {
                Err(_) if !is_new => continue,
                Err(_) => return Err(LinkError::Closed),
                Ok(reply) => return reply,
            }
        }
    }

    /// The way into the connection, and whether this call made it.
    fn sender(&self, ground: &Arc<Ground>) -> (mpsc::Sender<Request>, bool) {
        let mut current = self.lock();
        if let Some(sender) = current.as_ref().filter(|sender| !sender.is_closed()) {
            return (sender.clone(), false);
        }
        let (sender, requests) = mpsc::channel(QUEUE);
        tokio::spawn(run(
            Arc::clone(ground),
            self.server.clone(),
            self.way,
            requests,
        ));
        *current = Some(sender.clone());
        (sender, true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Request>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(
    ground: Arc<Ground>,
    server: DnsServer,
    way: Way,
    mut requests: mpsc::Receiver<Request>,
) {
    let connected = match (way, server.tcp()) {
        (Way::Tcp53, Some(address)) => match ground.dialer.connect(&address.into()).await {
            Ok(stream) => return tcp53::drive(stream, requests).await,
            Err(error) => Err(LinkError::Dial(Arc::new(error))),
        },
        (Way::Tcp53, None) => Err(LinkError::Closed),
        (Way::Doh, _) => connect_doh(&ground, &server).await,
    };
    match connected {
        Ok(session) => session.drive(requests).await,
        Err(error) => {
            if let LinkError::Dial(error) = &error {
                (ground.on_failure)(error);
            }
            requests.close();
            while let Some(request) = requests.recv().await {
                // Whoever asked may have stopped waiting.
                let _ = request.answer.send(Err(error.clone()));
            }
        }
    }
}

async fn connect_doh(ground: &Ground, server: &DnsServer) -> Result<doh::Session, LinkError> {
    let (target, path) = server.https();
    let tls = ground
        .tls()
        .map_err(|fault| LinkError::Setup(Arc::new(fault)))?;
    let stream = ground
        .dialer
        .connect(&target)
        .await
        .map_err(|error| LinkError::Dial(Arc::new(error)))?;
    doh::Session::establish(stream, tls, &target, path)
        .await
        .map_err(|fault| LinkError::Setup(Arc::new(fault)))
}
