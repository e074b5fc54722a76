//! What a client may say on a session's WebSocket.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_protocol::api::{Encoding, Input, Resize, StreamCommand, StreamReply, StreamRequest};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Program, SessionId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::size::{Act, Client};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::scope::Scope;
use crate::fault::{Code, Fault};
use crate::sessions::{command, keeper};

/// Subprotocol of a stream: every text message is one JSON value.
pub const SUBPROTOCOL: &str = "json";

/// Subprotocol of a stream for terminals: binary messages are the terminal's bytes.
pub const BINARY: &str = "binary";

/// How a WebSocket is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Frames and commands as JSON texts.
    Json,
    /// The terminal's bytes both ways, and commands as JSON texts.
    Terminal,
}

/// Largest message that a client may send, in bytes: an input of the largest size, as JSON.
pub const MAX_MESSAGE: usize = cib_protocol::MAX_INPUT_LINE;

/// One client on one session. While it lives, its terminal's size is taken into account.
#[derive(Debug)]
pub struct Speaker {
    app: Arc<App>,
    caller: Caller,
    program: Program,
    session: SessionId,
    client: Client,
}

/// What a terminal sends besides keys: a command as it is, or as clients of frames write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum TerminalText {
    Request(StreamRequest),
    Command(StreamCommand),
}

impl Speaker {
    /// A client that has just connected.
    #[must_use]
    pub fn new(app: Arc<App>, caller: Caller, program: Program, session: SessionId) -> Self {
        let client = app.new_client();
        Self {
            app,
            caller,
            program,
            session,
            client,
        }
    }

    /// Does what a message asks and returns the answer that the client wants, if any.
    pub async fn hear(&self, message: &str) -> Option<String> {
        match parse::<StreamRequest>(message) {
            Ok(request) => {
                let outcome = self.obey(request.command).await;
                answer(request.reference, outcome)
            }
            Err(fault) => answer(None, Err(fault)),
        }
    }

    /// As [`Speaker::hear`], for a terminal.
    pub async fn hear_terminal(&self, message: &str) -> Option<String> {
        let (reference, command) = match parse(message) {
            Ok(TerminalText::Request(request)) => (request.reference, request.command),
            Ok(TerminalText::Command(command)) => (None, command),
            Err(fault) => return answer(None, Err(fault)),
        };
        answer(reference, self.obey(command).await)
    }

    /// Types bytes into the terminal, and returns why that could not be done.
    pub async fn type_in(&self, bytes: &[u8]) -> Option<String> {
        let data = STANDARD.encode(bytes);
        let encoding = Encoding::Base64;
        let typed = self.obey(StreamCommand::Input { data, encoding }).await;
        answer(None, typed)
    }

    async fn obey(&self, command: StreamCommand) -> Result<(), Fault> {
        let is_shell = self.program == Program::Shell;
        let scope = match &command {
            StreamCommand::Input { .. } | StreamCommand::Resize { .. } if is_shell => {
                Scope::ShellsInput
            }
            _ if is_shell => {
                let detail = "a shell has no Claude; it takes `input` and `resize`";
                return Err(Fault::new(Code::WrongDriver, detail));
            }
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
                let input = Input { data, encoding };
                let (request, _) = if is_shell {
                    command::keys(input)?
                } else {
                    command::input(input)?
                };
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

/// A message as a value. Where an object is expected, serde would also take its values as an
/// array.
fn parse<T: DeserializeOwned>(message: &str) -> Result<T, Fault> {
    if message.trim_ascii_start().starts_with('[') {
        return Err(Fault::new(
            Code::BadValue,
            "the message is not a JSON object",
        ));
    }
    serde_json::from_str(message).map_err(|error| Fault::from_json(&error))
}

/// What a client is told of a command: that it was done if it asked to know, and in any case
/// that it was not.
fn answer(reference: Option<u64>, outcome: Result<(), Fault>) -> Option<String> {
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

impl Drop for Speaker {
    fn drop(&mut self) {
        // A client that leaves changes no size.
        let _ = self.app.resize(self.session, Act::Left(self.client));
    }
}
