//! A WebSocket: frames out, commands in, both at once.

use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use axum::http::HeaderValue;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cib_protocol::frame::{Frame, PtyRaw};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};

use super::held::Hold;
use crate::auth::credential;
use crate::feed::reader::Told;
use crate::routes::call::{Broadcast, Conversation};
use crate::stream::socket::{BINARY, LINES, MAX_MESSAGE, SUBPROTOCOL, Speaker, TTYD, Wire};
use crate::stream::{Event, Finish, Follow, ttyd};

/// Answers that may wait to be sent. With more of them the client is not listened to.
const REPLIES: usize = 16;

/// What each connection holds for reading; nearly all messages of clients are small.
const READ_BUFFER: usize = 4 * 1024;

/// Frames are collected up to this many bytes before they are written.
const WRITE_BUFFER: usize = 16 * 1024;

/// Most bytes of a message that has several frames. A single longer one is a message alone.
const MESSAGE: usize = 64 * 1024;

/// How long a client hears nothing that wants to, before it is told some more.
const PAUSE: Duration = Duration::from_secs(10);

/// How long a client has to answer that the conversation is closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// Accepts the upgrade and converses in a task of its own.
pub(super) fn accept(
    upgrade: WebSocketUpgrade,
    conversation: Conversation,
    hold: Option<Hold>,
) -> Response {
    prepare(upgrade, conversation.wire).on_upgrade(move |socket| async move {
        let _hold = hold;
        converse(socket, conversation).await;
    })
}

/// As [`accept`], for a client that is only spoken to.
pub(super) fn accept_feed(
    upgrade: WebSocketUpgrade,
    broadcast: Broadcast,
    hold: Option<Hold>,
) -> Response {
    prepare(upgrade, broadcast.wire).on_upgrade(move |socket| async move {
        let _hold = hold;
        tell(socket, broadcast).await;
    })
}

fn prepare(mut upgrade: WebSocketUpgrade, wire: Wire) -> WebSocketUpgrade {
    if let Some(protocol) = choose(&upgrade, wire) {
        upgrade.set_selected_protocol(protocol);
    }
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
}

/// A client that offers subprotocols has to be given one of them. That with the token or the
/// proof is the last resort, since it makes it travel back.
fn choose(upgrade: &WebSocketUpgrade, wire: Wire) -> Option<HeaderValue> {
    let is = |protocol: &HeaderValue, wanted: fn(&str) -> bool| protocol.to_str().is_ok_and(wanted);
    let mut offered = upgrade.requested_protocols();
    let plain = match wire {
        Wire::Json => |text: &str| text == SUBPROTOCOL,
        Wire::Lines => |text: &str| text == LINES,
        Wire::Terminal => |text: &str| text == BINARY,
        Wire::Ttyd => |text: &str| text == TTYD,
    };
    let bearer = |text: &str| {
        text.starts_with(credential::SUBPROTOCOL) || text.starts_with(credential::PROOF_SUBPROTOCOL)
    };
    let chosen = offered.find(|protocol| is(protocol, plain)).cloned();
    chosen.or_else(|| {
        upgrade
            .requested_protocols()
            .find(|protocol| is(protocol, bearer))
            .cloned()
    })
}

async fn converse(socket: WebSocket, conversation: Conversation) {
    let Conversation {
        mut follow,
        speaker,
        wire,
        tells_life,
        gauge,
    } = conversation;
    let (mut sink, mut source) = socket.split();
    let (replies, waiting) = mpsc::channel(REPLIES);
    let (pause, paused) = watch::channel(false);
    let speaking = async {
        if wire == Wire::Ttyd {
            for message in ttyd::greeting() {
                sink.feed(Message::Binary(message)).await.ok()?;
            }
        }
        let replies = Replies { waiting, paused };
        speak(&mut sink, &mut follow, replies, (wire, tells_life), &gauge).await
    };
    let finished = tokio::select! {
        finished = speaking => finished,
        () = listen(&mut source, &speaker, wire, replies, &pause) => None,
    };
    let finished = finished.map(|finish| (finish.close, finish.reason));
    part(sink, source, finished).await;
}

/// Says why it is over, if it was not the client who went.
async fn part(
    mut sink: SplitSink<WebSocket, Message>,
    mut source: SplitStream<WebSocket>,
    finished: Option<(u16, &'static str)>,
) {
    let farewell = async {
        let Some((code, reason)) = finished else {
            return sink.close().await;
        };
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        sink.send(Message::Close(Some(frame))).await?;
        // The close is only complete when the client has answered it.
        while source.next().await.is_some_and(|message| message.is_ok()) {}
        Ok(())
    };
    // Whoever does not answer in time is gone.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Tells a client what happens in the box until one of them ends it.
async fn tell(socket: WebSocket, mut broadcast: Broadcast) {
    let (mut sink, mut source) = socket.split();
    let finished = tokio::select! {
        finished = broadcast_to(&mut sink, &mut broadcast) => finished,
        // What the client says is of no use here, but that it has gone is.
        () = async { while source.next().await.is_some_and(|message| message.is_ok()) {} } => None,
    };
    part(sink, source, finished).await;
}

async fn broadcast_to(
    sink: &mut SplitSink<WebSocket, Message>,
    broadcast: &mut Broadcast,
) -> Option<(u16, &'static str)> {
    loop {
        match broadcast.reader.next().await {
            Told::Events(events) => {
                let most = match broadcast.wire {
                    Wire::Lines => MESSAGE,
                    Wire::Json | Wire::Terminal | Wire::Ttyd => 0,
                };
                let mut text = String::new();
                for event in &events {
                    let Ok(line) = std::str::from_utf8(&event.json) else {
                        continue;
                    };
                    if !text.is_empty() && text.len() + 1 + line.len() > most {
                        let full = std::mem::take(&mut text);
                        sink.feed(Message::Text(full.into())).await.ok()?;
                    }
                    if !text.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(line);
                }
                sink.send(Message::Text(text.into())).await.ok()?;
                broadcast.gauge.sent(events.len());
            }
            Told::Heartbeat => {
                if broadcast.tells_life {
                    let line = format!(r#"{{"keepalive":"{}"}}"#, broadcast.reader.cursor());
                    sink.feed(Message::Text(line.into())).await.ok()?;
                }
                sink.send(Message::Ping(Bytes::new())).await.ok()?;
            }
            Told::End(finish) => return Some((finish.close, finish.reason)),
        }
    }
}

/// What the client has caused.
struct Replies {
    waiting: mpsc::Receiver<String>,
    /// Whether it wants to hear nothing for a while.
    paused: watch::Receiver<bool>,
}

/// Sends frames and answers until the stream ends; `None` if the client has gone.
async fn speak(
    sink: &mut SplitSink<WebSocket, Message>,
    follow: &mut Follow,
    mut replies: Replies,
    (wire, tells_life): (Wire, bool),
    gauge: &crate::metrics::StreamGauge,
) -> Option<Finish> {
    loop {
        // The client is asked now and then: a token may have ended meanwhile.
        let _ = tokio::time::timeout(PAUSE, replies.paused.wait_for(|paused| !paused)).await;
        tokio::select! {
            biased;
            // Whoever wants to hear no more hears nothing of what comes after that.
            Ok(()) = replies.paused.changed() => {}
            Some(reply) = replies.waiting.recv() => {
                let message = match wire {
                    Wire::Ttyd => Message::Binary(ttyd::complaint(&reply)),
                    _ => Message::Text(reply.into()),
                };
                sink.send(message).await.ok()?;
            }
            event = follow.next() => match event {
                Event::Frames(batch) => {
                    if wire == Wire::Lines {
                        for lines in batch.packed(MESSAGE) {
                            let Ok(text) = Utf8Bytes::try_from(lines) else { continue };
                            sink.feed(Message::Text(text)).await.ok()?;
                        }
                    } else {
                        for line in batch.lines() {
                            let Some(message) = message(line.bytes, wire) else { continue };
                            sink.feed(message).await.ok()?;
                        }
                    }
                    gauge.sent(batch.lines().len());
                    sink.flush().await.ok()?;
                }
                Event::Heartbeat => {
                    if tells_life {
                        // Browsers hide pings from pages.
                        let line = format!(r#"{{"keepalive":{}}}"#, follow.position());
                        sink.feed(Message::Text(line.into())).await.ok()?;
                    }
                    sink.send(Message::Ping(Bytes::new())).await.ok()?;
                }
                Event::End(finish) => return Some(finish),
            },
        }
    }
}

/// A frame as it is sent; `None` for one that was damaged on the disk.
fn message(line: Bytes, wire: Wire) -> Option<Message> {
    match wire {
        Wire::Json | Wire::Lines => Some(Message::Text(Utf8Bytes::try_from(line).ok()?)),
        Wire::Terminal | Wire::Ttyd => {
            let frame: Frame = serde_json::from_slice(&line).ok()?;
            let raw: PtyRaw = serde_json::from_str(frame.data.get()).ok()?;
            let bytes = STANDARD.decode(raw.data).ok()?;
            Some(Message::Binary(match wire {
                Wire::Ttyd => ttyd::output(&bytes),
                _ => bytes.into(),
            }))
        }
    }
}

/// Does what the client says until it has gone.
async fn listen(
    source: &mut SplitStream<WebSocket>,
    speaker: &Speaker,
    wire: Wire,
    replies: mpsc::Sender<String>,
    pause: &watch::Sender<bool>,
) {
    while let Some(Ok(message)) = source.next().await {
        let reply = match message {
            Message::Binary(_) | Message::Text(_) if wire == Wire::Ttyd => {
                let bytes = message.into_data();
                let message = ttyd::Message::read(&bytes);
                if let ttyd::Message::Pause(is_on) = message {
                    pause.send_replace(is_on);
                }
                speaker.hear_ttyd(message).await
            }
            Message::Binary(bytes) if wire == Wire::Terminal => speaker.type_in(&bytes).await,
            Message::Text(text) if wire == Wire::Terminal => speaker.hear_terminal(&text).await,
            Message::Text(text) => speaker.hear(&text).await,
            Message::Binary(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => speaker.hear(text).await,
                Err(_) => speaker.hear("").await,
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => None,
        };
        if let Some(reply) = reply
            && replies.send(reply).await.is_err()
        {
            return;
        }
    }
}
