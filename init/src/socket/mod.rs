//! Init's control socket: one request a line, one reply a line (`cib_protocol::init`).
//!
//! Whoever is in the box may connect, so nothing a client does may disturb the supervisor: a
//! line has an upper bound before it is parsed, a client has a time limit for each line, the
//! number of clients is bounded, for each user and in all, and a client that does not read its
//! reply is dropped. Those who may only look ask no more than a few times a second, and share
//! an answer for a second. Those who may change something have a door of their own, at which
//! nobody else can stand in their way.

mod answers;
pub mod client;
mod line;
mod rights;
mod seats;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use cib_protocol::MAX_INPUT_LINE;
use cib_protocol::init::{InitFault, InitReply, InitRequest};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

pub(crate) use answers::Answers;
pub use rights::{CONTROL_UID, Rights};
use seats::Seats;

use crate::pace::Pace;

/// How long a client may take to send a line that it began, or to read a reply. Between
/// requests a connection may stay silent for as long as it likes.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest line of somebody who may only look: all that it can ask is shorter.
const LOOKERS_LINE: usize = 4096;
/// New connections at the door for everybody: so many at once, and so many a second. Each takes
/// up to a tenth of a millisecond, whatever becomes of it.
const ARRIVALS: (u32, u32) = (128, 300);

/// For whom a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Every user of the box.
    Everybody,
    /// Root and control.
    Own,
}

impl Door {
    /// The socket's name in the box's own folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Everybody => "init.sock",
            Self::Own => "init.own.sock",
        }
    }
}

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

/// Opens a door; a socket left behind by a former run goes.
///
/// # Errors
/// The directory is not there, or is not ours.
pub fn listen(path: &Path, door: Door) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError {
        path: path.to_owned(),
        source,
    };
    cib_base::files::remove(path).map_err(failed)?;
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Connecting takes the right to write. What a peer may ask is decided by who it is.
    let mode = match door {
        Door::Everybody => 0o666,
        Door::Own => {
            if nix::unistd::geteuid().is_root() {
                let group = Some(CONTROL_UID);
                std::os::unix::fs::chown(path, None, group).map_err(failed)?;
            }
            0o660
        }
    };
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).map_err(failed)?;
    Ok(listener)
}

/// What both doors lead to.
pub struct Server<H> {
    handler: H,
    seats: Seats,
    answers: Answers,
}

impl<H: Handler + 'static> Server<H> {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(handler: H) -> Rc<Self> {
        Rc::new(Self {
            handler,
            seats: Seats::default(),
            answers: Answers::default(),
        })
    }

    /// Answers at a door for ever. Runs in a `LocalSet`, for handlers that are not `Send`.
    pub async fn serve(self: Rc<Self>, listener: UnixListener, door: Door) {
        let arrivals = Pace::new(ARRIVALS.0, ARRIVALS.1);
        let own = std::process::id().cast_signed();
        loop {
            if door == Door::Everybody {
                arrivals.wait().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Init does not ask itself: this is somebody who had it connect.
                    let Some(peer) = stream.peer_cred().ok().filter(|p| p.pid() != Some(own))
                    else {
                        continue;
                    };
                    let Some(seat) = self.seats.take(peer.uid()) else {
                        continue;
                    };
                    let server = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        let pace = seat.pace();
                        if let Some(pace) = &pace {
                            pace.wait().await;
                        }
                        let (handler, answers) = (&server.handler, &server.answers);
                        converse(stream, peer.uid(), handler, pace.as_deref(), answers).await;
                        drop(seat);
                    });
                }
                // No descriptor is left, or the client is gone already. Each of our own clients
                // has a bound, so this passes; the pause keeps it from being a busy loop.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// Takes requests from one client until it goes, breaks a rule, or does not listen.
pub(crate) async fn converse<H: Handler>(
    stream: UnixStream,
    uid: u32,
    handler: &H,
    pace: Option<&Pace>,
    answers: &Answers,
) {
    let rights = Rights::of(uid);
    let longest = if rights.may_change() {
        MAX_INPUT_LINE
    } else {
        LOOKERS_LINE
    };
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(4096, read);
    loop {
        let (reply, last) = match line::read(&mut read, longest, LINE_TIMEOUT).await {
            Ok(Some(text)) => {
                if let Some(pace) = pace {
                    pace.wait().await;
                }
                let text = answer(&text, rights, handler, answers).await;
                (text, false)
            }
            Ok(None) => return,
            Err(fault) => {
                let reply = refuse(InitFault::BadRequest, fault.to_string());
                (Rc::from(written(&reply)), true)
            }
        };
        if reply.is_empty() {
            return;
        }
        let sent = timeout(LINE_TIMEOUT, write.write_all(&reply)).await;
        if last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

async fn answer<H: Handler>(
    text: &[u8],
    rights: Rights,
    handler: &H,
    answers: &Answers,
) -> Rc<[u8]> {
    let reply = match serde_json::from_slice::<InitRequest>(text) {
        Err(fault) => refuse(InitFault::BadRequest, fault.to_string()),
        Ok(request) if !rights.permit(&request) => refuse(
            InitFault::Forbidden,
            "only root and cib may change the box or read what others say to it; `status`, \
             `healthcheck` and the other `logs` are open",
        ),
        Ok(request) if rights.may_change() => handler.handle(request).await,
        Ok(request) => return answers.shared(request, handler).await,
    };
    written(&reply).into()
}

/// A reply as a line; nothing if it cannot be written as one.
fn written(reply: &InitReply) -> Vec<u8> {
    let Ok(mut text) = serde_json::to_vec(reply) else {
        return Vec::new();
    };
    text.push(b'\n');
    text
}

/// A refusal with its sentence.
pub fn refuse(code: InitFault, detail: impl Into<String>) -> InitReply {
    InitReply::Refused {
        code,
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests;
