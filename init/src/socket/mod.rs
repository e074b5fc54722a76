//! Init's control socket: one request a line, one reply a line (`cib_protocol::init`).
//!
//! Whoever is in the box may connect, so nothing a client does may disturb the supervisor: a
//! line has an upper bound before it is parsed, a client has a time limit for each line, the
//! number of clients is bounded, for each user and in all, and a client that does not read its
//! reply is dropped.

pub mod client;
mod line;
mod rights;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use cib_protocol::MAX_INPUT_LINE;
use cib_protocol::MAX_LINE;
use cib_protocol::init::{InitFault, InitReply, InitRequest};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

pub use rights::{CONTROL_UID, Rights};

/// How long a client may take to send a line that it began, or to read a reply. Between
/// requests a connection may stay silent for as long as it likes.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one user at once. Control needs a handful.
const CLIENTS_OF_A_USER: usize = 16;
/// Connections in all.
const CLIENTS: usize = 64;

/// Who carries out what the socket understood.
pub trait Handler {
    /// Does what is asked. The peer's right to ask has been checked.
    fn handle(&self, request: InitRequest) -> impl Future<Output = InitReply>;
}

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}", path.display())]
pub struct ListenError {
    /// The socket.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// Opens the socket for everybody in the box; a socket left behind by a former run goes.
///
/// # Errors
/// The directory is not there, or is not ours.
pub fn listen(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError {
        path: path.to_owned(),
        source,
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Connecting takes the right to write. What a peer may ask is decided by who it is.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(path, mode).map_err(failed)?;
    Ok(listener)
}

/// Answers on the socket for ever. Runs in a `LocalSet`, for handlers that are not `Send`.
pub async fn serve<H: Handler + 'static>(listener: UnixListener, handler: Rc<H>) {
    let clients = Clients::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Ok(peer) = stream.peer_cred() else {
                    continue;
                };
                let Some(seat) = clients.seat(peer.uid()) else {
                    continue;
                };
                let handler = Rc::clone(&handler);
                tokio::task::spawn_local(async move {
                    converse(stream, peer.uid(), &*handler).await;
                    drop(seat);
                });
            }
            // No descriptor is left, or the client is gone already. Each of our own clients
            // has a bound, so this passes; the pause keeps it from being a busy loop.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Takes requests from one client until it goes, breaks a rule, or does not listen.
pub(crate) async fn converse<H: Handler>(stream: UnixStream, uid: u32, handler: &H) {
    let rights = Rights::of(uid);
    let longest = if rights.may_change() {
        MAX_INPUT_LINE
    } else {
        MAX_LINE
    };
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(4096, read);
    loop {
        let (reply, last) = match line::read(&mut read, longest, LINE_TIMEOUT).await {
            Ok(Some(text)) => (answer(&text, rights, handler).await, false),
            Ok(None) => return,
            Err(fault) => (refuse(InitFault::BadRequest, fault.to_string()), true),
        };
        let Ok(mut text) = serde_json::to_vec(&reply) else {
            return;
        };
        text.push(b'\n');
        let sent = timeout(LINE_TIMEOUT, write.write_all(&text)).await;
        if last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

async fn answer<H: Handler>(text: &[u8], rights: Rights, handler: &H) -> InitReply {
    match serde_json::from_slice::<InitRequest>(text) {
        Err(fault) => refuse(InitFault::BadRequest, fault.to_string()),
        Ok(request) if !rights.permit(&request) => refuse(
            InitFault::Forbidden,
            "only root and cib may change the box; `status`, `logs` and `healthcheck` are open",
        ),
        Ok(request) => handler.handle(request).await,
    }
}

/// A refusal with its sentence.
pub fn refuse(code: InitFault, detail: impl Into<String>) -> InitReply {
    InitReply::Refused {
        code,
        detail: detail.into(),
    }
}

/// Who is connected.
#[derive(Clone, Default)]
struct Clients(Rc<RefCell<HashMap<u32, usize>>>);

impl Clients {
    /// A place for one more client of this user, unless there is none left.
    fn seat(&self, uid: u32) -> Option<Seat> {
        let mut taken = self.0.borrow_mut();
        let own = taken.get(&uid).copied().unwrap_or(0);
        if own >= CLIENTS_OF_A_USER || taken.values().sum::<usize>() >= CLIENTS {
            return None;
        }
        taken.insert(uid, own + 1);
        Some(Seat {
            clients: self.clone(),
            uid,
        })
    }
}

struct Seat {
    clients: Clients,
    uid: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.clients.0.borrow_mut();
        if let Some(own) = taken.get_mut(&self.uid) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests;
