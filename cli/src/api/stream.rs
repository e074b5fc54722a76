//! The terminal of a session or shell, over the box's WebSocket.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Api, ApiError};
use crate::terminal::{self, keys::Matcher};

/// How long what may be the beginning of the keys to leave is held back.
const HOLD: Duration = Duration::from_millis(20);

/// The shortest and the longest wait before a connection is made anew.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long the box may be away.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why the terminal was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// By the keys; what runs there goes on.
    Detached,
    /// What ran there has ended, and why.
    Ended(String),
    /// This process was told to end.
    Told,
    /// The box has been away for too long.
    Lost,
}

/// What a connection came to.
enum Came {
    Left(Left),
    Broken,
}

type Socket = WebSocketStream<TcpStream>;

/// This terminal's side: what is typed, and what changes.
struct Here {
    typed: mpsc::Receiver<Vec<u8>>,
    resized: Signal,
    ended: Signal,
    hung_up: Signal,
    keys: Matcher,
    read_only: bool,
}

impl Api {
    /// Gives this terminal to `/api/KIND/ID` until one of the two leaves.
    ///
    /// # Errors
    /// The box refuses, or there is no terminal.
    pub fn attach(&self, path: &str, keys: Matcher, read_only: bool) -> Result<Left, ApiError> {
        let raw = terminal::Raw::begin().map_err(ApiError::Runtime)?;
        let left = self.runtime.block_on(self.attached(path, keys, read_only));
        drop(raw);
        left
    }

    async fn attached(&self, path: &str, keys: Matcher, read_only: bool) -> Result<Left, ApiError> {
        let on = |kind| signal(kind).map_err(ApiError::Runtime);
        let mut here = Here {
            typed: typed(),
            resized: on(SignalKind::window_change())?,
            ended: on(SignalKind::terminate())?,
            hung_up: on(SignalKind::hangup())?,
            keys,
            read_only,
        };
        let mut first = true;
        let mut wait = BACKOFF.0;
        let mut since = Instant::now();
        loop {
            match self.connect(path, first).await {
                Ok(socket) => {
                    first = false;
                    wait = BACKOFF.0;
                    if let Came::Left(left) = here.follow(socket).await {
                        return Ok(left);
                    }
                    since = Instant::now();
                }
                Err(error) if first => return Err(error),
                Err(ApiError::Refused {
                    status: 404 | 401, ..
                }) => {
                    return Ok(Left::Ended("gone".to_owned()));
                }
                Err(_) => {}
            }
            if since.elapsed() > PATIENCE {
                return Ok(Left::Lost);
            }
            if here.waits(wait).await {
                return Ok(Left::Detached);
            }
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn connect(&self, path: &str, first: bool) -> Result<Socket, ApiError> {
        // What was seen before the connection broke is on the screen still.
        let tail = if first { "" } else { "?tail=1" };
        let refused = |status, detail: String| ApiError::Refused {
            status,
            code: "no_stream".to_owned(),
            detail,
        };
        let broken = |error: tungstenite::Error| match error {
            tungstenite::Error::Http(reply) => {
                let status = reply.status();
                refused(status.as_u16(), status.to_string())
            }
            error => refused(0, crate::text::line(&error.to_string())),
        };
        let url = format!("ws://{}{path}/stream{tail}", self.addr);
        let mut request = url.into_client_request().map_err(broken)?;
        let protocols = format!("binary, bearer.{}", self.token);
        let protocols = HeaderValue::from_str(&protocols).map_err(hyper::http::Error::from)?;
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, protocols);
        let stream = TcpStream::connect(self.addr)
            .await
            .map_err(|source| ApiError::Connect {
                addr: self.addr,
                source,
            })?;
        // A keystroke is not to wait for the next one.
        let _ = stream.set_nodelay(true);
        let (socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .map_err(broken)?;
        Ok(socket)
    }
}

/// What is typed, read by a thread that lives as long as the process.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        loop {
            match io::stdin().lock().read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    if sender.blocking_send(piece[..read].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

impl Here {
    async fn follow(&mut self, mut socket: Socket) -> Came {
        if self.sized(&mut socket, true).await.is_err() {
            return Came::Broken;
        }
        loop {
            let outcome = tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(message)) => match heard(message) {
                        Some(came) => return came,
                        None => Ok(()),
                    },
                    Some(Err(_)) | None => return Came::Broken,
                },
                bytes = self.typed.recv() => match bytes {
                    Some(bytes) => {
                        let fed = self.keys.feed(&bytes);
                        let sent = self.send(&mut socket, fed.pass).await;
                        if fed.leave {
                            let _ = socket.close(None).await;
                            return Came::Left(Left::Detached);
                        }
                        sent
                    }
                    None => return Came::Left(Left::Detached),
                },
                () = tokio::time::sleep(HOLD), if self.keys.holds() => {
                    let bytes = self.keys.give_up();
                    self.send(&mut socket, bytes).await
                }
                _ = self.resized.recv() => self.sized(&mut socket, false).await,
                _ = self.ended.recv() => return Came::Left(Left::Told),
                _ = self.hung_up.recv() => return Came::Left(Left::Told),
            };
            if outcome.is_err() {
                return Came::Broken;
            }
        }
    }

    async fn send(&self, socket: &mut Socket, bytes: Vec<u8>) -> Result<(), tungstenite::Error> {
        if bytes.is_empty() || self.read_only {
            return Ok(());
        }
        socket.send(Message::Binary(Bytes::from(bytes))).await
    }

    /// Tells this terminal's size; `anew` has what runs there draw everything once more.
    async fn sized(&self, socket: &mut Socket, anew: bool) -> Result<(), tungstenite::Error> {
        if self.read_only {
            return Ok(());
        }
        let Some((columns, rows)) = terminal::size() else {
            return Ok(());
        };
        let sizes = if anew {
            vec![(columns, rows.saturating_add(1)), (columns, rows)]
        } else {
            vec![(columns, rows)]
        };
        for (cols, rows) in sizes {
            let command = json!({"resize": {"cols": cols, "rows": rows}});
            socket
                .send(Message::Text(command.to_string().into()))
                .await?;
        }
        Ok(())
    }

    /// Waits before the next connection; whether the keys to leave were typed meanwhile.
    async fn waits(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            tokio::select! {
                bytes = self.typed.recv() => match bytes {
                    Some(bytes) if self.keys.feed(&bytes).leave => return true,
                    Some(_) => {}
                    None => return true,
                },
                () = tokio::time::sleep_until(end) => return false,
            }
        }
    }
}

/// Shows what the box has sent; how the connection ended, if it did.
fn heard(message: Message) -> Option<Came> {
    match message {
        Message::Binary(bytes) => {
            let mut out = io::stdout().lock();
            let shown = out.write_all(&bytes).and_then(|()| out.flush());
            shown.is_err().then_some(Came::Left(Left::Detached))
        }
        Message::Close(frame) => Some(ending(frame)),
        // A refusal of something that was typed; nothing of it belongs on the screen.
        Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
    }
}

fn ending(frame: Option<CloseFrame>) -> Came {
    let Some(frame) = frame else {
        return Came::Broken;
    };
    match u16::from(frame.code) {
        1000 | 4401 | 4410 => Came::Left(Left::Ended(crate::text::line(frame.reason.as_str()))),
        _ => Came::Broken,
    }
}

/// Whether a session or shell lives.
#[must_use]
pub fn lives(about: &Value) -> bool {
    matches!(
        about["state"].as_str(),
        Some("starting" | "idle" | "working" | "waiting_for_input")
    )
}
