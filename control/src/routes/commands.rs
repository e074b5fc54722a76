//! Commands to a session's keeper.

use cib_protocol::api::{
    Accepted, Answer, ChangeSession, Input, InputTaken, ModelSet, Resize, SetDriver, SetModel,
    SetPermission,
};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Program, SessionId};

use super::call::{Call, Reply};
use crate::fault::Fault;
use crate::sessions::{command, create, keeper};

pub(super) async fn input(call: Call) -> Result<Reply, Fault> {
    let (request, bytes) = command::input(call.json::<Input>()?)?;
    tell(&call, Program::Claude, &request).await?;
    Reply::json(&InputTaken { bytes })
}

pub(super) async fn answer(call: Call) -> Result<Reply, Fault> {
    let Answer { id, answers } = call.json()?;
    accepted(
        &call,
        Program::Claude,
        &KeeperRequest::Answer { id, answers },
    )
    .await
}

pub(super) async fn resize(call: Call) -> Result<Reply, Fault> {
    let request = command::resize(call.json::<Resize>()?)?;
    accepted(&call, Program::Claude, &request).await
}

pub(super) async fn interrupt(call: Call) -> Result<Reply, Fault> {
    accepted(&call, Program::Claude, &KeeperRequest::Interrupt).await
}

pub(super) async fn model(call: Call) -> Result<Reply, Fault> {
    let SetModel { model } = call.json()?;
    let id = tell(&call, Program::Claude, &command::model(model.clone())?).await?;
    Reply::json(&ModelSet { id, model })
}

pub(super) async fn driver(call: Call) -> Result<Reply, Fault> {
    let SetDriver { driver } = call.json()?;
    accepted(&call, Program::Claude, &KeeperRequest::SetDriver { driver }).await
}

pub(super) async fn permission(call: Call) -> Result<Reply, Fault> {
    let SetPermission { mode } = call.json()?;
    accepted(
        &call,
        Program::Claude,
        &KeeperRequest::SetPermissionMode { mode },
    )
    .await
}

pub(super) async fn title(call: Call) -> Result<Reply, Fault> {
    let ChangeSession { title } = call.json()?;
    create::check_title(&title)?;
    accepted(&call, Program::Claude, &KeeperRequest::SetTitle { title }).await
}

pub(super) async fn accepted(
    call: &Call,
    program: Program,
    request: &KeeperRequest,
) -> Result<Reply, Fault> {
    let id = tell(call, program, request).await?;
    Reply::json(&Accepted { id })
}

/// Tells the keeper of what the path names, which has to exist before it can have ended.
pub(super) async fn tell(
    call: &Call,
    program: Program,
    request: &KeeperRequest,
) -> Result<SessionId, Fault> {
    let id = call.id(program)?;
    call.app.store.check(program, id).await?;
    keeper::tell(call.app.store.runtime(), id, request).await?;
    Ok(id)
}
