//! The servers that are measured.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cib_protocol::session::SessionId;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::journal::line;

const TOKEN: &str = "a-token-for-the-bench";

/// Frames that a keeper writes at once when it is pressed.
const BATCH: u64 = 32;

/// A server of events that something can be written to.
pub(super) trait Peer {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// The request for its events.
    fn request(&self) -> String;

    /// Writes frames, one at each pace or all as fast as can be.
    fn write(&mut self, frames: u64, pace: Option<Duration>);
}

/// The real program, with journals that the bench writes as a keeper would.
pub(super) struct Control {
    child: Child,
    address: SocketAddr,
    sessions: Vec<SessionId>,
    journal: File,
    _sockets: Vec<UnixListener>,
    _dir: TempDir,
}

impl Control {
    /// Starts control on so many sessions.
    pub(super) fn start(sessions: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, run) = (dir.path().join("data"), dir.path().join("run"));
        let mut sockets = Vec::new();
        let sessions: Vec<_> = (0..sessions).map(|_| SessionId::new_v4()).collect();
        for id in &sessions {
            let own = data.join("sessions").join(id.to_string());
            let socket = run.join("sessions").join(id.to_string());
            fs::create_dir_all(&own).unwrap();
            fs::create_dir_all(&socket).unwrap();
            let meta = json!({
                "id": id, "workdir": "/workspace", "driver": "stream", "state": "idle",
                "permission_mode": "default", "auth_mode": "auto", "last_seq": 0,
                "created_at": "2026-01-01T00:00:00.000Z",
            });
            fs::write(own.join("meta.json"), meta.to_string()).unwrap();
            fs::write(own.join("transcript.jsonl"), "").unwrap();
            sockets.push(UnixListener::bind(socket.join("keeper.sock")).unwrap());
        }
        let auth = dir.path().join("auth.json");
        let digest = Sha256::digest(TOKEN)
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        fs::write(&auth, json!({"master_sha256": digest}).to_string()).unwrap();
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cib-control"))
            .env_clear()
            .stdout(Stdio::piped())
            .args([
                "--listen",
                &address.to_string(),
                "--ready-fd",
                "1",
                "--log-level",
                "error",
            ])
            .arg("--data-dir")
            .arg(&data)
            .arg("--runtime-dir")
            .arg(&run)
            .arg("--auth")
            .arg(&auth)
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let first = data.join("sessions").join(sessions[0].to_string());
        let journal = OpenOptions::new()
            .append(true)
            .open(first.join("transcript.jsonl"))
            .unwrap();
        Self {
            child,
            address,
            sessions,
            journal,
            _sockets: sockets,
            _dir: dir,
        }
    }

    /// Lists the sessions a few times, as a page that is open does.
    pub(super) fn list(&self) {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(self.address).unwrap();
            let request = request("/api/sessions", "Connection: close\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains(&self.sessions[0].to_string()));
        }
    }

    /// Opens an event stream on every session.
    pub(super) fn follow_all(&self) -> Vec<TcpStream> {
        let follow = |id: &SessionId| {
            let mut stream = TcpStream::connect(self.address).unwrap();
            let request = request(&format!("/sse/sessions/{id}"), "");
            stream.write_all(request.as_bytes()).unwrap();
            let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
            assert!(head.any(|line| line.unwrap() == ":ok"));
            stream
        };
        self.sessions.iter().map(follow).collect()
    }

    /// Proportional set size in KiB.
    pub(super) fn pss(&mut self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Peer for Control {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self) -> String {
        request(&format!("/sse/sessions/{}", self.sessions[0]), "")
    }

    fn write(&mut self, frames: u64, pace: Option<Duration>) {
        let session = self.sessions[0];
        batches(
            frames,
            pace,
            |lines, seq| line(lines, session, seq),
            |lines| {
                self.journal.write_all(lines).unwrap();
            },
        );
    }
}

/// The echo, in a process of its own.
pub(super) struct Echo {
    child: Child,
    input: TcpStream,
    address: SocketAddr,
}

impl Echo {
    /// Starts it.
    pub(super) fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(super::echo::ARGUMENT)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ports = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut ports)
            .unwrap();
        let (lines, events) = ports.trim().split_once(' ').unwrap();
        let address = |port: &str| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        let input = TcpStream::connect(address(lines)).unwrap();
        input.set_nodelay(true).unwrap();
        Self {
            child,
            input,
            address: address(events),
        }
    }
}

impl Peer for Echo {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self) -> String {
        request("/", "")
    }

    fn write(&mut self, frames: u64, pace: Option<Duration>) {
        let session = SessionId::nil();
        batches(
            frames,
            pace,
            |lines, seq| line(lines, session, seq),
            |lines| {
                self.input.write_all(lines).unwrap();
            },
        );
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n")
}

fn batches(
    frames: u64,
    pace: Option<Duration>,
    line: impl Fn(&mut Vec<u8>, u64),
    mut write: impl FnMut(&[u8]),
) {
    let mut lines = Vec::new();
    let mut due = Instant::now();
    for seq in 1..=frames {
        if let Some(pace) = pace {
            due += pace;
            while let Some(wait) = due.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(wait);
            }
        }
        line(&mut lines, seq);
        if pace.is_some() || seq % BATCH == 0 || seq == frames {
            write(&lines);
            lines.clear();
        }
    }
}
