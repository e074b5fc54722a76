//! The servers that are measured.

mod terminado;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cib_protocol::frame::{Data, Frame, Text};
use cib_protocol::session::SessionId;
use cib_protocol::time::Timestamp;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::program::{self, ask, paced};
use super::readers::Request;
use super::stamp;

pub(super) use terminado::Terminado;

/// The master token.
pub(super) const TOKEN: &str = "a-token-for-the-bench";

/// How long anything may take that should take a moment.
const SOON: Duration = Duration::from_secs(30);

/// A server that something can be written to.
pub(super) trait Peer {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// How a client asks it.
    fn request(&self) -> Request;

    /// Has frames written, one at each pace or all as fast as can be. Returns when the server
    /// has taken them all.
    fn write(&mut self, frames: u64, pace: Option<Duration>);

    /// Takes note of the writer's memory while it writes, for those who want to know.
    fn writer_peak(&self) -> Option<u64> {
        None
    }
}

/// What a keeper keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// A scripted CLI, by its stream-json.
    Stream,
    /// A program on a terminal.
    Terminal,
}

/// The real programs: control, and keepers of programs that the bench plays.
pub(super) struct Whole {
    control: Child,
    address: SocketAddr,
    keepers: Vec<Keeper>,
    kept: Kept,
    dir: TempDir,
}

struct Keeper {
    id: SessionId,
    process: Child,
    journal: PathBuf,
    socket: PathBuf,
    peak: u64,
}

impl Whole {
    /// Starts control and so many keepers.
    pub(super) fn start(keepers: usize, kept: Kept) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let me = std::env::current_exe().unwrap();
        let me = me.display();
        script(&root.join("cli"), &format!("exec {me} {}", program::CLI));
        let go = root.join("go");
        let terminal = format!("exec {me} {} {}", program::TERMINAL, go.display());
        script(&root.join("shell"), &terminal);
        for name in ["data/sessions", "run/sessions", "work", "home"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let keepers: Vec<_> = (0..keepers).map(|_| Keeper::start(root, kept)).collect();
        let (control, address) = control(root);
        Self {
            control,
            address,
            keepers,
            kept,
            dir,
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
            assert!(answer.contains(&self.keepers[0].id.to_string()));
        }
    }

    /// Opens an event stream on every session.
    pub(super) fn follow_all(&self) -> Vec<TcpStream> {
        let follow = |keeper: &Keeper| {
            let mut stream = TcpStream::connect(self.address).unwrap();
            let request = request(&format!("/sse/sessions/{}", keeper.id), "");
            stream.write_all(request.as_bytes()).unwrap();
            let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
            assert!(head.any(|line| line.unwrap() == ":ok"));
            stream
        };
        self.keepers.iter().map(follow).collect()
    }

    /// The first session.
    pub(super) fn session(&self) -> SessionId {
        self.keepers[0].id
    }

    /// Seconds that control has kept a processor busy for.
    pub(super) fn processor(&self) -> f64 {
        // Of all its threads, also those that have ended.
        let clock = clock_getcpuclockid(Pid::from_raw(self.control.id().cast_signed())).unwrap();
        Duration::from(clock_gettime(clock).unwrap()).as_secs_f64()
    }

    /// Proportional set size of control in KiB.
    pub(super) fn pss(&self) -> u64 {
        pss(self.control.id())
    }

    /// Proportional set sizes of the keepers in KiB, the smallest first, once each of them has
    /// been left alone for a while.
    pub(super) fn keepers_pss(&self) -> Vec<u64> {
        std::thread::park_timeout(Duration::from_secs(3));
        let mut all: Vec<_> = self.keepers.iter().map(|k| pss(k.process.id())).collect();
        all.sort_unstable();
        all
    }
}

impl Peer for Whole {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn request(&self) -> Request {
        let id = self.keepers[0].id;
        match self.kept {
            Kept::Stream => Request::Events(request(&format!("/sse/sessions/{id}"), "")),
            Kept::Terminal => Request::Socket(
                format!("/ws/shells/{id}"),
                Some(format!("binary, bearer.{TOKEN}")),
            ),
        }
    }

    fn write(&mut self, frames: u64, pace: Option<Duration>) {
        let words = ask(frames, pace);
        match self.kept {
            Kept::Terminal => fs::write(self.dir.path().join("go"), words).unwrap(),
            Kept::Stream => {
                let keeper = &mut self.keepers[0];
                keeper.tell(&json!({"op": "input", "text": words.trim()}));
                keeper.wait_for(r#""reason":"turn_end""#);
            }
        }
    }

    fn writer_peak(&self) -> Option<u64> {
        Some(self.keepers[0].peak).filter(|peak| *peak > 0)
    }
}

impl Keeper {
    fn start(root: &Path, kept: Kept) -> Self {
        let id = SessionId::new_v4();
        let dir = root.join("data/sessions").join(id.to_string());
        let runtime = root.join("run/sessions").join(id.to_string());
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(&runtime).unwrap();
        let mut spec = json!({"id": id, "workdir": root.join("work")});
        if kept == Kept::Terminal {
            spec["program"] = "shell".into();
            spec["driver"] = "tty".into();
        }
        let mut process = Command::new(beside("cib-session"))
            .env_clear()
            .env("HOME", root.join("home"))
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SHELL", root.join("shell"))
            .arg("run")
            .arg("--dir")
            .arg(&dir)
            .arg("--runtime")
            .arg(&runtime)
            .arg("--claude")
            .arg(root.join("cli"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        input.write_all(spec.to_string().as_bytes()).unwrap();
        drop(input);
        let mut keeper = Self {
            id,
            process,
            journal: dir.join("transcript.jsonl"),
            socket: runtime.join("keeper.sock"),
            peak: 0,
        };
        keeper.wait_for(match kept {
            Kept::Stream => r#""state":"idle""#,
            Kept::Terminal => r#""kind":"#,
        });
        keeper
    }

    fn tell(&self, request: &serde_json::Value) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        assert_eq!(reply, "\"done\"\n");
    }

    /// Waits until the journal's last lines hold something, and watches memory meanwhile.
    fn wait_for(&mut self, needle: &str) {
        let deadline = Instant::now() + SOON;
        let mut looks = 0_u32;
        loop {
            let mut end = [0; 2048];
            if let Ok(file) = File::open(&self.journal) {
                let len = file.metadata().unwrap().len();
                let count = file
                    .read_at(&mut end, len.saturating_sub(2048))
                    .unwrap_or(0);
                if memchr::memmem::find(&end[..count], needle.as_bytes()).is_some() {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "waited for {needle} in vain");
            if looks.is_multiple_of(20) {
                self.peak = self.peak.max(pss(self.process.id()));
            }
            looks += 1;
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

/// Control alone, with a journal that the bench writes as a keeper would.
pub(super) struct Control {
    whole: Whole,
    session: SessionId,
    journal: File,
}

impl Control {
    pub(super) fn start() -> Self {
        let whole = Whole::start(1, Kept::Stream);
        let keeper = &whole.keepers[0];
        let (session, path) = (keeper.id, &keeper.journal);
        // The keeper lives and says nothing more, so nobody else appends.
        let journal = File::options().append(true).open(path).unwrap();
        Self {
            session,
            journal,
            whole,
        }
    }

    /// The programs.
    pub(super) fn whole(&self) -> &Whole {
        &self.whole
    }
}

impl Peer for Control {
    fn address(&self) -> SocketAddr {
        self.whole.address
    }

    fn request(&self) -> Request {
        self.whole.request()
    }

    fn write(&mut self, frames: u64, pace: Option<Duration>) {
        let mut seq = 1000;
        let mut lines = Vec::new();
        paced(frames, pace, |flush| {
            seq += 1;
            line(&mut lines, self.session, seq);
            if flush {
                self.journal.write_all(&lines).unwrap();
                lines.clear();
            }
        });
    }
}

/// Appends the line of a frame that tells when it was made.
fn line(lines: &mut Vec<u8>, session: SessionId, seq: u64) {
    let data = Data::Text(Text {
        text: stamp::text(),
        ..Text::default()
    });
    Frame::write_line(lines, session, seq, Timestamp::now(), &data).unwrap();
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

    fn request(&self) -> Request {
        Request::Events(request("/", ""))
    }

    fn write(&mut self, frames: u64, pace: Option<Duration>) {
        let mut seq = 0;
        let mut lines = Vec::new();
        paced(frames, pace, |flush| {
            seq += 1;
            line(&mut lines, SessionId::nil(), seq);
            if flush {
                self.input.write_all(&lines).unwrap();
                lines.clear();
            }
        });
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        for child in self.keepers.iter_mut().map(|keeper| &mut keeper.process) {
            end(child);
        }
        end(&mut self.control);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

pub(super) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Starts control on what is below a directory.
fn control(root: &Path) -> (Child, SocketAddr) {
    control_with(root, None)
}

/// The same at an MQTT broker.
pub(super) fn control_with(root: &Path, mqtt: Option<&Value>) -> (Child, SocketAddr) {
    let auth = root.join("auth.json");
    let digest = Sha256::digest(TOKEN)
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let mut content = json!({"master_sha256": digest});
    if let Some(mqtt) = mqtt {
        content["mqtt"] = mqtt.clone();
    }
    fs::write(&auth, content.to_string()).unwrap();
    let address = free_address();
    let mut child = Command::new(beside("cib-control"))
        .env_clear()
        .stdout(Stdio::piped())
        .args(["--ready-fd", "1", "--log-level", "error", "--listen"])
        .arg(address.to_string())
        .arg("--data-dir")
        .arg(root.join("data"))
        .arg("--runtime-dir")
        .arg(root.join("run"))
        .arg("--auth")
        .arg(&auth)
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    (child, address)
}

/// A program of the box that was built with this bench.
fn beside(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_cib-control")).with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing: build it first",
        path.display()
    );
    path
}

pub(super) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Proportional set size in KiB.
fn pss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.map_or(0, |number| number.parse().unwrap())
}

fn request(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n")
}
