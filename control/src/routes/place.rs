//! What is around the sessions: ports, the way out, preferences.

use std::collections::BTreeMap;
use std::sync::Arc;

use cib_protocol::api::{PortOpened, Prefs, ProxyStatus};

use super::call::{Call, Reply};
use crate::fault::{Code, Fault};
use crate::ports::head;
use crate::{ports, work};

pub(super) async fn ports(call: Call) -> Result<Reply, Fault> {
    Reply::json(&ports::list(&call.app.files).await?)
}

pub(super) async fn open_port(call: Call) -> Result<Reply, Fault> {
    let port = call.part("port");
    let number = port.parse().ok().filter(|port| *port != 0);
    let port: u16 = number.ok_or_else(|| {
        let detail = format!("{port:?} is no port between 1 and 65535");
        Fault::new(Code::BadValue, detail)
    })?;
    ports::reached_at(port).await?;
    let caller = call.caller()?;
    let who = caller.who.clone();
    let grants = &call.app.grants;
    let (capability, expires_at) = grants.open(port, caller).map_err(Fault::internal)?;
    tracing::info!(port, caller = %who, "a port was opened");
    let opened = PortOpened {
        path: head::path(port, &capability),
        label: head::label(&capability),
        expires_at,
    };
    Reply::created(opened.path.clone(), &opened)
}

pub(super) async fn proxy(call: Call) -> Result<Reply, Fault> {
    let egress = call.app.status().await?.egress;
    Reply::json(&ProxyStatus {
        mode: egress.mode,
        upstream: egress.upstream,
        health: egress.upstream_health,
        dropped: egress
            .blocked
            .values()
            .fold(0, |sum: u64, packets| sum.saturating_add(*packets)),
        blocked: egress.blocked,
    })
}

pub(super) async fn prefs(call: Call) -> Result<Reply, Fault> {
    let app = Arc::clone(&call.app);
    let all = work::run(move || app.prefs.all()).await?;
    told(all)
}

pub(super) async fn change_prefs(call: Call) -> Result<Reply, Fault> {
    let news: serde_json::Map<_, _> = call.json()?;
    let app = Arc::clone(&call.app);
    let all = work::run(move || Ok::<_, std::io::Error>(app.prefs.change(news))).await??;
    told(all)
}

fn told(all: serde_json::Map<String, serde_json::Value>) -> Result<Reply, Fault> {
    let prefs: BTreeMap<_, _> = all.into_iter().collect();
    Reply::json(&Prefs(prefs))
}
