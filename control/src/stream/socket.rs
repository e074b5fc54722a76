//! What a client may say on a session's WebSocket.

use std::sync::Arc;

use cib_protocol::api::{Input, Resize, StreamCommand, StreamReply, StreamRequest};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::SessionId;

use super::size::{Act, Client};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::scope::Scope;
use crate::fault::{Code, Fault};
use crate::sessions::{command, keeper};

/// Subprotocol of a stream: every text message is one JSON value.
pub const SUBPROTOCOL: &str = "json";

/// Largest message that a client may send, in bytes: an input of the largest size, as JSON.
pub const MAX_MESSAGE: usize = cib_protocol::MAX_INPUT_LINE;

/// One client on one session. While it lives, its terminal's size is taken into account.
#[derive(Debug)]
pub struct Speaker {
    app: Arc<App>,
    caller: Caller,
    session: SessionId,
    client: Client,
}

impl Speaker {
    /// A client that has just connected.
    #[must_use]
    pub fn new(app: Arc<App>, caller: Caller, session: SessionId) -> Self {
        let client = app.new_client();
        Self {
            app,
            caller,
            session,
            client,
        }
    }

    /// Does what a message asks and returns the answer that the client wants, if any.
    pub async fn hear(&self, message: &str) -> Option<String> {
        let (reference, outcome) = match serde_json::from_str::<StreamRequest>(message) {
            Ok(request) => (request.reference, self.obey(request.command).await),
            Err(error) => (None, Err(Fault::from_json(&error))),
        };
        let reply = match outcome {
            Ok(()) => StreamReply {
                reference: Some(reference?),
                done: true,
                error: None,
                detail: None,
            },
            Err(fault) => {
                fault.log("websocket");
                StreamReply {
                    reference,
                    done: false,
                    error: Some(fault.code().as_str().to_owned()),
                    detail: Some(fault.detail().to_owned()),
                }
            }
        };
        serde_json::to_string(&reply).ok()
    }

    async fn obey(&self, command: StreamCommand) -> Result<(), Fault> {
        let scope = match &command {
            StreamCommand::Input { .. }
            | StreamCommand::Answer { .. }
            | StreamCommand::Resize { .. } => Scope::SessionsInput,
            StreamCommand::Interrupt {}
            | StreamCommand::Model { .. }
            | StreamCommand::Permission { .. } => Scope::SessionsWrite,
        };
        if !self.caller.scopes.allows(scope) {
            return Err(Fault::scope_missing(scope));
        }
        let request = match command {
            StreamCommand::Input { data, encoding } => {
                let (request, _) = command::input(Input { data, encoding })?;
                self.act(Act::Typed(self.client)).await?;
                request
            }
            StreamCommand::Resize { cols, rows } => {
                command::resize(Resize { cols, rows })?;
                return self.act(Act::Resized(self.client, (cols, rows))).await;
            }
            StreamCommand::Answer { id, answers } => KeeperRequest::Answer { id, answers },
            StreamCommand::Interrupt {} => KeeperRequest::Interrupt,
            StreamCommand::Model { model } => command::model(model)?,
            StreamCommand::Permission { mode } => KeeperRequest::SetPermissionMode { mode },
        };
        self.tell(&request).await
    }

    async fn act(&self, act: Act) -> Result<(), Fault> {
        let Some((cols, rows)) = self.app.resize(self.session, act) else {
            return Ok(());
        };
        match self.tell(&KeeperRequest::Resize { cols, rows }).await {
            // Sizes are remembered for when the session changes to the driver that has one.
            Err(fault) if fault.code() == Code::WrongDriver => Ok(()),
            outcome => outcome,
        }
    }

    async fn tell(&self, request: &KeeperRequest) -> Result<(), Fault> {
        keeper::tell(self.app.store.runtime(), self.session, request)
            .await
            .map(|_| ())
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        // A client that leaves changes no size.
        let _ = self.app.resize(self.session, Act::Left(self.client));
    }
}
