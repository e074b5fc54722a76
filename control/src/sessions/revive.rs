//! Resuming what a restart of the box interrupted (`CIB_RESUME=always`).
//!
//! It is done once a boot, by control's first start in it: a session that is interrupted later
//! was interrupted by something else, and control's own restarts must not touch it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cib_foreign::own;
use cib_protocol::api::CreateSession;
use cib_protocol::session::{Program, SessionId, SessionMeta, State};
use tokio::time::Instant;

use super::create;
use crate::app::App;
use crate::fault::{Code, Fault};

/// What Claude is told, since nobody else is there to tell it anything.
const PROMPT: &str = "The box was restarted while you were working. Continue where you left off.";

/// How long init may go on booting before sessions are left as they are.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often init is asked meanwhile.
const INTERVAL: Duration = Duration::from_millis(500);

/// Resumes every session that was in the middle of a turn when the box stopped. `boot` names
/// the box's present life, and `mark` is the file in which the last one is remembered.
pub async fn revive(app: Arc<App>, boot: &str, mark: &Path) {
    if own::read_to_string(mark).is_ok_and(|known| known == boot) {
        return;
    }
    // Remembered first: a session whose resuming brings the box down must not do so again.
    if let Err(error) = fs::write(mark, boot) {
        tracing::error!(%error, "sessions are not resumed, because that could not be remembered");
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    wait_for_records(&app).await;
    let sessions = match app.store.list(Program::Claude).await {
        Ok(sessions) => sessions,
        Err(fault) => return fault.log("revive"),
    };
    for meta in sessions.iter().filter(|meta| was_at_work(meta)) {
        match resume(&app, meta.id, deadline).await {
            Ok(()) => tracing::info!(session = %meta.id, "a session was resumed"),
            Err(fault) => {
                tracing::warn!(session = %meta.id, %fault, "a session was not resumed");
                fault.log("revive");
            }
        }
    }
}

/// Waits, for as long as that may take, until init has had the records closed: what was cut off
/// says so only then.
pub(super) async fn wait_for_records(app: &App) {
    let deadline = Instant::now() + PATIENCE;
    while !records_are_closed(app).await && Instant::now() < deadline {
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whether init has had the records closed that the last end of the box left open. It does so
/// beside everything else. One that does not know the step has nothing to close.
async fn records_are_closed(app: &App) -> bool {
    match app.init.status().await {
        Ok(status) => status
            .steps
            .iter()
            .all(|step| step.name != "journals" || step.state != "running"),
        // There may be no init, as in tests; one that is slow is asked again.
        Err(fault) => fault.code() != Code::NotNow,
    }
}

/// A name for the life of the box: its kernel's boot and its first process's start.
///
/// # Errors
/// If `/proc` does not say.
pub fn boot_name() -> io::Result<String> {
    let kernel = own::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let stat = own::read_to_string("/proc/1/stat")?;
    // Field 22, counted behind the command's name, which may hold anything.
    let started = stat
        .rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(19))
        .ok_or_else(|| io::Error::other("/proc/1/stat has no start time"))?;
    Ok(format!("{} {started}", kernel.trim()))
}

fn was_at_work(meta: &SessionMeta) -> bool {
    meta.state == State::Interrupted
        && meta.claude_session.is_some()
        // Its task resumes it, with its tools.
        && !meta.toolbox
        && matches!(meta.ended_in, Some(State::Working | State::WaitingForInput))
}

async fn resume(app: &App, id: SessionId, deadline: Instant) -> Result<(), Fault> {
    loop {
        let request = CreateSession {
            resume: Some(id),
            prompt: Some(PROMPT.to_owned()),
            ..CreateSession::default()
        };
        let spec = create::spec(request, &app.store, &app.providers, &app.roots).await?;
        match app.start(spec).await {
            Err(fault)
                if matches!(fault.code(), Code::NotNow | Code::InitUnreachable)
                    && Instant::now() < deadline =>
            {
                tokio::time::sleep(INTERVAL).await;
            }
            outcome => return outcome,
        }
    }
}
