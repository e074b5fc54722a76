//! The box itself.

use cib_protocol::api::{Health, Info, InfoCaller, InfoSessions};
use cib_protocol::init::BoxStatus;
use cib_protocol::session::Program;

use super::call::{Call, Reply};
use crate::VERSION;
use crate::app::App;
use crate::auth::{Caller, Who};
use crate::envelope::WARNING;
use crate::fault::Fault;
use crate::metrics::MEDIA;

pub(super) async fn health(call: Call) -> Result<Reply, Fault> {
    let app = &call.app;
    let status = match app.wellness().await {
        Ok(()) => "ok",
        Err(_) => "degraded",
    };
    Reply::json(&Health {
        status: status.to_owned(),
        mode: app.mode.clone(),
        version: VERSION.to_owned(),
    })
}

pub(super) async fn info(call: Call) -> Result<Reply, Fault> {
    let app = &call.app;
    let caller = call.caller()?;
    let sessions = app.store.list(Program::Claude).await?;
    let mut status = app.status().await.unwrap_or_else(|fault| {
        fault.log("info");
        unknown()
    });
    status.warnings.extend(app.mqtt.trouble());
    if app.envelope.serves_earlier() {
        status.warnings.push(WARNING.to_owned());
    }
    let live = sessions.iter().filter(|meta| meta.state.is_live()).count();
    Reply::json(&Info {
        version: VERSION.to_owned(),
        mode: app.mode.clone(),
        phase: status.phase,
        uptime_ms: status.uptime_ms,
        egress: status.egress,
        services: status.services,
        warnings: status.warnings,
        disks: app.disks().await,
        sessions: InfoSessions {
            total: sessions.len() as u64,
            live: live as u64,
        },
        workdir_roots: app
            .roots
            .iter()
            .map(|root| root.display().to_string())
            .collect(),
        caller: about(app, &caller, caller.sign_in.is_some()),
    })
}

/// Who somebody is, as they are told themselves.
pub(super) fn about(app: &App, caller: &Caller, signed_in: bool) -> InfoCaller {
    let words = caller.scopes.words();
    InfoCaller {
        name: caller.who.to_string(),
        label: caller.who.label().into_owned(),
        scopes: words.into_iter().map(str::to_owned).collect(),
        account: match &caller.who {
            Who::Account(name) => Some(name.clone()),
            _ => None,
        },
        signed_in,
        logout_url: match &caller.who {
            Who::Account(_) | Who::User(_) if !signed_in => app.logout_url.clone(),
            _ => None,
        },
        may_set_up: caller.who == Who::Master && app.gate.accounts().is_empty(),
    }
}

pub(super) async fn metrics(call: Call) -> Result<Reply, Fault> {
    let app = &call.app;
    let sessions = app.store.list(Program::Claude).await?;
    Ok(Reply::Text {
        media: MEDIA,
        text: app.metrics.render(&sessions, app.hub.watched()),
    })
}

fn unknown() -> BoxStatus {
    BoxStatus {
        version: String::new(),
        phase: "unknown".to_owned(),
        uptime_ms: 0,
        egress: cib_protocol::init::EgressStatus::default(),
        steps: Vec::new(),
        services: Vec::new(),
        sessions: Vec::new(),
        warnings: Vec::new(),
    }
}
