//! A false keeper: a real journal, and a socket that remembers what it was told.
//!
//! What the session is stands in front of the journal's first frame, in lines that are numbered
//! 0 and told to nobody, so that a test counts its own frames from 1.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cib_protocol::frame::{Data, Frame, Meta, Opening, Status, Stop, Text};
use cib_protocol::keeper::{KeeperReply, KeeperRequest};
use cib_protocol::session::{OpenQuestion, SessionId, SessionMeta, SessionSpec, State};
use cib_protocol::time::Timestamp;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Bytes of what stands in front of the first frame.
const PREFACE: usize = 4096;

/// What a keeper does with a request; the default accepts everything.
type Answers = Arc<Mutex<Box<dyn FnMut(&KeeperRequest) -> Option<KeeperReply> + Send>>>;

pub struct Keeper {
    pub id: SessionId,
    dir: PathBuf,
    socket: PathBuf,
    journal: File,
    meta: SessionMeta,
    shared: Arc<Mutex<SessionMeta>>,
    told: Arc<Mutex<Vec<KeeperRequest>>>,
    answers: Answers,
    fresh: Arc<Mutex<Option<SessionMeta>>>,
    author: Arc<Mutex<Option<String>>>,
    listening: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Makes the directories and files of a session and listens on its socket.
    pub fn start(data: &Path, runtime: &Path, spec: &SessionSpec) -> Self {
        let id = spec.id;
        let dir = data.join("sessions").join(id.to_string());
        let sockets = runtime.join("sessions").join(id.to_string());
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(&sockets).unwrap();
        let journal = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("transcript.jsonl"))
            .unwrap();
        let meta = meta(spec);
        let shared = Arc::new(Mutex::new(meta.clone()));
        let mut keeper = Self {
            id,
            dir,
            socket: sockets.join("keeper.sock"),
            journal,
            meta,
            shared,
            told: Arc::default(),
            answers: Arc::new(Mutex::new(Box::new(|_| Some(KeeperReply::Done)))),
            fresh: Arc::default(),
            author: Arc::default(),
            listening: None,
        };
        // Of a session that is resumed the journal goes on.
        let lines = keeper.journal();
        let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
        let last = last.and_then(|line| serde_json::from_slice::<Frame>(line).ok());
        keeper.meta.last_seq = last.map_or(0, |frame| frame.seq);
        keeper.write_meta();
        if keeper.meta.last_seq > 0 {
            keeper.become_state(State::Idle);
        }
        keeper.listen();
        keeper
    }

    /// Goes on where the journal ends, if it is resumed.
    pub fn go_on(&mut self) {
        let journal = self.journal();
        let mut lines = journal.split(|byte| *byte == b'\n');
        let last = lines.rfind(|line| !line.is_empty());
        let last = last.map_or(0, |line| serde_json::from_slice::<Frame>(line).unwrap().seq);
        if self.meta.last_seq == 0 && last > 0 {
            self.meta.last_seq = last;
            self.become_state(State::Idle);
        }
    }

    pub fn listen(&mut self) {
        let _ = fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).unwrap();
        let told = Arc::clone(&self.told);
        let answers = Arc::clone(&self.answers);
        let fresh = Arc::clone(&self.fresh);
        let shared = Arc::clone(&self.shared);
        let authors = Arc::clone(&self.author);
        self.listening = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    continue;
                }
                let mut request: KeeperRequest = serde_json::from_str(&line).unwrap();
                if let KeeperRequest::As { by, request: asked } = request {
                    *authors.lock().unwrap() = Some(by);
                    request = *asked;
                }
                let reply = if request == KeeperRequest::Status {
                    let known = fresh.lock().unwrap().clone();
                    let meta = known.unwrap_or_else(|| shared.lock().unwrap().clone());
                    Some(KeeperReply::Status(Box::new(meta)))
                } else {
                    let reply = (answers.lock().unwrap())(&request);
                    told.lock().unwrap().push(request);
                    reply
                };
                match reply {
                    Some(reply) => {
                        let mut line = serde_json::to_vec(&reply).unwrap();
                        line.push(b'\n');
                        let _ = stream.write_all(&line).await;
                    }
                    // A keeper that hangs holds the connection and says nothing.
                    None => std::mem::forget(stream),
                }
            }
        }));
    }

    /// Answers from now on with this.
    pub fn answer(&self, with: impl FnMut(&KeeperRequest) -> Option<KeeperReply> + Send + 'static) {
        *self.answers.lock().unwrap() = Box::new(with);
    }

    /// Who told it something last.
    pub fn author(&self) -> Option<String> {
        self.author.lock().unwrap().clone()
    }

    /// What it was told so far.
    pub fn told(&self) -> Vec<KeeperRequest> {
        self.told.lock().unwrap().clone()
    }

    /// Seq of the last frame.
    pub fn last_seq(&self) -> u64 {
        self.meta.last_seq
    }

    /// Appends frames in one write.
    pub fn append(&mut self, frames: &[Data]) {
        let mut lines = Vec::new();
        for data in frames {
            self.meta.last_seq += 1;
            let ts = Timestamp::now();
            Frame::write_line(&mut lines, self.id, self.meta.last_seq, ts, data).unwrap();
        }
        self.append_bytes(&lines);
    }

    /// Appends bytes as they are.
    pub fn append_bytes(&mut self, bytes: &[u8]) {
        self.journal.write_all(bytes).unwrap();
    }

    /// The line that the next frame would be, without writing it.
    pub fn next_line(&mut self, data: &Data) -> Vec<u8> {
        self.meta.last_seq += 1;
        let mut line = Vec::new();
        let ts = Timestamp::now();
        Frame::write_line(&mut line, self.id, self.meta.last_seq, ts, data).unwrap();
        line
    }

    /// Changes the state, as a keeper does.
    pub fn become_state(&mut self, state: State) {
        self.append(&[Data::Status(Status {
            state,
            elapsed_ms: 1,
        })]);
        self.meta.state = state;
        *self.shared.lock().unwrap() = self.meta.clone();
    }

    /// Tells from now on which questions wait.
    pub fn ask(&mut self, open: Vec<OpenQuestion>) {
        self.meta.open_questions = open;
        *self.shared.lock().unwrap() = self.meta.clone();
    }

    /// Ends the session as a keeper does: the last frames, then the socket.
    pub fn end(&mut self, state: State) {
        self.append(&[Data::Stop(Stop {
            reason: "exit".to_owned(),
            last: true,
            ..Stop::default()
        })]);
        self.become_state(state);
        self.vanish();
    }

    /// Ends, if it was asked to and has not.
    pub fn obey(&mut self) {
        let asked = |request: &KeeperRequest| matches!(request, KeeperRequest::Stop { .. });
        if self.listening.is_some() && self.told().iter().any(asked) {
            self.end(State::Stopped);
        }
    }

    /// Dies without a word.
    pub fn vanish(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = fs::remove_file(&self.socket);
        }
    }

    /// Says from now on that the session is something else than its journal says.
    pub fn say_fresh(&self, change: impl FnOnce(&mut SessionMeta)) {
        let mut meta = self.meta.clone();
        change(&mut meta);
        *self.fresh.lock().unwrap() = Some(meta);
    }

    /// Changes what the session is before its first frame.
    pub fn set_meta(&mut self, change: impl FnOnce(&mut SessionMeta)) {
        change(&mut self.meta);
        self.write_meta();
    }

    fn write_meta(&mut self) {
        *self.shared.lock().unwrap() = self.meta.clone();
        let meta = &self.meta;
        let resources = Some(meta.resources);
        let mut frames = vec![
            Data::Status(Status {
                state: meta.state,
                elapsed_ms: 0,
            }),
            Data::Usage(meta.usage),
        ];
        let turn = Stop {
            resources,
            ..Stop::default()
        };
        frames.extend((0..meta.turns).map(|_| Data::Stop(turn.clone())));
        frames.push(Data::Meta(Meta {
            model: meta.model.clone(),
            workdir: Some(meta.workdir.display().to_string()),
            permission_mode: Some(meta.permission_mode.as_str().to_owned()),
            claude_session: meta.claude_session.map(|id| id.to_string()),
            driver: Some(meta.driver),
            title: meta.title.clone(),
            opening: Some(Box::new(Opening {
                resources,
                ended_in: meta.ended_in,
                ..cib_journal::fold::opening(meta)
            })),
            ..Meta::default()
        }));
        let mut lines = Vec::new();
        for data in &frames {
            Frame::write_line(&mut lines, self.id, 0, meta.created_at, data).unwrap();
        }
        assert!(lines.len() < PREFACE, "{} bytes", lines.len());
        lines.pop();
        // As long whatever it says: what follows stays at its place.
        lines.resize(PREFACE - 1, b' ');
        lines.push(b'\n');
        lines.extend_from_slice(&self.journal());
        let (new, path) = (self.dir.join("new"), self.dir.join("transcript.jsonl"));
        fs::write(&new, lines).unwrap();
        fs::rename(new, &path).unwrap();
        self.journal = OpenOptions::new().append(true).open(path).unwrap();
    }

    /// The journal's frames as they are on the disk.
    pub fn journal(&self) -> Vec<u8> {
        let mut bytes = fs::read(self.dir.join("transcript.jsonl")).unwrap();
        bytes.drain(..PREFACE.min(bytes.len()));
        bytes
    }

    /// The session's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.vanish();
    }
}

/// A piece of text.
pub fn text(text: impl Into<String>) -> Data {
    Data::Text(Text {
        text: text.into(),
        ..Text::default()
    })
}

/// A new session's spec.
pub fn spec() -> SessionSpec {
    serde_json::from_value(json!({"id": SessionId::new_v4(), "workdir": "/workspace"})).unwrap()
}

fn meta(spec: &SessionSpec) -> SessionMeta {
    serde_json::from_value(json!({
        "id": spec.id,
        "program": spec.program,
        "workdir": spec.workdir,
        "driver": spec.driver,
        "model": spec.model,
        "permission_mode": spec.permission_mode,
        "auth_mode": spec.auth_mode,
        "provider_id": spec.provider_id,
        "toolbox": spec.toolbox.is_some(),
        "title": spec.title,
        "state": "idle",
        "created_at": Timestamp::now(),
        "last_seq": 0,
        "claude_session": SessionId::new_v4(),
        "limits": spec.limits,
    }))
    .unwrap()
}
