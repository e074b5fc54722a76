//! Sessions as conversations, for clients too small for frames.

use std::io;
use std::time::{Duration, Instant};

use cib_protocol::api::{Chat as Body, Input, Send};
use cib_protocol::frame::{Data, Frame, Stop};
use cib_protocol::keeper::KeeperRequest;
use cib_protocol::session::{Program, SessionId, Uuid};

use super::call::{Call, Reply};
use super::streams::{cursor, unreadable};
use crate::chat::Chat;
use crate::fault::{Code, Fault};
use crate::journal::cursor::{Cursor, Kinds, Line, Read, Ready};
use crate::sessions::{command, keeper};
use crate::work;

/// How long a turn is waited for if nothing is said, in milliseconds.
const DEFAULT_WAIT: u64 = 60_000;

/// The longest wait for a turn, in milliseconds.
const MAX_WAIT: u64 = 300_000;

/// Kinds of which a conversation is made.
const TOLD: &str = "text.delta,tool.use.*,stop";

/// Bytes of a conversation that one answer has, about.
const MAX_CHAT: usize = 4 * 1024 * 1024;

/// How long a journal is looked through for one answer.
const LOOK: Duration = Duration::from_secs(2);

/// How much of a conversation was told.
enum Told {
    Everything,
    /// As much as one answer has.
    Enough,
    /// As much as there was time for.
    More,
}

/// A conversation up to now, or up to the end of a turn.
#[derive(Default)]
struct Turn {
    chat: Chat,
    /// Seq of the last frame that was taken up.
    last_seq: u64,
    stop: Option<String>,
    question: Option<String>,
    /// The message whose turn it is; without one any turn will do.
    message: Option<String>,
}

pub(super) async fn chat(call: Call) -> Result<Reply, Fault> {
    let id = call.id(Program::Claude)?;
    let since = call.query.number("since").unwrap_or(0);
    let mut cursor = cursor(&call, Program::Claude, since, Kinds::parse(TOLD)).await?;
    let mut turn = Turn::after(since);
    let deadline = Instant::now() + LOOK;
    let is_more = loop {
        let told;
        (cursor, turn, told) = work::portion(move |by| {
            let told = turn.portion(&mut cursor, by);
            (cursor, turn, told)
        })
        .await?;
        match told.map_err(unreadable)? {
            Told::Everything => break false,
            Told::Enough => break true,
            Told::More if Instant::now() >= deadline => break true,
            Told::More => {}
        }
    };
    if turn.chat.size() < MAX_CHAT {
        // Nothing of what was passed over says anything either.
        turn.last_seq = turn.last_seq.max(cursor.position());
    }
    // So much text takes its time to be written, too.
    work::portion(move |_| {
        Reply::json(&Body {
            stop: None,
            question: None,
            ..turn.body(id, is_more)
        })
    })
    .await?
}

pub(super) async fn send(call: Call) -> Result<Reply, Fault> {
    let id = call.id(Program::Claude)?;
    let Send { prompt, timeout_ms } = call.json()?;
    let wait = timeout_ms.unwrap_or(DEFAULT_WAIT);
    if wait > MAX_WAIT {
        let detail = format!("`timeout_ms` is at most {MAX_WAIT}");
        return Err(Fault::new(Code::BadValue, detail));
    }
    let last_seq = call.app.store.get(Program::Claude, id).await?.last_seq;
    let mut cursor = cursor(&call, Program::Claude, last_seq, Kinds::default()).await?;
    let (mut request, _) = command::input(Input {
        data: prompt,
        ..Input::default()
    })?;
    let message = Uuid::new_v4();
    if let KeeperRequest::Input { id, .. } = &mut request {
        *id = Some(message);
    }
    keeper::tell(call.app.store.runtime(), id, &call.caller()?.who, &request).await?;
    let mut turn = Turn {
        message: Some(message.to_string()),
        ..Turn::after(last_seq)
    };
    let (mut shutdown, mut caller) = (call.app.shutdown(), call.caller()?);
    let is_over = tokio::select! {
        () = turn.follow(&mut cursor) => true,
        lapse = caller.lapse() => return Err(Fault::lapsed(lapse)),
        () = shutdown.begun() => false,
        () = tokio::time::sleep(Duration::from_millis(wait)) => false,
    };
    let body = turn.body(id, !is_over);
    if is_over {
        Reply::json(&body)
    } else {
        Reply::partial(&body)
    }
}

impl Turn {
    fn after(last_seq: u64) -> Self {
        Self {
            last_seq,
            ..Self::default()
        }
    }

    /// Takes up what the cursor gives until `by`, on a thread that may take its time.
    fn portion(&mut self, cursor: &mut Cursor, by: Instant) -> io::Result<Told> {
        loop {
            let batch = match cursor.ready_by(by)? {
                Ready::Frames(batch) => batch,
                Ready::Nothing => return Ok(Told::Everything),
                Ready::Later => return Ok(Told::More),
            };
            for line in batch.lines() {
                self.take(&line);
                if self.chat.size() >= MAX_CHAT {
                    return Ok(Told::Enough);
                }
            }
            if Instant::now() >= by {
                return Ok(Told::More);
            }
        }
    }

    /// Reads until the turn has ended or waits for an answer, or the session ends.
    async fn follow(&mut self, cursor: &mut Cursor) {
        while let Read::Frames(batch) = cursor.next().await {
            for line in batch.lines() {
                self.take(&line);
                if self.stop.is_some() || self.question.is_some() {
                    return;
                }
            }
            // Claude may say much at once, and others want their turn.
            tokio::task::yield_now().await;
        }
    }

    fn take(&mut self, line: &Line<'_>) {
        self.last_seq = line.seq;
        // A frame that this version cannot read says nothing to a small client either.
        let Ok(frame) = serde_json::from_slice::<Frame>(&line.bytes) else {
            return;
        };
        let Ok(Some(data)) = frame.decode() else {
            return;
        };
        self.chat.take(&frame, &data);
        match data {
            Data::Stop(stop) if self.is_its_own(&stop) => self.stop = Some(stop.reason),
            Data::AskQuestion(question) => self.question = Some(question.id),
            _ => {}
        }
    }

    /// Whether an end is that of the message's turn, or of everything. A journal of a keeper
    /// that names no messages tells only turns of the user.
    fn is_its_own(&self, stop: &Stop) -> bool {
        match &self.message {
            Some(message) if !stop.last => match stop.by {
                Some(_) => stop.messages.contains(message),
                None => true,
            },
            _ => true,
        }
    }

    fn body(self, session: SessionId, partial: bool) -> Body {
        Body {
            session,
            last_seq: self.last_seq,
            messages: self.chat.into_messages(),
            stop: self.stop,
            question: self.question,
            partial,
        }
    }
}
