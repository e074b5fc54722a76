//! A kept connection to one DNS server by one protocol, which every query shares.
//!
//! A task of its own makes the connection. The task outlives the query that wanted it: on a slow
//! upstream the first query may give up waiting, and the next one finds the connection ready.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cib_upstream::client::{DialError, Dialer};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};

use crate::exchange::{ExchangeError, Request, SetupFault};
use crate::selection::Protocol;
use crate::server::DnsServer;
use crate::{doh, tcp53};

/// How many queries may wait for one connection.
const QUEUE: usize = 64;

/// Called after each failure to connect, even when no query waits for the connection any more.
pub(crate) type OnFailure = dyn Fn(&DialError) + Send + Sync;

/// Connects to DNS servers through the upstream.
pub(crate) struct Connector {
    pub(crate) dialer: Arc<Dialer>,
    on_failure: Box<OnFailure>,
    ca_bundle: PathBuf,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("dialer", &self.dialer)
            .finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(dialer: Arc<Dialer>, ca_bundle: PathBuf, on_failure: Box<OnFailure>) -> Self {
        Self {
            dialer,
            on_failure,
            ca_bundle,
            tls: OnceLock::new(),
        }
    }

    /// Made when it is first needed: the certificates are the largest thing in this process.
    fn tls(&self) -> Result<Arc<ClientConfig>, SetupFault> {
        if let Some(tls) = self.tls.get() {
            return Ok(Arc::clone(tls));
        }
        let tls = doh::client_config(&self.ca_bundle)?;
        Ok(Arc::clone(self.tls.get_or_init(|| tls)))
    }
}

/// A connection to one server by one protocol. It connects at the first query, and again at the
/// first query after it was closed.
#[derive(Debug)]
pub(crate) struct Connection {
    server: DnsServer,
    protocol: Protocol,
    current: Mutex<Option<mpsc::Sender<Request>>>,
}

impl Connection {
    pub(crate) fn new(server: DnsServer, protocol: Protocol) -> Self {
        Self {
            server,
            protocol,
            current: Mutex::new(None),
        }
    }

    /// Sends a query and waits for its reply, without a limit of time. A connection that the
    /// server closed while it was idle is replaced once.
    pub(crate) async fn ask(
        &self,
        connector: &Arc<Connector>,
        query: &[u8],
    ) -> Result<Vec<u8>, ExchangeError> {
        loop {
            let (sender, is_new) = self.sender(connector);
            let (answer, reply) = oneshot::channel();
            match sender.try_send(Request {
                query: query.to_vec(),
                answer,
            }) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => return Err(ExchangeError::Full),
                Err(mpsc::error::TrySendError::Closed(_)) => continue,
            }
            match reply.await {
                Err(_) if !is_new => continue,
                Err(_) => return Err(ExchangeError::Closed),
                Ok(reply) => return reply,
            }
        }
    }

    /// The way into the connection, and whether this call made it.
    fn sender(&self, connector: &Arc<Connector>) -> (mpsc::Sender<Request>, bool) {
        let mut current = self.lock();
        if let Some(sender) = current.as_ref().filter(|sender| !sender.is_closed()) {
            return (sender.clone(), false);
        }
        let (sender, requests) = mpsc::channel(QUEUE);
        tokio::spawn(run(
            Arc::clone(connector),
            self.server.clone(),
            self.protocol,
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
    connector: Arc<Connector>,
    server: DnsServer,
    protocol: Protocol,
    mut requests: mpsc::Receiver<Request>,
) {
    let connected = match (protocol, server.tcp()) {
        (Protocol::Tcp, Some(address)) => match connector.dialer.connect(&address.into()).await {
            Ok(stream) => return tcp53::drive(stream, requests).await,
            Err(error) => Err(ExchangeError::Dial(Arc::new(error))),
        },
        (Protocol::Tcp, None) => Err(ExchangeError::Closed),
        (Protocol::Https, _) => connect_doh(&connector, &server).await,
    };
    match connected {
        Ok(session) => session.drive(requests).await,
        Err(error) => {
            if let ExchangeError::Dial(error) = &error {
                (connector.on_failure)(error);
            }
            requests.close();
            while let Some(request) = requests.recv().await {
                // Whoever asked may have stopped waiting.
                let _ = request.answer.send(Err(error.clone()));
            }
        }
    }
}

async fn connect_doh(
    connector: &Connector,
    server: &DnsServer,
) -> Result<doh::Session, ExchangeError> {
    let (target, path) = server.https();
    let tls = connector
        .tls()
        .map_err(|fault| ExchangeError::Setup(Arc::new(fault)))?;
    let stream = connector
        .dialer
        .connect(&target)
        .await
        .map_err(|error| ExchangeError::Dial(Arc::new(error)))?;
    doh::Session::establish(stream, tls, &target, path)
        .await
        .map_err(|fault| ExchangeError::Setup(Arc::new(fault)))
}
