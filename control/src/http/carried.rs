//! The sealed line inside a WebSocket: each message or record of it is one binary message.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{Message, WebSocket};
use axum::response::Response;
use bytes::{Buf as _, Bytes};
use cib_envelope::message::{CHALLENGE, RESPONSE};
use cib_envelope::record::AROUND;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::held::Hold;
use super::line::{self, Line};

/// What a client may offer as the subprotocol.
const SUBPROTOCOL: &str = "cib-aes-3";

/// Bytes of a message of a device's.
const MOST: usize = 64 * 1024;

/// Accepts the upgrade, and serves the line in a task of its own.
pub(super) fn accept(
    upgrade: WebSocketUpgrade,
    hold: Hold,
    line: impl FnOnce(Carried) -> Line<Carried> + Send + 'static,
) -> Response {
    upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(MOST)
        .max_frame_size(MOST)
        .on_upgrade(move |socket| line::serve(line(Carried::new(socket)), hold))
}

/// What the box says next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Challenge,
    Answer,
    Record,
}

/// A WebSocket as bytes both ways.
#[derive(Debug)]
pub(super) struct Carried {
    socket: WebSocket,
    incoming: Bytes,
    next: Next,
}

/// How many of the bytes are the next message, and what follows it. A refusal is JSON, and the last.
fn piece(next: Next, bytes: &[u8]) -> (usize, Next) {
    let record = |from: usize| {
        let length = bytes.get(from..from + 2).map_or(0, |two| {
            usize::from(u16::from_be_bytes([two[0], two[1]]) & 0x7fff)
        });
        from + length + AROUND
    };
    let whole = match next {
        Next::Challenge | Next::Answer if bytes.first() == Some(&b'{') => bytes.len(),
        Next::Challenge => CHALLENGE,
        Next::Answer => record(RESPONSE),
        Next::Record => record(0),
    };
    let then = match next {
        Next::Challenge => Next::Answer,
        Next::Answer | Next::Record => Next::Record,
    };
    (whole.min(bytes.len()), then)
}

impl Carried {
    fn new(socket: WebSocket) -> Self {
        Self {
            socket,
            incoming: Bytes::new(),
            next: Next::Challenge,
        }
    }
}

impl AsyncRead for Carried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.incoming.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.incoming = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "text is no record");
                    return Poll::Ready(Err(error));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let count = self.incoming.len().min(buf.remaining());
        buf.put_slice(&self.incoming[..count]);
        self.incoming.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Carried {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(io::Error::other)?;
        let (count, next) = piece(self.next, buf);
        let message = Message::Binary(Bytes::copy_from_slice(&buf[..count]));
        Pin::new(&mut self.socket)
            .start_send(message)
            .map_err(io::Error::other)?;
        self.next = next;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket)
            .poll_flush(cx)
            .map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket)
            .poll_close(cx)
            .map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_and_each_record_is_cut_from_what_follows_it() {
        let record = |length: u16, is_last: bool| {
            let head = length | if is_last { 0x8000 } else { 0 };
            let mut record = head.to_be_bytes().to_vec();
            record.resize(2 + usize::from(length) + 16, 7);
            record
        };
        let said = [
            vec![b'C'; CHALLENGE],
            [vec![b'C'; RESPONSE], record(11, false)].concat(),
            record(300, false),
            record(4, true),
        ];
        let bytes = said.concat();
        let (mut rest, mut next, mut cut) = (&bytes[..], Next::Challenge, Vec::new());
        while !rest.is_empty() {
            let (count, then) = piece(next, rest);
            cut.push(rest[..count].to_vec());
            (rest, next) = (&rest[count..], then);
        }
        assert_eq!(cut, said);
        let refusal = br#"{"error":"stale"}"#;
        assert_eq!(piece(Next::Answer, refusal).0, refusal.len());
    }
}
