//! Notices: channels, deliveries, and browsers that are pushed to.

use cib_protocol::api::{ChangeChannel, CreateChannel, Subscribe};

use super::call::{Call, Reply};
use crate::auth::Caller;
use crate::auth::scope::Scope;
use crate::fault::Fault;

/// Deliveries in a list if nothing is said.
const DELIVERIES: u64 = 50;

pub(super) fn channels(call: &Call) -> Result<Reply, Fault> {
    Reply::json(&call.app.notices.channel_list())
}

pub(super) async fn create(call: Call) -> Result<Reply, Fault> {
    let asked: CreateChannel = call.json()?;
    let made = call.app.notices.create_channel(asked).await?;
    let (id, kind) = (&made.channel.id, &made.channel.kind);
    tracing::info!(channel = id, kind, caller = %call.caller()?.who, "a channel was made");
    Reply::created(format!("/api/notices/channels/{id}"), &made)
}

pub(super) async fn change(call: Call) -> Result<Reply, Fault> {
    let asked: ChangeChannel = call.json()?;
    Reply::json(
        &call
            .app
            .notices
            .change_channel(call.part("id"), asked)
            .await?,
    )
}

pub(super) async fn remove(call: Call) -> Result<Reply, Fault> {
    let id = call.part("id");
    call.app.notices.remove_channel(id).await?;
    tracing::info!(channel = id, caller = %call.caller()?.who, "a channel was removed");
    Ok(Reply::Nothing)
}

pub(super) async fn rotate(call: Call) -> Result<Reply, Fault> {
    Reply::json(&call.app.notices.rotate_channel(call.part("id")).await?)
}

pub(super) async fn test(call: Call) -> Result<Reply, Fault> {
    Reply::json(&call.app.notices.test_channel(call.part("id")).await?)
}

pub(super) fn deliveries(call: &Call) -> Result<Reply, Fault> {
    let limit = call.query.number("limit").unwrap_or(DELIVERIES);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let channel = call.query.get("channel");
    Reply::json(&call.app.notices.deliveries(channel, limit))
}

pub(super) async fn replay(call: Call) -> Result<Reply, Fault> {
    Reply::json(&call.app.notices.replay(call.part("id")).await?)
}

/// Whoever is pushed to is told of sessions, so may read them.
fn reader(call: &Call) -> Result<Caller, Fault> {
    let caller = call.caller()?;
    if !caller.scopes.allows(Scope::SessionsRead) {
        return Err(Fault::scope_missing(Scope::SessionsRead));
    }
    Ok(caller)
}

pub(super) async fn key(call: Call) -> Result<Reply, Fault> {
    Reply::json(&call.app.notices.push_key().await?)
}

pub(super) async fn subscribe(call: Call) -> Result<Reply, Fault> {
    let caller = reader(&call)?;
    let asked: Subscribe = call.json()?;
    let app = &call.app;
    let made = app.notices.subscribe(&app.gate, &caller, asked).await?;
    tracing::info!(service = made.service, caller = %caller.who, "a browser is pushed to");
    Reply::created(format!("/api/push/subscriptions/{}", made.id), &made)
}

pub(super) fn subscriptions(call: &Call) -> Result<Reply, Fault> {
    let app = &call.app;
    Reply::json(&app.notices.subscriptions_of(&app.gate, &call.caller()?))
}

pub(super) async fn unsubscribe(call: Call) -> Result<Reply, Fault> {
    let (app, caller) = (&call.app, call.caller()?);
    let notices = &app.notices;
    notices
        .unsubscribe(&app.gate, &caller, call.part("id"))
        .await?;
    Ok(Reply::Nothing)
}

pub(super) async fn test_push(call: Call) -> Result<Reply, Fault> {
    let (app, caller) = (&call.app, reader(&call)?);
    let notices = &app.notices;
    Reply::json(
        &notices
            .test_push(&app.gate, &caller, call.part("id"))
            .await?,
    )
}
