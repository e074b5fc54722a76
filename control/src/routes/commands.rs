//! Commands to a session's keeper.

use std::sync::Arc;

use cib_protocol::api::{
    Accepted, Answer, ChangeSession, Input, InputTaken, ModelSet, Resize, SetDriver, SetEffort,
    SetModel, SetPermission,
};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Program, SessionId};

use super::call::{Call, Reply};
use crate::fault::Fault;
use crate::once::Key;
use crate::sessions::{command, create, keeper};

pub(super) async fn input(call: Call) -> Result<Reply, Fault> {
    let input: Input = call.json()?;
    let client_id = input.client_id.clone();
    let (request, bytes) = command::input(input)?;
    once(
        call,
        Program::Claude,
        client_id,
        "input",
        request,
        move |_| Reply::json(&InputTaken { bytes }),
    )
    .await
}

/// Tells a keeper something, and not again if a client with an id for its request says that it is
/// the same.
pub(super) async fn once(
    call: Call,
    program: Program,
    client_id: Option<String>,
    what: &'static str,
    mut request: KeeperRequest,
    reply: impl FnOnce(SessionId) -> Result<Reply, Fault> + Send + 'static,
) -> Result<Reply, Fault> {
    let Some(client_id) = client_id else {
        return reply(tell(&call, program, &request).await?);
    };
    let id = call.id(program)?;
    let key = Key::new(&call.caller()?.who, &format!("{what} {id}"), &client_id)?;
    command::name(&mut request, &key);
    let once = Arc::clone(&call.app.once);
    let work = async move { reply(tell(&call, program, &request).await?) };
    once.run(key, work).await
}

pub(super) async fn answer(call: Call) -> Result<Reply, Fault> {
    let Answer {
        id,
        answers,
        client_id,
    } = call.json()?;
    let request = KeeperRequest::Answer { id, answers };
    once(call, Program::Claude, client_id, "answer", request, |id| {
        Reply::json(&Accepted { id })
    })
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

pub(super) async fn effort(call: Call) -> Result<Reply, Fault> {
    let SetEffort { effort } = call.json()?;
    accepted(&call, Program::Claude, &command::effort(effort)?).await
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
    keeper::tell(call.app.store.runtime(), id, &call.caller()?.who, request).await?;
    Ok(id)
}
