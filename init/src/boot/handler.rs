//! Carries out what clients ask for on init's socket.

use std::cell::Cell;
use std::rc::Rc;

use cib_base::errors::chain;
use cib_protocol::init::{BoxStatus, EgressStatus, InitFault, InitReply, InitRequest};
use cib_protocol::session::{SessionId, SessionSpec};

use crate::boot::control;
use crate::boot::health::{Control, Findings};
use crate::boot::life::{Booted, Phase};
use crate::boot::progress::Progress;
use crate::egress::Egress;
use crate::logs::Logs;
use crate::plan::StepId;
use crate::session::Keepers;
use crate::socket::{Handler, refuse};
use crate::supervisor::machine::State;
use crate::supervisor::{NoSuchService, Supervisor};
use crate::sys::start;

/// The running box, as its socket sees it.
pub(super) struct Running {
    pub(super) phase: Rc<Cell<Phase>>,
    pub(super) progress: Progress,
    pub(super) supervisor: Supervisor,
    pub(super) booted: Rc<Booted>,
    pub(super) logs: Logs,
    pub(super) control: Control,
}

impl Handler for Running {
    async fn handle(&self, request: InitRequest) -> InitReply {
        match request {
            InitRequest::Status {} => InitReply::Status(Box::new(self.status().await)),
            InitRequest::Healthcheck {} => self.health().await,
            InitRequest::Logs { service, lines } => {
                if self.supervisor.seen(&service).is_err() && !is_log_name(&service) {
                    return refuse(InitFault::NoSuchService, NoSuchService(service).to_string());
                }
                let lines = usize::from(lines.min(1000));
                InitReply::Logs {
                    lines: self.logs.recent(&service, lines),
                }
            }
            InitRequest::ServiceStart { service } => match self.supervisor.start(&service).await {
                Ok(true) => InitReply::Done,
                Ok(false) => refuse(
                    InitFault::Internal,
                    format!(
                        "`{service}` did not become ready; `cib-init svc logs {service}` says why"
                    ),
                ),
                Err(fault) => refuse(InitFault::NoSuchService, fault.to_string()),
            },
            InitRequest::ServiceStop { service } => done(self.supervisor.stop(&service).await),
            InitRequest::ServiceRestart { service } => done(self.supervisor.restart(&service)),
            InitRequest::SessionStart { spec } => self.start_session(&spec).await,
            InitRequest::SessionSignal { session, kill } => {
                let keepers = self.booted.keepers.get();
                if keepers.is_some_and(|keepers| keepers.signal(session, kill)) {
                    InitReply::Done
                } else {
                    refuse(
                        InitFault::NoSuchSession,
                        format!("no keeper of session {session} runs"),
                    )
                }
            }
            InitRequest::SessionPurge { session } => self.purge_session(session).await,
            InitRequest::LoginStart {} => self.start_login().await,
            InitRequest::EgressTest {} => InitReply::EgressTest {
                checks: match (self.booted.egress.get(), self.booted.joined.get()) {
                    (Some(egress), _) => egress.test().await,
                    (None, Some(joined)) => joined.test().await,
                    (None, None) => Vec::new(),
                },
            },
        }
    }
}

impl Running {
    async fn start_session(&self, spec: &SessionSpec) -> InitReply {
        let keepers = self.booted.keepers.get();
        let Some(keepers) = keepers.filter(|_| self.phase.get() == Phase::Up) else {
            return refuse(InitFault::NotNow, "the box is not up");
        };
        match keepers.start(spec).await {
            Ok(pid) => InitReply::SessionStarted { pid },
            Err(error) => {
                let detail = chain(&error);
                tracing::error!("session {} did not start: {detail}", spec.id);
                refuse(error.code(), detail)
            }
        }
    }

    async fn purge_session(&self, id: SessionId) -> InitReply {
        let keepers = self.booted.keepers.get();
        let Some(keepers) = keepers.filter(|_| self.phase.get() == Phase::Up) else {
            return refuse(InitFault::NotNow, "the box is not up");
        };
        match keepers.purge(id).await {
            Ok(purged) => InitReply::SessionPurged(purged),
            Err(error) => {
                let detail = chain(&error);
                tracing::warn!(service = "session", "session {id} was not purged: {detail}");
                refuse(error.code(), detail)
            }
        }
    }

    async fn start_login(&self) -> InitReply {
        let keepers = self.booted.keepers.get();
        let Some(keepers) = keepers.filter(|_| self.phase.get() == Phase::Up) else {
            return refuse(InitFault::NotNow, "the box is not up");
        };
        match keepers.start_login().await {
            Ok(()) => InitReply::Done,
            Err(error) => {
                let detail = chain(&error);
                tracing::error!("the keeper of logins did not start: {detail}");
                refuse(error.code(), detail)
            }
        }
    }

    async fn health(&self) -> InitReply {
        let (healthy, detail) = match self.phase.get() {
            Phase::Booting => (false, "the box is booting".to_owned()),
            Phase::ShuttingDown => (false, "the box is shutting down".to_owned()),
            Phase::Up => self.findings().await.verdict(),
        };
        InitReply::Health { healthy, detail }
    }

    /// What of a box that is up does not work.
    async fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        for fault in self.supervisor.faults().await {
            findings.fault(fault);
        }
        if let Ok(seen) = self.supervisor.seen(control::NAME)
            && seen.state == State::Ready
            && let Some(fault) = self.control.fault(seen.pid).await
        {
            findings.fault(fault);
        }
        for trouble in self.troubles() {
            findings.fault(trouble);
        }
        for step in self.progress.failed() {
            let line = format!("boot step `{step}` failed");
            // The box was told to go on without these, or is of use without them.
            if matches!(step, StepId::Agent | StepId::Setup) {
                findings.note(line);
            } else {
                findings.fault(line);
            }
        }
        findings
    }

    /// What is wrong with the way out.
    fn troubles(&self) -> Vec<String> {
        let egress = self.booted.egress.get();
        egress.map(Egress::troubles).unwrap_or_default()
    }

    async fn status(&self) -> BoxStatus {
        let egress = match (self.booted.egress.get(), self.booted.joined.get()) {
            (Some(egress), _) => egress.status().await,
            (None, Some(joined)) => joined.status(),
            (None, None) => EgressStatus {
                mode: "direct".to_owned(),
                summary: "egress is direct: no proxy was asked for".to_owned(),
                ..EgressStatus::default()
            },
        };
        let troubles = self.troubles();
        let phase = match self.phase.get() {
            Phase::Booting => "booting",
            Phase::Up if self.findings().await.is_well() => "up",
            Phase::Up => "degraded",
            Phase::ShuttingDown => "shutting_down",
        };
        BoxStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            phase: phase.to_owned(),
            uptime_ms: start::uptime_us() / 1000,
            egress,
            steps: self.progress.status(),
            services: self.supervisor.status(),
            sessions: self
                .booted
                .keepers
                .get()
                .map(Keepers::live)
                .unwrap_or_default(),
            warnings: [self.booted.warnings.borrow().clone(), troubles].concat(),
        }
    }
}

/// Names under which init itself writes to the log.
fn is_log_name(name: &str) -> bool {
    matches!(
        name,
        "init" | "egress" | "session" | "setup" | "agent" | "files" | "task"
    )
}

fn done(outcome: Result<(), NoSuchService>) -> InitReply {
    match outcome {
        Ok(()) => InitReply::Done,
        Err(fault) => refuse(InitFault::NoSuchService, fault.to_string()),
    }
}
