//! One journal, looked through from its end's last part on: messages put together of the frames
//! that they came in, each looked at once.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use cib_base::errors::chain;
use cib_journal::line::Owner;
use cib_journal::seek::Source as _;
use cib_journal::{FILE, MAX_LINE};
use cib_protocol::api::{SearchPlace, Snippet};
use cib_protocol::frame::Role;
use cib_protocol::session::SessionId;
use cib_protocol::time::Timestamp;
use serde::Deserialize;

use super::words::Words;

/// Bytes of a journal's end that are looked through.
const MOST: u64 = 64 << 20;

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// Bytes of a message that are looked at as one.
const MAX_MESSAGE: usize = 1 << 20;

/// Messages that grow at once: Claude's, and those of its subagents.
const MAX_GROWING: usize = 16;

/// Places of one session that are told.
const MAX_PLACES: usize = 3;

/// A frame of text, as far as it matters here.
#[derive(Deserialize)]
struct Said<'a> {
    ts: Timestamp,
    #[serde(borrow)]
    data: Text<'a>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(default)]
    role: Role,
    #[serde(borrow, default)]
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    agent: Option<Whose<'a>>,
}

#[derive(Deserialize)]
struct Whose<'a> {
    #[serde(borrow)]
    parent_tool_use_id: Cow<'a, str>,
}

/// A message of which more may come.
#[derive(Debug)]
struct Growing {
    seq: u64,
    at: Timestamp,
    role: Role,
    message: Option<String>,
    agent: Option<String>,
    text: String,
}

/// A journal that is being looked through.
#[derive(Debug)]
pub(super) struct Looking {
    owner: Owner,
    file: Option<File>,
    offset: u64,
    end: u64,
    /// Whether the line at the offset may have begun in front of it.
    is_midway: bool,
    growing: VecDeque<Growing>,
    /// The newest places last.
    found: VecDeque<SearchPlace>,
}

impl Looking {
    /// Opens a session's journal. One that cannot be read has nothing to be found.
    pub(super) fn open(sessions: &Path, id: SessionId) -> Self {
        let path = sessions.join(id.to_string()).join(FILE);
        let opened = cib_foreign::open(&path).map_err(|error| chain(&error));
        let opened = opened.and_then(|file| {
            let end = file.metadata().map_err(|error| error.to_string())?.len();
            Ok((file, end))
        });
        let (file, end) = match opened {
            Ok((file, end)) => (Some(file), end),
            Err(why) => {
                tracing::debug!(session = %id, why, "a journal is not looked through");
                (None, 0)
            }
        };
        let offset = end.saturating_sub(MOST);
        Self {
            owner: Owner::new(id),
            file,
            offset,
            end,
            is_midway: offset > 0,
            growing: VecDeque::new(),
            found: VecDeque::new(),
        }
    }

    /// Goes on until `by`; whether that is all.
    pub(super) fn read(&mut self, words: &Words, by: Instant) -> bool {
        let Some(file) = self.file.take() else {
            return true;
        };
        match self.go_on(&file, words, by) {
            Ok(false) => {
                self.file = Some(file);
                false
            }
            Ok(true) => true,
            Err(error) => {
                let session = self.owner.session();
                tracing::debug!(%session, %error, "a journal is looked through in part");
                true
            }
        }
    }

    fn go_on(&mut self, file: &File, words: &Words, by: Instant) -> io::Result<bool> {
        let mut buffer = vec![0; CHUNK];
        while self.offset < self.end {
            let read = file.read_at(&mut buffer, self.offset)?;
            let Some(last) = memchr::memrchr(b'\n', &buffer[..read]) else {
                if read < buffer.len() {
                    // It is not written to its end yet.
                    break;
                }
                if buffer.len() as u64 > MAX_LINE {
                    return Err(io::Error::from(io::ErrorKind::InvalidData));
                }
                buffer.resize(buffer.len() * 2, 0);
                continue;
            };
            for line in buffer[..last].split(|byte| *byte == b'\n') {
                if !std::mem::take(&mut self.is_midway) {
                    self.line(line, words);
                }
            }
            self.offset += last as u64 + 1;
            if Instant::now() >= by {
                return Ok(false);
            }
        }
        while let Some(message) = self.growing.pop_front() {
            self.look(&message, words);
        }
        Ok(true)
    }

    fn line(&mut self, line: &[u8], words: &Words) {
        let Ok(head) = self.owner.head(line) else {
            return;
        };
        if head.kind != "text.delta" {
            return;
        }
        let said = std::str::from_utf8(line).ok();
        let Some(Said { ts, data }) = said.and_then(|line| serde_json::from_str(line).ok()) else {
            return;
        };
        let agent = data.agent.map(|agent| agent.parent_tool_use_id);
        let known = self
            .growing
            .iter()
            .position(|one| one.agent.as_deref() == agent.as_deref());
        if let Some(at) = known {
            let one = &mut self.growing[at];
            let goes_on =
                one.role == data.role && one.message.as_deref() == data.message_id.as_deref();
            if goes_on && one.text.len() + data.text.len() <= MAX_MESSAGE {
                one.text.push_str(&data.text);
                return;
            }
            if let Some(message) = self.growing.remove(at) {
                self.look(&message, words);
            }
        }
        if self.growing.len() >= MAX_GROWING
            && let Some(message) = self.growing.pop_front()
        {
            self.look(&message, words);
        }
        self.growing.push_back(Growing {
            seq: head.seq,
            at: ts,
            role: data.role,
            message: data.message_id.map(Cow::into_owned),
            agent: agent.map(Cow::into_owned),
            text: data.text.into_owned(),
        });
    }

    fn look(&mut self, message: &Growing, words: &Words) {
        let Some(snippet) = words.find(&message.text) else {
            return;
        };
        if self.found.len() == MAX_PLACES {
            self.found.pop_front();
        }
        self.found.push_back(place(message, snippet));
    }

    /// What was found, the newest first.
    pub(super) fn found(self) -> Vec<SearchPlace> {
        self.found.into_iter().rev().collect()
    }
}

fn place(message: &Growing, snippet: Snippet) -> SearchPlace {
    SearchPlace {
        seq: message.seq,
        at: message.at,
        role: message.role,
        snippet,
    }
}
