//! A client of the box's API, written from its description and not from its code.

mod events;
mod frame;

pub use events::Events;
pub use frame::{Frame, FrameFault, said};

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

use crate::serve::runtime;

/// No answer takes longer, except for the events.
const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks to one box; each request has a connection of its own.
#[derive(Debug)]
pub struct BoxClient {
    via: Via,
    token: Option<String>,
    runtime: Runtime,
}

#[derive(Debug)]
enum Via {
    Tcp(SocketAddr),
    /// A program whose standard input and output are the connection.
    Tunnel(Vec<String>),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The box could not be reached.
    #[error("no connection to the box")]
    Connect(#[source] std::io::Error),
    /// The request could not be built from what the test gave.
    #[error("the request makes no sense")]
    Request(#[from] hyper::http::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    /// The box took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is something else.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in answer {}: {}", self.status, self.body))
    }

    /// The JSON of an answer that has to have `status`.
    ///
    /// # Panics
    /// It has another.
    #[track_caller]
    #[must_use]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }
}

impl BoxClient {
    /// Speaks to `addr` directly.
    ///
    /// # Panics
    /// The kernel gives no descriptors.
    #[must_use]
    pub fn new(addr: SocketAddr, token: Option<String>) -> Self {
        Self::with(Via::Tcp(addr), token)
    }

    /// Speaks through the standard input and output of `program` and its arguments.
    ///
    /// # Panics
    /// The kernel gives no descriptors.
    #[must_use]
    pub fn through(program: Vec<String>, token: Option<String>) -> Self {
        Self::with(Via::Tunnel(program), token)
    }

    fn with(via: Via, token: Option<String>) -> Self {
        let runtime = runtime().unwrap_or_else(|error| panic!("no runtime: {error}"));
        Self {
            via,
            token,
            runtime,
        }
    }

    /// The same with another token, or none.
    #[must_use]
    pub fn with_token(self, token: Option<&str>) -> Self {
        Self {
            token: token.map(String::from),
            ..self
        }
    }

    /// `GET path`.
    ///
    /// # Errors
    /// There is no answer.
    pub fn get(&self, path: &str) -> Result<Reply, ClientError> {
        self.send(Method::GET, path, Bytes::new())
    }

    /// `POST path` with a body of JSON.
    ///
    /// # Errors
    /// There is no answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply, ClientError> {
        self.send(Method::POST, path, body.to_string().into())
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// There is no answer.
    pub fn delete(&self, path: &str) -> Result<Reply, ClientError> {
        self.send(Method::DELETE, path, Bytes::new())
    }

    /// Sends `body` as it is, called JSON whatever it is.
    ///
    /// # Errors
    /// There is no answer.
    pub fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Reply, ClientError> {
        self.runtime.block_on(async {
            let answer = async {
                let response = self.request(method, path, body).await?;
                let status = response.status().as_u16();
                let body = response.into_body().collect().await?.to_bytes();
                Ok(Reply {
                    status,
                    body: String::from_utf8_lossy(&body).into_owned(),
                })
            };
            let late = |_| ClientError::Late(PATIENCE);
            tokio::time::timeout(PATIENCE, answer).await.map_err(late)?
        })
    }

    /// Opens a session in /workspace that starts with `prompt`; its id.
    ///
    /// # Panics
    /// The box does not answer 201 with a session.
    #[track_caller]
    #[must_use]
    pub fn open(&self, prompt: &str) -> String {
        let body = json!({"workdir": "/workspace", "prompt": prompt});
        let reply = match self.post("/api/sessions", &body) {
            Ok(reply) => reply,
            Err(error) => panic!("no session was opened: {error:?}"),
        };
        let session = reply.expect(201);
        session["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id in {session}"))
            .to_owned()
    }

    /// Says something in a session.
    ///
    /// # Panics
    /// The box refuses.
    #[track_caller]
    pub fn say(&self, session: &str, words: &str) {
        let path = format!("/api/sessions/{session}/input");
        match self.post(&path, &json!({"data": words})) {
            Ok(reply) => assert!(reply.status < 300, "{}: {}", reply.status, reply.body),
            Err(error) => panic!("the input was not taken: {error:?}"),
        }
    }

    /// The frames of a session from `from` on, as its transcript has them.
    ///
    /// # Panics
    /// The box has none.
    #[track_caller]
    #[must_use]
    pub fn transcript(&self, session: &str, from: u64) -> Vec<Frame> {
        let path = format!("/api/sessions/{session}/transcript?from={from}");
        let reply = match self.get(&path) {
            Ok(reply) => reply.expect(200),
            Err(error) => panic!("no transcript: {error:?}"),
        };
        let frames = reply["frames"].as_array().cloned().unwrap_or_default();
        let read = |frame| Frame::read(frame).unwrap_or_else(|fault| panic!("{fault} in {reply}"));
        frames.into_iter().map(read).collect()
    }

    /// The events of a session from `from` on, as they come.
    ///
    /// # Errors
    /// There is no answer, or not 200.
    pub fn events(&self, session: &str, from: u64) -> Result<Events<'_>, ClientError> {
        let path = format!("/api/sessions/{session}/events?from={from}");
        let response = self.runtime.block_on(async {
            let request = self.request(Method::GET, &path, Bytes::new());
            let late = |_| ClientError::Late(PATIENCE);
            tokio::time::timeout(PATIENCE, request)
                .await
                .map_err(late)?
        })?;
        Ok(Events::new(&self.runtime, response))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "box");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body))?;
        match &self.via {
            Via::Tcp(addr) => {
                let stream = tokio::net::TcpStream::connect(addr).await;
                exchange(stream.map_err(ClientError::Connect)?, request).await
            }
            Via::Tunnel(program) => {
                let mut tunnel = tokio::process::Command::new(&program[0])
                    .args(&program[1..])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn()
                    .map_err(ClientError::Connect)?;
                let (Some(output), Some(input)) = (tunnel.stdout.take(), tunnel.stdin.take())
                else {
                    unreachable!("both were asked for");
                };
                let answer = exchange(tokio::io::join(output, input), request).await;
                // The program ends with the connection; until then it must not be killed.
                tokio::spawn(async move { tunnel.wait().await });
                answer
            }
        }
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}
