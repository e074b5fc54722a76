//! What Claude has to choose from.

use cib_protocol::api::{CommandList, ModelList};
use cib_protocol::session::Program;

use super::call::{Call, Reply};
use crate::fault::Fault;
use crate::offers;

pub(super) async fn models(call: Call) -> Result<Reply, Fault> {
    let said = offers::current(&call.app).await?;
    Reply::json(&said.map_or_else(ModelList::default, |said| ModelList {
        models: said.offers.models.clone(),
        claude_version: said.offers.claude_version.clone(),
        known_at: Some(said.at),
    }))
}

pub(super) async fn commands(call: Call) -> Result<Reply, Fault> {
    let (app, id) = (&call.app, call.id(Program::Claude)?);
    let meta = app.store.get(Program::Claude, id).await?;
    if offers::tells(&meta)
        && let Some(offers) = offers::of_session(app, id).await
    {
        let commands = offers.commands;
        return Reply::json(&CommandList {
            commands,
            own: true,
        });
    }
    let said = app.offers.last();
    Reply::json(&CommandList {
        commands: said.map_or_else(Vec::new, |said| said.offers.commands.clone()),
        own: false,
    })
}
