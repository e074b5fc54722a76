//! Init: the only one who can start a keeper.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_protocol::init::{BoxStatus, InitFault, InitReply, InitRequest};
use cib_protocol::purge::Purged;
use cib_protocol::session::{SessionId, SessionSpec};
use cib_protocol::{MAX_INPUT_LINE, MAX_LINE};

use super::keeper::is_listening;
use super::lines::{self, LineError};
use crate::fault::{Code, Fault};

/// Init answers `session_start` when the keeper is ready, and gives up on it by itself.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// Init waits for what just ended, and gives those who remove files a time of their own.
const PURGE_PATIENCE: Duration = Duration::from_secs(120);

const PATIENCE: Duration = Duration::from_secs(5);

/// Init's control socket.
#[derive(Clone, Debug)]
pub struct Init {
    socket: PathBuf,
}

impl Init {
    /// An init that listens on this socket.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether it listens.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        is_listening(&self.socket)
    }

    /// Starts a keeper and waits until it is ready.
    ///
    /// # Errors
    /// The fault that the route answers with.
    pub async fn start(&self, spec: SessionSpec) -> Result<(), Fault> {
        let request = InitRequest::SessionStart {
            spec: Box::new(spec),
        };
        match self.put(&request, MAX_INPUT_LINE, START_PATIENCE).await {
            Ok(InitReply::SessionStarted { .. }) => Ok(()),
            Ok(other) => Err(unexpected(&other)),
            Err(Refusal::By(InitFault::NoSuchSession, detail)) => {
                Err(Fault::new(Code::NoSuchSession, detail))
            }
            Err(refusal) => Err(refusal.into_fault()),
        }
    }

    /// Removes everything of a session that has ended.
    ///
    /// # Errors
    /// The fault that the route answers with; [`Code::SessionEnded`] if there is nothing of it.
    pub async fn purge(&self, session: SessionId) -> Result<Purged, Fault> {
        let request = InitRequest::SessionPurge { session };
        match self.ask(&request, MAX_LINE, PURGE_PATIENCE).await? {
            InitReply::SessionPurged(purged) => Ok(purged),
            other => Err(unexpected(&other)),
        }
    }

    /// Signals a keeper that does not answer.
    ///
    /// # Errors
    /// The fault that the route answers with; [`Code::SessionEnded`] if there is no such keeper.
    pub async fn signal(&self, session: SessionId, kill: bool) -> Result<(), Fault> {
        let request = InitRequest::SessionSignal { session, kill };
        match self.ask(&request, MAX_LINE, PATIENCE).await? {
            InitReply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Sees to it that the keeper of logins can be asked.
    ///
    /// # Errors
    /// The fault that the route answers with.
    pub async fn start_login(&self) -> Result<(), Fault> {
        let request = InitRequest::LoginStart {};
        match self.ask(&request, MAX_LINE, START_PATIENCE).await? {
            InitReply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// The box as it is.
    ///
    /// # Errors
    /// The fault that the route answers with.
    pub async fn status(&self) -> Result<BoxStatus, Fault> {
        match self
            .ask(&InitRequest::Status {}, MAX_LINE, PATIENCE)
            .await?
        {
            InitReply::Status(status) => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(
        &self,
        request: &InitRequest,
        max: usize,
        within: Duration,
    ) -> Result<InitReply, Fault> {
        let asked = self.put(request, max, within).await;
        asked.map_err(Refusal::into_fault)
    }

    async fn put(
        &self,
        request: &InitRequest,
        max: usize,
        within: Duration,
    ) -> Result<InitReply, Refusal> {
        match lines::ask(&self.socket, request, max, within).await {
            Ok(InitReply::Refused { code, detail }) => Err(Refusal::By(code, detail)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Refusal::Unanswered(error)),
        }
    }
}

/// Why init did not do what it was asked.
enum Refusal {
    /// It said so.
    By(InitFault, String),
    /// It did not answer.
    Unanswered(LineError),
}

impl Refusal {
    fn into_fault(self) -> Fault {
        match self {
            Self::By(code, detail) => refused(code, detail),
            Self::Unanswered(error) => unanswered(error),
        }
    }
}

fn refused(code: InitFault, detail: String) -> Fault {
    let code = match code {
        InitFault::SessionExists => Code::SessionRunning,
        InitFault::NoSuchSession => Code::SessionEnded,
        InitFault::KeeperFailed => Code::KeeperFailed,
        InitFault::NotNow => Code::NotNow,
        InitFault::TooManySessions => Code::TooManySessions,
        InitFault::PurgeLate => Code::PurgeLate,
        InitFault::BadRequest
        | InitFault::Forbidden
        | InitFault::NoSuchService
        | InitFault::Internal => return Fault::internal(detail),
    };
    Fault::new(code, detail)
}

fn unanswered(error: LineError) -> Fault {
    match &error {
        LineError::TooLong { max, .. } => Fault::new(
            Code::TooLarge,
            format!("a session's whole request takes at most {max} bytes, counted as JSON"),
        ),
        LineError::Garbled { .. } => Fault::internal(error),
        LineError::Absent { .. } | LineError::Io { .. } | LineError::Late { .. } => {
            Fault::new(Code::InitUnreachable, "the box's init does not answer").because(error)
        }
    }
}

fn unexpected(reply: &InitReply) -> Fault {
    let kind = match reply {
        InitReply::Done => "done",
        InitReply::Status(_) => "status",
        InitReply::Health { .. } => "health",
        InitReply::Logs { .. } => "logs",
        InitReply::SessionStarted { .. } => "session_started",
        InitReply::SessionPurged(_) => "session_purged",
        InitReply::EgressTest { .. } => "egress_test",
        InitReply::Refused { .. } => "refused",
    };
    Fault::internal(format!("init answered another question: {kind}"))
}
