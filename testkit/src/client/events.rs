//! Reads server-sent events and holds them to their description: `id` is the frame's seq,
//! `event` its kind, `data` the frame.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::Frame;

/// The events of one session, as they come.
#[derive(Debug)]
pub struct Events<'a> {
    runtime: &'a Runtime,
    status: u16,
    body: Incoming,
    buffer: Vec<u8>,
    ended: bool,
}

impl<'a> Events<'a> {
    pub(super) fn new(runtime: &'a Runtime, response: Response<Incoming>) -> Self {
        let status = response.status().as_u16();
        Self {
            runtime,
            status,
            body: response.into_body(),
            buffer: Vec::new(),
            ended: false,
        }
    }

    /// The HTTP status of the answer that the events are the body of.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The next frame; nothing if the stream ends or `deadline` passes first.
    ///
    /// # Panics
    /// An event is not what it has to be.
    pub fn next(&mut self, deadline: Duration) -> Option<Frame> {
        let end = Instant::now() + deadline;
        loop {
            while let Some(event) = self.take_event() {
                if let Some(frame) = frame(&event) {
                    return Some(frame);
                }
            }
            if self.ended {
                return None;
            }
            let more = self
                .runtime
                .block_on(async { tokio::time::timeout_at(end, self.body.frame()).await });
            match more {
                Ok(Some(Ok(part))) => {
                    if let Ok(data) = part.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Ok(Some(Err(_)) | None) => self.ended = true,
                Err(_late) => return None,
            }
        }
    }

    /// All frames up to and with the first that `is_last`.
    ///
    /// # Panics
    /// `deadline` passes or the stream ends before it came; the message lists what did.
    #[track_caller]
    pub fn until(&mut self, deadline: Duration, is_last: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let end = Instant::now() + deadline;
        let mut frames: Vec<Frame> = Vec::new();
        loop {
            let Some(frame) = self.next(end.saturating_duration_since(Instant::now())) else {
                let came: Vec<_> = frames
                    .iter()
                    .map(|frame| (&frame.kind, &frame.data))
                    .collect();
                panic!("the last frame did not come within {deadline:?}; what came: {came:#?}");
            };
            let last = is_last(&frame);
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    fn take_event(&mut self) -> Option<String> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&event).into_owned())
    }
}

/// The frame of an event; nothing for a comment, which only keeps the connection alive.
fn frame(event: &str) -> Option<Frame> {
    let field = |name: &str| {
        let lines = event.lines().filter_map(|line| line.split_once(':'));
        let values = lines
            .filter(|(found, _)| *found == name)
            .map(|(_, value)| value.trim_start());
        values
            .map(String::from)
            .reduce(|all, line| all + "\n" + &line)
    };
    let data = field("data")?;
    let frame: Frame = serde_json::from_str(&data)
        .unwrap_or_else(|error| panic!("an event without a frame ({error}): {event}"));
    assert_eq!(
        field("id").as_deref(),
        Some(frame.seq.to_string().as_str()),
        "id of {event}"
    );
    assert_eq!(
        field("event").as_deref(),
        Some(frame.kind.as_str()),
        "event of {event}"
    );
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_frames_seq_and_kind() {
        let event = "id: 3\nevent: status\ndata: {\"session\":\"s\",\"seq\":3,\"ts\":\"t\",\
                     \"kind\":\"status\",\"data\":{}}\n\n";
        assert_eq!(frame(event).unwrap().seq, 3);
        assert_eq!(frame(": keep-alive\n\n"), None);
    }

    #[test]
    #[should_panic(expected = "id of")]
    fn an_event_with_another_id_is_no_event() {
        let event = "id: 4\nevent: status\ndata: {\"session\":\"s\",\"seq\":3,\"ts\":\"t\",\
                     \"kind\":\"status\",\"data\":{}}\n\n";
        let _ = frame(event);
    }
}
