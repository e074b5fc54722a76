//! Keepers: whether there is one, and what it is told.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_protocol::MAX_INPUT_LINE;
use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use cib_protocol::session::SessionId;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect};
use serde::Serialize;

use super::lines::{self, LineError};
use crate::auth::Who;
use crate::fault::{Code, Fault};

/// A keeper answers most commands at once; some wait for Claude's own answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Changing the driver ends one Claude and starts another.
const DRIVER_PATIENCE: Duration = Duration::from_secs(60);

/// Where a session's keeper listens.
#[must_use]
pub fn socket(runtime: &Path, session: SessionId) -> PathBuf {
    runtime
        .join("sessions")
        .join(session.to_string())
        .join("keeper.sock")
}

/// Whether somebody listens on a socket. Never waits: a full queue of connections is an answer.
#[must_use]
pub fn is_listening(socket: &Path) -> bool {
    let knock = || {
        let address = UnixAddr::new(socket)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(fd.as_raw_fd(), &address)
    };
    matches!(knock(), Ok(()) | Err(Errno::EAGAIN))
}

/// A [`KeeperRequest::As`] that borrows what it says.
#[derive(Serialize)]
struct As<'a> {
    op: &'static str,
    by: &'a str,
    request: &'a KeeperRequest,
}

/// Asks a keeper something.
///
/// # Errors
/// As [`tell`].
pub async fn ask(
    runtime: &Path,
    session: SessionId,
    request: &KeeperRequest,
) -> Result<KeeperReply, Fault> {
    let path = socket(runtime, session);
    answered(lines::ask(&path, request, MAX_INPUT_LINE, PATIENCE).await)
}

/// Tells a keeper what somebody wants; the frames that come of it name them.
///
/// # Errors
/// The fault that the command's route answers with. [`Code::SessionEnded`] if there is no
/// keeper.
pub async fn tell(
    runtime: &Path,
    session: SessionId,
    who: &Who,
    request: &KeeperRequest,
) -> Result<KeeperReply, Fault> {
    let patience = match request {
        KeeperRequest::SetDriver { .. } => DRIVER_PATIENCE,
        _ => PATIENCE,
    };
    let path = socket(runtime, session);
    let by = who.label();
    let signed = As {
        op: "as",
        by: &by,
        request,
    };
    answered(lines::ask(&path, &signed, MAX_INPUT_LINE, patience).await)
}

fn answered(answer: Result<KeeperReply, LineError>) -> Result<KeeperReply, Fault> {
    match answer {
        Ok(KeeperReply::Refused { code, detail }) => Err(refused(code, detail)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(unanswered(error)),
    }
}

fn refused(code: KeeperFault, detail: String) -> Fault {
    let code = match code {
        KeeperFault::BadRequest => Code::BadValue,
        KeeperFault::WrongDriver => Code::WrongDriver,
        KeeperFault::NoSuchQuestion => Code::NoSuchQuestion,
        KeeperFault::Ending => Code::SessionEnded,
        KeeperFault::Claude => Code::ClaudeRefused,
        KeeperFault::Busy => Code::Busy,
        KeeperFault::Journal => Code::JournalUnwritable,
    };
    Fault::new(code, detail)
}

fn unanswered(error: LineError) -> Fault {
    match &error {
        LineError::TooLong { max, .. } => Fault::new(
            Code::TooLarge,
            format!("a session takes at most {max} bytes at once, counted as JSON"),
        ),
        LineError::Absent { .. } => Fault::new(
            Code::SessionEnded,
            "it has ended: it has no keeper; a session can be resumed",
        )
        .because(error),
        LineError::Io { .. } => {
            Fault::new(Code::SessionEnded, "it has ended: its keeper has gone").because(error)
        }
        LineError::Late { .. } => Fault::new(
            Code::KeeperTimeout,
            "the session's keeper did not answer in time; what was asked may still happen",
        )
        .because(error),
        LineError::Garbled { .. } => Fault::internal(error),
    }
}
