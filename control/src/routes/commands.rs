//! Commands to a session's keeper.

use cib_protocol::api::{
    Accepted, Answer, ChangeSession, Input, InputTaken, ModelSet, Resize, SetDriver, SetModel,
    SetPermission,
};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::SessionId;

use super::call::{Call, Reply};
use crate::fault::Fault;
use crate::sessions::{command, create, keeper};

pub(super) async fn input(call: Call) -> Result<Reply, Fault> {
    let (request, bytes) = command::input(call.json::<Input>()?)?;
    tell(&call, &request).await?;
    Reply::json(&InputTaken { bytes })
}

pub(super) async fn answer(call: Call) -> Result<Reply, Fault> {
    let Answer { id, answers } = call.json()?;
    accepted(&call, &KeeperRequest::Answer { id, answers }).await
}

pub(super) async fn resize(call: Call) -> Result<Reply, Fault> {
    let request = command::resize(call.json::<Resize>()?)?;
    accepted(&call, &request).await
}

pub(super) async fn interrupt(call: Call) -> Result<Reply, Fault> {
    accepted(&call, &KeeperRequest::Interrupt).await
}

pub(super) async fn model(call: Call) -> Result<Reply, Fault> {
    let SetModel { model } = call.json()?;
    let id = tell(&call, &command::model(model.clone())?).await?;
    Reply::json(&ModelSet { id, model })
}

pub(super) async fn driver(call: Call) -> Result<Reply, Fault> {
    let SetDriver { driver } = call.json()?;
    accepted(&call, &KeeperRequest::SetDriver { driver }).await
}

pub(super) async fn permission(call: Call) -> Result<Reply, Fault> {
    let SetPermission { mode } = call.json()?;
    accepted(&call, &KeeperRequest::SetPermissionMode { mode }).await
}

pub(super) async fn title(call: Call) -> Result<Reply, Fault> {
    let ChangeSession { title } = call.json()?;
    create::check_title(&title)?;
    accepted(&call, &KeeperRequest::SetTitle { title }).await
}

async fn accepted(call: &Call, request: &KeeperRequest) -> Result<Reply, Fault> {
    let id = tell(call, request).await?;
    Reply::json(&Accepted { id })
}

/// Tells the keeper of the session in the path, which has to exist before it can have ended.
async fn tell(call: &Call, request: &KeeperRequest) -> Result<SessionId, Fault> {
    let id = call.session()?;
    call.app.store.check(id)?;
    keeper::tell(call.app.store.runtime(), id, request).await?;
    Ok(id)
}
