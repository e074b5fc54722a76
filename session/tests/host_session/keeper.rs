//! A keeper under test, with its directories.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cib_protocol::frame::Frame;
use cib_protocol::keeper::KeeperReply;
use cib_protocol::session::SessionMeta;
use cib_testkit::process::Process;
use cib_testkit::wait::{wait_for, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// How long anything may take that should take a moment. The real CLI alone takes seconds of a
/// processor to begin, which others may want as well.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The keeper's user where it is not Claude's.
pub(crate) const KEEPER: u32 = 40_972;

/// Claude's user where it is not the keeper's.
pub(crate) const CODER: u32 = 41_000;

/// A user that may ask the keeper.
pub(crate) const PEER: u32 = 40_970;

/// Directories as they are in a box, for any number of keepers.
pub(crate) struct Place {
    root: TempDir,
    /// How the keeper's command line begins; empty runs it as it is.
    pub(crate) wrapper: Vec<String>,
    /// Options of `run` behind the usual ones.
    pub(crate) options: Vec<String>,
    pub(crate) claude: PathBuf,
    /// Variables of the keeper.
    pub(crate) environment: Vec<(String, String)>,
    /// Whether keeper and Claude are users of their own, joined by a launcher that is root.
    is_apart: bool,
}

/// A keeper that runs.
pub(crate) struct Keeper {
    pub(crate) process: Process,
    pub(crate) id: Uuid,
    pub(crate) dir: PathBuf,
    pub(crate) socket: PathBuf,
    /// The launcher that was started beside it, if there was one.
    pub(crate) launcher: Option<Process>,
}

impl Place {
    /// An empty place whose Claude is the scripted one.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("data/sessions")).unwrap();
        fs::create_dir_all(root.path().join("work")).unwrap();
        fs::create_dir_all(root.path().join("home")).unwrap();
        Self {
            root,
            wrapper: Vec::new(),
            options: Vec::new(),
            claude: [env!("CARGO_MANIFEST_DIR"), "tests/fakes/claude"]
                .iter()
                .collect(),
            environment: Vec::new(),
            is_apart: false,
        }
    }

    /// The same, with keeper and Claude as users of their own, as init starts them.
    pub(crate) fn apart() -> Self {
        let place = Self::new();
        place.set_apart()
    }

    pub(crate) fn set_apart(mut self) -> Self {
        self.is_apart = true;
        fs::create_dir_all(self.path("data/locks")).unwrap();
        let open = |name, mode| {
            let path = self.path(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open("", 0o777);
        for (name, user) in [("home", CODER), ("work", CODER), ("data/locks", KEEPER)] {
            open(name, 0o700);
            chown(self.path(name), Some(user), Some(user)).unwrap();
        }
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn dir(&self, id: Uuid) -> PathBuf {
        self.path("data/sessions").join(id.to_string())
    }

    /// A spec for a new session whose scripted Claude does `fake`.
    pub(crate) fn spec(&self, fake: &str) -> Value {
        json!({
            "id": Uuid::new_v4(),
            "workdir": self.path("work"),
            "env": {"FAKE": fake},
        })
    }

    /// Starts a keeper and waits until it says that it is ready.
    pub(crate) fn start(&self, spec: &Value) -> Keeper {
        let keeper = self.spawn(spec);
        let socket = keeper.socket.clone();
        wait_until(SOON, "the keeper's socket", || {
            UnixStream::connect(&socket).is_ok()
        });
        keeper
    }

    /// Starts a keeper.
    pub(crate) fn spawn(&self, spec: &Value) -> Keeper {
        let id: Uuid = spec["id"].as_str().unwrap().parse().unwrap();
        let dir = self.dir(id);
        let runtime = self.path("run").join(id.to_string());
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(&runtime).unwrap();
        let input = self.path("spec.json");
        fs::write(&input, spec.to_string()).unwrap();
        let binary = env!("CARGO_BIN_EXE_cib-session").to_owned();
        let (mut wrapper, mut launcher) = (self.wrapper.clone(), None);
        let mut stdin = Stdio::from(fs::File::open(&input).unwrap());
        if self.is_apart {
            for (path, mode) in [(&dir, 0o2750), (&runtime, 0o2751)] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                chown(path, Some(KEEPER), Some(KEEPER)).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            let (ours, theirs) = cib_launcher::connect().unwrap();
            launcher = Some(launch(theirs));
            stdin = Stdio::from(ours);
            // No descriptor is ever open for the children of another test.
            let script = format!("exec \"$@\" 4<&0 0<'{}'", input.display());
            wrapper = ["sh", "-c", &script, "sh"].map(String::from).to_vec();
        }
        let words: Vec<String> = wrapper.into_iter().chain([binary]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("run");
        command
            .arg("--dir")
            .arg(&dir)
            .arg("--runtime")
            .arg(&runtime);
        command
            .arg("--claude")
            .arg(&self.claude)
            .args(&self.options);
        // As init starts it; above all without the proxy of the machine that runs the tests.
        command.env_clear().env("HOME", self.path("home"));
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.envs(self.environment.iter().cloned()).stdin(stdin);
        if self.is_apart {
            command.args(["--launcher-fd", "4", "--peer-uid", &PEER.to_string()]);
            command.uid(KEEPER).gid(KEEPER);
        }
        Keeper {
            process: Process::spawn(command).unwrap(),
            id,
            socket: runtime.join("keeper.sock"),
            dir,
            launcher,
        }
    }

    /// Runs `cib-session finish` and returns its exit code.
    pub(crate) fn finish(&self, id: Uuid) -> i32 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cib-session"));
        command.args(["finish", "--dir"]).arg(self.dir(id));
        command.args(["--state", "interrupted"]);
        if self.is_apart {
            command.uid(KEEPER).gid(KEEPER);
        }
        command.status().unwrap().code().unwrap()
    }
}

/// Starts a launcher as init does: root, with no more rights than it needs.
fn launch(socket: OwnedFd) -> Process {
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set=-all,+setuid,+setgid,+kill,+setpcap");
    command.args(["sh", "-c", "exec \"$@\" 3<&0 0</dev/null", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_cib-session"));
    command.args(["launcher", "--fd", "3", "--groups", "41001,41002"]);
    let user = CODER.to_string();
    command.args(["--uid", &user, "--gid", &user]);
    command.env_clear().stdin(Stdio::from(socket));
    Process::spawn(command).unwrap()
}

impl Keeper {
    /// Sends a request line and returns the reply.
    pub(crate) fn ask(&self, request: &Value) -> KeeperReply {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Whether it answers a request at once.
    pub(crate) fn answers(&self) -> bool {
        let mut stream = self.connect();
        let patience = Duration::from_millis(100);
        stream.set_read_timeout(Some(patience)).unwrap();
        let asked = stream.write_all(b"{\"op\":\"status\"}\n");
        asked.is_ok() && stream.read(&mut [0]).is_ok_and(|count| count > 0)
    }

    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    pub(crate) fn input(&self, text: &str) {
        let reply = self.ask(&json!({"op": "input", "text": text}));
        assert_eq!(reply, KeeperReply::Done);
    }

    pub(crate) fn frames(&self) -> Vec<Frame> {
        frames(&self.dir)
    }

    pub(crate) fn meta(&self) -> SessionMeta {
        let id = self.dir.file_name().unwrap().to_str().unwrap();
        let fold = cib_journal::fold::load(&self.dir, id.parse().unwrap()).unwrap();
        let mut meta = fold.into_meta().unwrap();
        // The one thing that is no frame: a number means nothing once its process is gone.
        if meta.state.is_live() {
            meta.claude_pid = self.process_id();
        }
        meta
    }

    fn process_id(&self) -> Option<u32> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(SOON)).ok()?;
        stream.write_all(b"{\"op\":\"status\"}\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        match serde_json::from_str(&line).ok()? {
            KeeperReply::Status(meta) => meta.claude_pid,
            _ => None,
        }
    }

    /// Waits for a frame of a kind whose data `fits`, and returns its data.
    #[track_caller]
    pub(crate) fn wait_frame(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let _told = LastFrames(self);
        wait_for(SOON, &format!("a {kind} frame"), || {
            data(&self.frames(), kind)
                .into_iter()
                .find(|data| fits(data))
        })
    }

    #[track_caller]
    pub(crate) fn wait_state(&self, state: &str) {
        self.wait_frame("status", |data| data["state"] == state);
    }

    /// Waits for the keeper's end and returns its exit code.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> i32 {
        self.process
            .wait(SOON)
            .code()
            .expect("the keeper was killed")
    }
}

/// Shows the end of the journal when a test fails on it.
pub(crate) struct LastFrames<'a>(pub(crate) &'a Keeper);

impl Drop for LastFrames<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = fs::read_to_string(self.0.dir.join("transcript.jsonl")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(30)..] {
                let cut = line.floor_char_boundary(600);
                let _ = writeln!(std::io::stderr(), "{}", &line[..cut]);
            }
        }
    }
}

/// The whole lines of a session's journal, which have to be frames in sequence.
pub(crate) fn frames(dir: &Path) -> Vec<Frame> {
    let text = fs::read_to_string(dir.join("transcript.jsonl")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let frames: Vec<Frame> = whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (frame, seq) in frames.iter().zip(1..) {
        assert_eq!(frame.seq, seq, "the journal has a gap or a double");
    }
    frames
}

/// The data of all frames of a kind.
pub(crate) fn data(frames: &[Frame], kind: &str) -> Vec<Value> {
    frames
        .iter()
        .filter(|frame| frame.kind == kind)
        .map(|frame| serde_json::from_str(frame.data.get()).unwrap())
        .collect()
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with('Z'))
    })
}
