//! One connection to the broker, from its beginning to its end; [`heard`] is what comes from
//! there, [`retained`] what stays there, and [`pushed`] what goes to devices that have subscribed.

mod heard;
mod pushed;
mod retained;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cib_protocol::api::{BoxChange, BoxEvent, BoxState};
use cib_protocol::session::{SessionId, SessionMeta};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::commands::{Answer, Return};
use super::discovery::Discovery;
use super::sealed::Outcome;
use super::sources::{self, Line, Origin, Piece, Place, Vain};
use super::topics::Topics;
use super::wire::{Heard, Outgoing, Refusal, Unsent, Wire};
use super::{Broken, Desk, Known, states};
use crate::app::Shutdown;
use crate::auth::Caller;
use crate::auth::scope::{Scope, Scopes};
use crate::feed::reader::{Reader, Told};
use crate::journal::cursor::Kinds;
use crate::stream::preview;

/// How long the broker has to take the box.
const GREETING: Duration = Duration::from_secs(20);

/// How long the broker has to take what is written to it.
const WRITE: Duration = Duration::from_secs(60);

/// How often it is written down what the broker has.
const KEEP: Duration = Duration::from_secs(1);

/// How often Home Assistant's devices are looked at, for those that are shown no longer.
const LOOK: Duration = Duration::from_secs(60);

/// Ended sessions whose journals are read at once.
const READERS: usize = 32;

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// What the acknowledgement of a message is for.
#[derive(Clone, Copy, Debug)]
enum Flight {
    Frame(SessionId, u64),
    /// Of a subscription, by its number.
    Push(u64, u64),
    Other,
}

/// What a task has done.
enum Done {
    Answer(Answer),
    Sealed(String, Outcome),
}

/// A connection that the broker took.
pub(super) struct Bridge<'a, S> {
    desk: &'a Desk,
    known: &'a mut Known,
    topics: Topics,
    discovery: Option<Discovery>,
    caller: Option<Caller>,
    wire: Wire,
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    flying: HashMap<u16, Flight>,
    /// What waits for room in the window, before any frame.
    answers: VecDeque<Answer>,
    sealed: VecDeque<(String, Vec<u8>)>,
    /// Retained topics with what they are to say; a later word replaces an earlier.
    retained: BTreeMap<String, Vec<u8>>,
    metas: HashMap<SessionId, SessionMeta>,
    state: BoxState,
    /// What Home Assistant shows, each with a hash of what it was told unless that is to be told anew.
    shown: BTreeMap<SessionId, Option<u64>>,
    /// Frames that were read and are not sent.
    lines: VecDeque<Line>,
    lines_of: Option<Origin>,
    pieces: mpsc::Sender<Piece>,
    coming: mpsc::Receiver<Piece>,
    following: HashMap<SessionId, u64>,
    waiting: VecDeque<SessionId>,
    vain: Vain,
    sources: JoinSet<()>,
    work: JoinSet<Done>,
    replays: HashMap<u64, Return>,
    next_replay: u64,
}

impl<'a, S> Bridge<'a, S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    /// Has the broker take the box.
    pub(super) async fn begin(
        desk: &'a Desk,
        known: &'a mut Known,
        stream: S,
        mut wire: Wire,
    ) -> Result<Self, Broken> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        timeout(GREETING, greet(&mut wire, &mut reader, &mut writer))
            .await
            .unwrap_or_else(|_| Err(Broken::Late))?;
        let settings = &desk.settings;
        let topics = Topics::new(&settings.prefix);
        // Config has checked the words.
        let scopes = Scopes::parse(&settings.scopes).unwrap_or_default();
        let caller = (!scopes.is_empty()).then(|| Caller::bridge(scopes));
        let discovery = settings.home_assistant.then(|| {
            let url = desk.public_url.clone();
            Discovery::new(settings.name(), &topics, url, caller.is_some())
        });
        let (pieces, coming) = mpsc::channel(1);
        Ok(Self {
            desk,
            known,
            topics,
            discovery,
            caller,
            wire,
            reader,
            writer,
            flying: HashMap::new(),
            answers: VecDeque::new(),
            sealed: VecDeque::new(),
            retained: BTreeMap::new(),
            metas: HashMap::new(),
            state: BoxState::default(),
            shown: BTreeMap::new(),
            lines: VecDeque::new(),
            lines_of: None,
            pieces,
            coming,
            following: HashMap::new(),
            waiting: VecDeque::new(),
            vain: Vain::default(),
            sources: JoinSet::new(),
            work: JoinSet::new(),
            replays: HashMap::new(),
            next_replay: 0,
        })
    }

    /// Speaks with the broker until that breaks, or the box ends.
    pub(super) async fn run(mut self, shutdown: &mut Shutdown) -> Result<(), Broken> {
        let outcome = self.speak(shutdown).await;
        self.known.positions.grounded();
        self.known.pushes.grounded();
        self.known.positions.save().await;
        outcome
    }

    async fn speak(&mut self, shutdown: &mut Shutdown) -> Result<(), Broken> {
        let filters = self
            .topics
            .wanted(self.caller.is_some(), self.discovery.is_some());
        if self.wire.subscribe(&filters).is_err() {
            return Err(Broken::Protocol(
                "it cannot be asked for messages".to_owned(),
            ));
        }
        self.here();
        let mut feed = Reader::new(&self.desk.app, Caller::bridge(reads()), None);
        let mut keep = interval(KEEP);
        let mut look = interval(LOOK);
        let mut buffer = BytesMut::with_capacity(CHUNK);
        loop {
            self.fill();
            self.flush().await?;
            let alarm = self
                .wire
                .alarm()
                .map_or_else(|| Instant::now() + LOOK, Instant::from_std);
            // Nothing more is read of the journals before what was read is on its way.
            let is_idle = self.lines.is_empty();
            tokio::select! {
                () = shutdown.begun() => return self.end().await,
                read = self.reader.read_buf(&mut buffer) => {
                    if read.map_err(Broken::Line)? == 0 {
                        return Err(Broken::Line(io::ErrorKind::UnexpectedEof.into()));
                    }
                    let heard = self.wire.input(&buffer);
                    buffer.clear();
                    self.hear(heard)?;
                }
                Some(piece) = self.coming.recv(), if is_idle => self.read(piece),
                told = feed.next() => self.told(told).await?,
                Some(done) = self.work.join_next() => match done {
                    Ok(Done::Answer(answer)) => self.answer(answer),
                    Ok(Done::Sealed(topic, outcome)) => self.asked(topic, outcome),
                    // The log has what it said.
                    Err(_) => {}
                },
                () = sleep_until(alarm) => {
                    let heard = self.wire.ring(std::time::Instant::now());
                    self.hear(heard)?;
                }
                _ = keep.tick(), if self.known.positions.is_changed() => {
                    self.known.positions.save().await;
                }
                _ = look.tick() => {
                    self.discover();
                    self.sweep();
                }
            }
            while self.sources.try_join_next().is_some() {}
        }
    }

    /// Says that the box goes away, in order.
    async fn end(&mut self) -> Result<(), Broken> {
        let topic = self.topics.status();
        let offline = Outgoing {
            topic: &topic,
            payload: b"offline",
            retain: true,
            ..Outgoing::default()
        };
        // With a full window the broker says it by itself, a little later.
        if self.wire.publish(&offline).is_ok() {
            self.wire.disconnect();
        }
        self.flush().await?;
        let _ = self.writer.shutdown().await;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        let out = self.wire.output();
        if out.is_empty() {
            return Ok(());
        }
        let written = timeout(WRITE, async {
            self.writer.write_all(&out).await?;
            self.writer.flush().await
        });
        match written.await {
            Ok(written) => written.map_err(Broken::Line),
            Err(_) => Err(Broken::Late),
        }
    }

    /// Sends what there is room for: answers first, then what is retained, then frames.
    fn fill(&mut self) {
        while self.wire.has_room() {
            if let Some(answer) = self.answers.pop_front() {
                let message = Outgoing {
                    topic: &answer.topic,
                    payload: &answer.payload,
                    is_json: true,
                    correlation: answer.correlation.as_deref(),
                    ..Outgoing::default()
                };
                // One that is too long for the broker is lost, and said to be.
                send(&mut self.wire, &mut self.flying, &message, Flight::Other);
            } else if let Some((topic, payload)) = self.sealed.pop_front() {
                let message = Outgoing {
                    topic: &topic,
                    payload: &payload,
                    ..Outgoing::default()
                };
                send(&mut self.wire, &mut self.flying, &message, Flight::Other);
            } else if let Some((topic, payload)) = self.retained.pop_first() {
                let message = Outgoing {
                    topic: &topic,
                    payload: &payload,
                    retain: true,
                    is_json: payload.first() == Some(&b'{'),
                    ..Outgoing::default()
                };
                send(&mut self.wire, &mut self.flying, &message, Flight::Other);
            } else if let (Some(line), Some(origin)) = (self.lines.pop_front(), self.lines_of) {
                self.frame(&line, origin);
            } else {
                return;
            }
        }
    }

    /// Sends a frame, cut to a preview where the broker would not take it whole.
    fn frame(&mut self, line: &Line, origin: Origin) {
        let (topic, correlation, flight) = match origin {
            Origin::Journal(session) => {
                let topic = self.topics.frames(session, &line.kind);
                (topic, None, Flight::Frame(session, line.seq))
            }
            Origin::Again(number) => match self.replays.get(&number) {
                Some(back) => (
                    back.topic.clone(),
                    back.correlation.as_deref(),
                    Flight::Other,
                ),
                None => return,
            },
            Origin::Push(number) => return self.push(number, line),
        };
        let most = self.wire.room_for(&topic);
        let cut = (line.bytes.len() > most).then(|| preview::shortened(&line.bytes, most));
        let message = Outgoing {
            topic: &topic,
            payload: cut.as_deref().unwrap_or(&line.bytes),
            seq: Some(line.seq),
            is_json: true,
            correlation,
            ..Outgoing::default()
        };
        let is_sent = send(&mut self.wire, &mut self.flying, &message, flight);
        if let Flight::Frame(session, seq) = flight {
            self.known.positions.sent(session, seq);
            if !is_sent {
                // No later one waits for it.
                self.known.positions.acknowledged(session, seq);
            }
            self.desk.app.metrics.published();
        }
    }

    /// Takes what was read of a journal.
    fn read(&mut self, piece: Piece) {
        match piece {
            Piece::Frames(origin, lines) => {
                if let (Origin::Journal(session), Some(last)) = (origin, lines.last()) {
                    self.following.insert(session, last.seq);
                }
                self.vain.forget(origin);
                self.lines = lines.into();
                self.lines_of = Some(origin);
            }
            Piece::Over(Origin::Push(number)) => self.rests(number),
            // It says itself when it is done.
            Piece::Over(Origin::Again(_)) => {}
            Piece::Over(origin @ Origin::Journal(session)) => {
                self.following.remove(&session);
                // It may have begun again meanwhile.
                if self
                    .metas
                    .get(&session)
                    .is_some_and(|meta| meta.state.is_live())
                {
                    // Or it cannot be read, which does not change in a moment.
                    self.vain.over(origin);
                    self.waiting.push_back(session);
                } else {
                    self.vain.forget(origin);
                }
                self.follow_waiting();
            }
            Piece::Done(number, outcome) => {
                let Some(back) = self.replays.remove(&number) else {
                    return;
                };
                let (status, body) = match outcome {
                    Ok(last) => (200, serde_json::json!({"last_seq": last})),
                    Err(why) => (
                        404,
                        serde_json::json!({"error": "no_such_session", "detail": why}),
                    ),
                };
                self.answer(back.answer(status, body.to_string().as_bytes()));
            }
        }
    }

    async fn told(&mut self, told: Told) -> Result<(), Broken> {
        let mut is_changed = false;
        let events = match told {
            Told::Events(events) => events,
            Told::Heartbeat => return Ok(()),
            Told::End(finish) => return Err(Broken::by(finish.reason)),
        };
        for event in events {
            let Ok(event) = serde_json::from_slice::<BoxEvent>(&event.json) else {
                continue;
            };
            match event.change {
                BoxChange::Snapshot(snapshot) => {
                    let is_new = self.known.positions.take_new();
                    self.state = snapshot.state;
                    for seen in &snapshot.sessions {
                        let meta = &seen.session;
                        // A broker that knows nothing is not told of what was before.
                        let seq = if is_new { meta.last_seq } else { 0 };
                        self.known.positions.begin(meta.id, seq);
                    }
                    if snapshot.next.is_none() {
                        let there: BTreeSet<_> = snapshot
                            .sessions
                            .iter()
                            .map(|seen| seen.session.id)
                            .collect();
                        for id in self.known.positions.known() {
                            if !there.contains(&id) {
                                self.gone(id);
                            }
                        }
                    }
                    for seen in snapshot.sessions {
                        self.session(seen.session);
                    }
                }
                BoxChange::Session(seen) => {
                    self.known.positions.begin(seen.session.id, 0);
                    self.session(seen.session);
                }
                BoxChange::Gone(gone) => self.gone(gone.id),
                BoxChange::Box(state) => self.state = *state,
                BoxChange::Shell(_) => continue,
            }
            is_changed = true;
        }
        // Each looks at every session, so once for all that happened.
        if is_changed {
            self.info();
            self.discover();
        }
        if !self.known.positions.is_changed() {
            return Ok(());
        }
        // A session that nobody knew is not told of twice, whatever happens.
        self.known.positions.save().await;
        Ok(())
    }

    /// A session is as this says.
    fn session(&mut self, meta: SessionMeta) {
        let id = meta.id;
        let state = states::session(&meta).to_string().into_bytes();
        self.retained.insert(self.topics.state(id), state);
        let is_live = meta.state.is_live();
        let last_seq = meta.last_seq;
        let acknowledged = self.known.positions.get(id);
        let has_more = acknowledged.is_none_or(|seq| seq < last_seq);
        self.metas.insert(id, meta);
        for number in self.known.pushes.resting(id, is_live, last_seq) {
            self.follow_push(number);
        }
        if is_live || has_more {
            if !self.following.contains_key(&id) && !self.waiting.contains(&id) {
                if is_live {
                    self.waiting.push_front(id);
                } else {
                    self.waiting.push_back(id);
                }
            }
            self.follow_waiting();
        }
    }

    fn follow_waiting(&mut self) {
        while let Some(id) = self.waiting.front().copied() {
            let is_live = self.metas.get(&id).is_some_and(|meta| meta.state.is_live());
            if !is_live && self.following.len() >= READERS {
                return;
            }
            self.waiting.pop_front();
            let after = self.known.positions.get(id).unwrap_or(0);
            self.following.insert(id, after);
            let kinds = Kinds::parse(&self.desk.settings.kinds.join(","));
            let (app, pieces) = (Arc::clone(&self.desk.app), self.pieces.clone());
            let (origin, pause) = (Origin::Journal(id), self.vain.pause(Origin::Journal(id)));
            let place = Place {
                session: id,
                after,
                kinds,
                coalesce: Duration::from_millis(self.desk.settings.coalesce_ms),
            };
            self.sources
                .spawn(sources::follow(app, origin, place, pause, pieces));
        }
    }

    /// A session is no more: what is retained of it goes too.
    fn gone(&mut self, id: SessionId) {
        self.metas.remove(&id);
        self.vain.forget(Origin::Journal(id));
        self.known.positions.forget(id);
        self.known.pushes.gone(id);
        self.retained.insert(self.topics.state(id), Vec::new());
        if let Some(discovery) = &self.discovery {
            self.shown.remove(&id);
            self.retained
                .insert(discovery.session_topic(id), Vec::new());
        }
    }
}

/// What the bridge itself reads of the box.
fn reads() -> Scopes {
    Scopes::parse(&[Scope::SessionsRead.as_str()]).unwrap_or_default()
}

/// Sends a message for which there is room; whether the broker may take it.
fn send(
    wire: &mut Wire,
    flying: &mut HashMap<u16, Flight>,
    message: &Outgoing<'_>,
    flight: Flight,
) -> bool {
    match wire.publish(message) {
        Ok(id) => {
            flying.insert(id, flight);
            true
        }
        Err(Unsent::Full | Unsent::Never) => {
            tracing::debug!(
                topic = message.topic,
                bytes = message.payload.len(),
                "not sent"
            );
            false
        }
    }
}

/// Waits until the broker has taken the box, or says why not.
async fn greet<S>(
    wire: &mut Wire,
    reader: &mut ReadHalf<S>,
    writer: &mut WriteHalf<S>,
) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite,
{
    writer
        .write_all(&wire.output())
        .await
        .map_err(Broken::Line)?;
    writer.flush().await.map_err(Broken::Line)?;
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        // One byte at a time: what follows belongs to the conversation.
        let mut byte = [0];
        reader
            .read_exact(&mut byte)
            .await
            .map_err(|error| match error.kind() {
                // A broker that does not know MQTT 5 may hang up and say nothing.
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                    Broken::Refused(Refusal::Version)
                }
                _ => Broken::Line(error),
            })?;
        buffer.extend_from_slice(&byte);
        for heard in wire.input(&byte) {
            match heard {
                Heard::Connected => return Ok(()),
                Heard::Refused(refusal) => return Err(Broken::Refused(refusal)),
                // As MQTT 3.1.1 refuses a version that it does not know.
                Heard::Over(_) if matches!(*buffer, [0x20, 2, _, 1]) => {
                    return Err(Broken::Refused(Refusal::Version));
                }
                Heard::Over(why) => return Err(Broken::Protocol(why)),
                _ => {}
            }
        }
    }
}
