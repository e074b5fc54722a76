//! Claude's own login.

use cib_protocol::api::{LoginCode, LoginMethod, StartLogin};
use cib_protocol::login::LoginRequest;

use super::call::{Call, Reply};
use crate::fault::Fault;
use crate::sessions::login;

pub(super) async fn status(call: Call) -> Result<Reply, Fault> {
    ask(&call, &LoginRequest::Status {}).await
}

pub(super) async fn start(call: Call) -> Result<Reply, Fault> {
    let mut asked: StartLogin = call.json_or_default()?;
    if std::mem::take(&mut asked.console) {
        asked.method = LoginMethod::Console;
    }
    tracing::info!(caller = %call.caller()?.who, "a login of Claude's is begun");
    ask(&call, &LoginRequest::Start(asked)).await
}

pub(super) async fn code(call: Call) -> Result<Reply, Fault> {
    let code: LoginCode = call.json()?;
    ask(&call, &LoginRequest::Code(code)).await
}

pub(super) async fn cancel(call: Call) -> Result<Reply, Fault> {
    ask(&call, &LoginRequest::Cancel {}).await
}

pub(super) async fn logout(call: Call) -> Result<Reply, Fault> {
    tracing::info!(caller = %call.caller()?.who, "Claude's login is forgotten");
    ask(&call, &LoginRequest::Logout {}).await
}

async fn ask(call: &Call, request: &LoginRequest) -> Result<Reply, Fault> {
    Reply::json(&login::ask(&call.app, request).await?)
}
