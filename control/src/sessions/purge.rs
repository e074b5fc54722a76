//! Removing sessions and shells that have ended. Init does it; this is who asks.

use std::time::Duration;

use cib_protocol::purge::Purged;
use cib_protocol::session::{Program, SessionId};

use super::store::nothing_of;
use crate::app::App;
use crate::fault::{Code, Fault};

/// How long a purge waits for its turn.
const TURN: Duration = Duration::from_secs(30);

/// Purges what has ended, and says what that freed. From then on there is nothing of it.
///
/// # Errors
/// [`Code::SessionRunning`] if it lives, [`Code::PurgeLate`] if that is not to be done in time,
/// [`Code::NoSuchSession`] or [`Code::NoSuchShell`] if there is none.
pub async fn purge(app: &App, program: Program, id: SessionId) -> Result<Purged, Fault> {
    let Ok(Ok(_turn)) = tokio::time::timeout(TURN, app.purges.acquire()).await else {
        let detail = "other sessions are being purged; try again later";
        return Err(Fault::new(Code::PurgeLate, detail));
    };
    match app.init.purge(id).await {
        Ok(purged) => {
            app.feed.removed(id);
            let (freed, left) = (purged.freed, purged.left.as_deref().unwrap_or_default());
            tracing::info!(session = %id, ?program, freed, left, "was purged");
            Ok(purged)
        }
        Err(fault) if fault.code() == Code::SessionEnded => Err(nothing_of(program, id)),
        Err(fault) => Err(fault),
    }
}
