//! A false init: it starts false keepers, and refuses when a test wants it to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cib_protocol::frame::Data;
use cib_protocol::init::{
    BoxStatus, EgressStatus, InitFault, InitReply, InitRequest, ServiceStatus,
};
use cib_protocol::purge::Purged;
use cib_protocol::session::{SessionId, SessionSpec};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;

use super::keeper::Keeper;
use super::login::Logins;
use super::real::Real;

/// What init does with the next sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Willing,
    Refusing(InitFault),
    Garbled,
}

#[derive(Default)]
pub struct State {
    pub mood: Mood,
    pub specs: Vec<SessionSpec>,
    pub signals: Vec<InitRequest>,
    pub purged: Vec<SessionId>,
    pub keepers: Vec<Keeper>,
    /// Whether keepers that are resumed go on where their journals end.
    pub go_on: bool,
    pub logins: Vec<Logins>,
    /// What each session says as soon as it is there.
    pub says: Vec<Data>,
    /// What starts real keepers; without it they are false.
    pub real: Option<Real>,
}

/// Listens where init does.
pub fn start(data: &Path, runtime: &Path) -> Arc<Mutex<State>> {
    let state = Arc::new(Mutex::new(State::default()));
    let listener = UnixListener::bind(runtime.join("init.sock")).unwrap();
    let (data, runtime): (PathBuf, PathBuf) = (data.into(), runtime.into());
    let shared = Arc::clone(&state);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                continue;
            }
            let request: InitRequest = serde_json::from_str(&line).unwrap();
            let reply = answer(&mut shared.lock().unwrap(), &data, &runtime, request);
            let _ = stream.write_all(&reply).await;
        }
    });
    state
}

fn answer(state: &mut State, data: &Path, runtime: &Path, request: InitRequest) -> Vec<u8> {
    let reply = match (state.mood, request) {
        (Mood::Garbled, _) => return b"no reply\n".to_vec(),
        (Mood::Refusing(code), _) => InitReply::Refused {
            code,
            detail: "because the test wants it".to_owned(),
        },
        (Mood::Willing, InitRequest::SessionStart { spec }) if state.real.is_some() => {
            let start = |real: &mut Real| real.start(data, runtime, &spec);
            let pid = state.real.as_mut().map_or(0, start);
            state.specs.push(*spec);
            InitReply::SessionStarted { pid }
        }
        (Mood::Willing, InitRequest::SessionStart { spec }) => {
            // One that is resumed leaves its socket to its successor.
            state.keepers.retain(|known| known.id != spec.id);
            let mut keeper = Keeper::start(data, runtime, &spec);
            if state.go_on {
                keeper.go_on();
            }
            if !state.says.is_empty() {
                keeper.append(&state.says);
            }
            state.keepers.push(keeper);
            state.specs.push(*spec);
            InitReply::SessionStarted { pid: 4711 }
        }
        (Mood::Willing, InitRequest::LoginStart {}) => {
            state.logins.push(Logins::start(runtime));
            InitReply::Done
        }
        (Mood::Willing, InitRequest::Status {}) => InitReply::Status(Box::new(status())),
        (Mood::Willing, request @ InitRequest::SessionSignal { .. }) => {
            state.signals.push(request);
            InitReply::Done
        }
        (Mood::Willing, InitRequest::SessionPurge { session }) => {
            state.purged.push(session);
            let dir = data.join("sessions").join(session.to_string());
            match std::fs::remove_dir_all(dir) {
                Ok(()) => InitReply::SessionPurged(Purged {
                    freed: 4096,
                    left: None,
                }),
                Err(_) => InitReply::Refused {
                    code: InitFault::NoSuchSession,
                    detail: "there is nothing of it".to_owned(),
                },
            }
        }
        (Mood::Willing, request) => panic!("control has no business asking {request:?}"),
    };
    let mut line = serde_json::to_vec(&reply).unwrap();
    line.push(b'\n');
    line
}

fn status() -> BoxStatus {
    BoxStatus {
        version: "0".to_owned(),
        phase: "up".to_owned(),
        uptime_ms: 1234,
        egress: EgressStatus {
            mode: "redirect".to_owned(),
            upstream: Some("192.0.2.7:1080".to_owned()),
            blocked: [("udp", 12), ("direct", 3)]
                .map(|(name, packets)| (name.to_owned(), packets))
                .into(),
            summary: "every packet leaves through 192.0.2.7:1080 or not at all".to_owned(),
            ..EgressStatus::default()
        },
        steps: Vec::new(),
        services: vec![ServiceStatus {
            name: "control".to_owned(),
            state: "ready".to_owned(),
            pid: Some(7),
            restarts: 0,
            uptime_ms: Some(1),
            last_exit: None,
        }],
        sessions: Vec::new(),
        warnings: Vec::new(),
    }
}
