//! The keeper of logins: started through init when it is not there, and asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_protocol::MAX_LINE;
use cib_protocol::api::ClaudeLogin;
use cib_protocol::login::{LoginFault, LoginReply, LoginRequest};

use super::lines::{self, LineError};
use crate::app::App;
use crate::fault::{Code, Fault};

/// It waits for the CLI, for the login servers behind it, and for the CLI once more.
const PATIENCE: Duration = Duration::from_secs(75);

/// Asks the keeper of logins.
///
/// # Errors
/// The fault that the route answers with.
pub async fn ask(app: &App, request: &LoginRequest) -> Result<ClaudeLogin, Fault> {
    let socket = socket(app.store.runtime());
    let reply = match lines::ask(&socket, request, MAX_LINE, PATIENCE).await {
        // It went because nobody had asked it anything.
        Err(LineError::Absent { .. }) => {
            app.init.start_login().await?;
            lines::ask(&socket, request, MAX_LINE, PATIENCE).await
        }
        reply => reply,
    };
    match reply.map_err(unanswered)? {
        LoginReply::Login(login) => Ok(*login),
        LoginReply::Refused { code, detail } => Err(refused(code, detail)),
    }
}

fn socket(runtime: &Path) -> PathBuf {
    runtime.join("login/login.sock")
}

fn refused(code: LoginFault, detail: String) -> Fault {
    let code = match code {
        LoginFault::BadRequest => Code::BadValue,
        LoginFault::Running => Code::LoginRunning,
        LoginFault::NotWaiting => Code::NoLogin,
        LoginFault::Claude => Code::ClaudeRefused,
    };
    Fault::new(code, detail)
}

fn unanswered(error: LineError) -> Fault {
    match &error {
        LineError::TooLong { max, .. } => Fault::new(
            Code::TooLarge,
            format!("a login takes at most {max} bytes, counted as JSON"),
        ),
        LineError::Late { .. } => {
            Fault::new(Code::KeeperTimeout, "Claude's login takes too long").because(error)
        }
        LineError::Absent { .. } | LineError::Io { .. } => Fault::new(
            Code::KeeperFailed,
            "the keeper of logins has gone; ask again",
        )
        .because(error),
        LineError::Garbled { .. } => Fault::internal(error),
    }
}
