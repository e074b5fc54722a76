//! What a client may say on a session's WebSocket.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_protocol::api::{
    Accepted, Encoding, Input, InputTaken, Resize, StreamCommand, StreamReply, StreamRequest,
};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Program, SessionId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::size::{Act, Client};
use super::ttyd;
use crate::app::App;
use crate::auth::Caller;
use crate::auth::scope::Scope;
use crate::fault::{Code, Fault};
use crate::once::Key;
use crate::routes::call::Reply;
use crate::sessions::{command, keeper};

/// Subprotocol of a stream: every text message is one JSON value.
pub const SUBPROTOCOL: &str = "json";

/// Subprotocol of a stream for pages: a text message is as many JSON values as are ready, one a
/// line. A browser takes ten times as many frames so, because a message costs it far more than a
/// line does.
pub const LINES: &str = "jsonl";

/// Subprotocol of a stream for terminals: binary messages are the terminal's bytes.
pub const BINARY: &str = "binary";

/// Subprotocol of ttyd: the first byte of a message says what the rest is.
pub const TTYD: &str = "tty";

/// How a WebSocket is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Frames and commands as JSON texts, one a message.
    Json,
    /// As `Json`, with as many frames in a message as are ready.
    Lines,
    /// The terminal's bytes both ways, and commands as JSON texts.
    Terminal,
    /// As `Terminal`, in the words of ttyd.
    Ttyd,
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
        let command = StreamCommand::Input {
            data,
            encoding: Encoding::Base64,
            content: Vec::new(),
            client_id: None,
        };
        let typed = self.obey(command).await;
        answer(None, typed)
    }

    /// Does what a message of ttyd's asks, and returns why that could not be done.
    pub async fn hear_ttyd(&self, message: ttyd::Message<'_>) -> Option<String> {
        match message {
            ttyd::Message::Input(bytes) => self.type_in(bytes).await,
            ttyd::Message::Size { cols, rows } => {
                let take = false;
                let resized = self.obey(StreamCommand::Resize { cols, rows, take });
                answer(None, resized.await)
            }
            ttyd::Message::Pause(_) | ttyd::Message::Unknown => None,
        }
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
            StreamCommand::Input {
                data,
                encoding,
                content,
                client_id,
            } => {
                let input = Input {
                    data,
                    encoding,
                    content,
                    client_id: None,
                };
                let (request, bytes) = if is_shell {
                    command::keys(input)?
                } else {
                    command::input(input)?
                };
                self.act(Act::Typed(self.client)).await?;
                return self
                    .once(client_id, "input", request, move |_| {
                        Reply::json(&InputTaken { bytes })
                    })
                    .await;
            }
            StreamCommand::Resize { cols, rows, take } => {
                command::resize(Resize { cols, rows })?;
                if take {
                    let told = Act::Resized(self.client, (cols, rows));
                    self.act(told).await?;
                    return self.act(Act::Typed(self.client)).await;
                }
                return self.act(Act::Resized(self.client, (cols, rows))).await;
            }
            StreamCommand::Answer {
                id,
                answers,
                client_id,
            } => {
                let request = KeeperRequest::Answer { id, answers };
                return self
                    .once(client_id, "answer", request, |id| {
                        Reply::json(&Accepted { id })
                    })
                    .await;
            }
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
        let who = &self.caller.who;
        keeper::tell(self.app.store.runtime(), self.session, who, request)
            .await
            .map(|_| ())
    }

    /// As [`Speaker::tell`], and not again if the client says that it is the same; a request over
    /// the route of the same name counts as well.
    async fn once(
        &self,
        client_id: Option<String>,
        what: &str,
        mut request: KeeperRequest,
        reply: impl FnOnce(SessionId) -> Result<Reply, Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        let Some(client_id) = client_id else {
            return self.tell(&request).await;
        };
        let (who, session) = (self.caller.who.clone(), self.session);
        let key = Key::new(&who, &format!("{what} {session}"), &client_id)?;
        command::name(&mut request, &key);
        let app = Arc::clone(&self.app);
        let work = async move {
            keeper::tell(app.store.runtime(), session, &who, &request).await?;
            reply(session)
        };
        self.app.once.run(key, work).await.map(|_| ())
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
