//! Ending a session: its keeper is asked, and init if that does not answer.

use std::time::Duration;

use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::SessionId;

use super::keeper;
use crate::app::App;
use crate::auth::Who;
use crate::fault::{Code, Fault};
use crate::journal::tail::Extent;
use crate::routes::streams::tail;

/// Asks the keeper, and init if the keeper does not answer. Nobody's name stands beside it if the
/// box wants it by itself.
///
/// # Errors
/// The fault that the route answers with. That it has ended is none.
pub async fn stop(app: &App, id: SessionId, kill: bool, who: Option<&Who>) -> Result<(), Fault> {
    let (runtime, request) = (app.store.runtime(), KeeperRequest::Stop { kill });
    let told = match who {
        Some(who) => keeper::tell(runtime, id, who, &request).await,
        None => keeper::ask(runtime, id, &request).await,
    };
    let outcome = match told {
        Err(fault) if fault.code() == Code::KeeperTimeout => app.init.signal(id, kill).await,
        told => told.map(|_| ()),
    };
    match outcome {
        // It has ended meanwhile, which is what was asked for.
        Err(fault) if fault.code() == Code::SessionEnded => Ok(()),
        outcome => outcome,
    }
}

/// Waits until it has ended, but not for ever.
pub async fn wait(app: &App, id: SessionId, patience: Duration) {
    let Ok(Ok(tail)) = tail(app, id).await else {
        return;
    };
    let mut extent = tail.subscribe();
    let ended = extent.wait_for(|extent: &Extent| extent.end.is_some());
    // What it is after the time is up is what is shown.
    let _ = tokio::time::timeout(patience, ended).await;
}
