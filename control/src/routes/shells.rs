//! Shells: plain terminals, which are kept, followed and ended as sessions are.

use cib_protocol::api::{CreateShell, EndedShell, Input, InputTaken, Resize, Shell, ShellList};
use cib_protocol::session::Program;

use super::call::{Call, Reply};
use super::{commands, sessions};
use crate::fault::Fault;
use crate::sessions::{command, create};

const SHELL: Program = Program::Shell;

pub(super) async fn list(call: Call) -> Result<Reply, Fault> {
    let (after, limit) = sessions::place(&call)?;
    let page = call.app.store.page(SHELL, after, limit).await?;
    Reply::json(&ShellList {
        shells: page.sessions.into_iter().map(Shell::from).collect(),
        next: page.next,
        incomplete: page.is_incomplete,
    })
}

pub(super) async fn create(call: Call) -> Result<Reply, Fault> {
    let request: CreateShell = call.json()?;
    let app = &call.app;
    let spec = create::shell(request, &app.roots)?;
    let id = spec.id;
    app.start(spec).await?;
    tracing::info!(shell = %id, caller = %call.caller()?.who, "a shell was started");
    let shell = Shell::from(app.store.get(SHELL, id).await?);
    Reply::created(create::location(SHELL, id), &shell)
}

pub(super) async fn get(call: Call) -> Result<Reply, Fault> {
    let meta = call.app.store.get(SHELL, call.id(SHELL)?).await?;
    Reply::json(&Shell::from(meta))
}

pub(super) async fn end(call: Call) -> Result<Reply, Fault> {
    let (meta, purged) = sessions::end_one(&call, SHELL).await?;
    Reply::json(&EndedShell {
        shell: Shell::from(meta),
        purged,
    })
}

pub(super) async fn input(call: Call) -> Result<Reply, Fault> {
    let input: Input = call.json()?;
    let client_id = input.client_id.clone();
    let (request, bytes) = command::keys(input)?;
    commands::once(call, SHELL, client_id, "input", request, move |_| {
        Reply::json(&InputTaken { bytes })
    })
    .await
}

pub(super) async fn resize(call: Call) -> Result<Reply, Fault> {
    let request = command::resize(call.json::<Resize>()?)?;
    commands::accepted(&call, SHELL, &request).await
}
