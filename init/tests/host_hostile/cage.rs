//! A whole box of real programs, with somebody else's session in it, and looks at both.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use cib_init::socket::client::ask;
use cib_protocol::init::{InitReply, InitRequest};
use cib_testkit::attack::{Aim, Cage};
use cib_testkit::client::BoxClient;
use serde_json::json;

use crate::boxed::{Recipe, Running, TOKEN};
use crate::support::{INIT, eventually};

/// A secret that only keepers of Claude's sessions may have.
const API_KEY: &str = "sk-ant-hostile-0123456789abcdef";

/// An answer that takes longer is a box that hangs.
const AT_MOST: Duration = Duration::from_secs(10);

/// The share of a core that PID 1 may take between two looks.
const SHARE: f64 = 0.5;

/// Descriptors that PID 1 may have more than before the attacks, for clients that are there.
const DESCRIPTORS: usize = 16;

/// The program `name` of this build, beside init's.
fn program(name: &str) -> PathBuf {
    let path = PathBuf::from(INIT).with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing: cargo build --workspace",
        path.display()
    );
    path
}

/// A recipe with the real programs.
pub(crate) fn a_box() -> Recipe {
    let mut recipe = Recipe::new();
    for name in ["cib-control", "cib-session", "cib-testkit"] {
        std::fs::copy(program(name), recipe.folder("bin").join(name)).unwrap();
    }
    recipe.set("ANTHROPIC_API_KEY", API_KEY);
    recipe
}

/// A box that is attacked.
pub(crate) struct Caged {
    pub(crate) running: Running,
    data: PathBuf,
    session: String,
    /// The victim's record as it was.
    record: Vec<u8>,
    restarts: u64,
    descriptors: usize,
    looked: Option<(Instant, f64)>,
    ending: bool,
}

impl Caged {
    /// Starts the box and a session in it.
    pub(crate) fn start(recipe: &mut Recipe) -> Self {
        let data = recipe.folder("data");
        let mut running = recipe.start();
        running.wait_until_up();
        let mut caged = Self {
            running,
            data,
            session: String::new(),
            record: Vec::new(),
            restarts: 0,
            descriptors: 0,
            looked: None,
            ending: false,
        };
        caged.session = caged.open_shell();
        caged.record = eventually("the shell has shown its prompt", || {
            let record = caged.journal();
            let shown = record.windows(7).any(|window| window == b"pty.raw");
            shown.then_some(record)
        });
        caged.restarts = caged.running.service("control").restarts;
        caged.descriptors = caged.open_descriptors();
        caged
    }

    /// What the attacks aim at.
    pub(crate) fn aim(&self) -> Aim {
        Aim {
            data: "/var/lib/claude-in-box".into(),
            run: "/run/cib".into(),
            session: self.session.clone(),
            port: 8080,
            secret_files: Vec::new(),
            secrets: vec![TOKEN.to_owned(), API_KEY.to_owned()],
        }
    }

    /// Opens a shell and waits until it answers; its id.
    pub(crate) fn open_shell(&mut self) -> String {
        let api = self.api();
        let made = eventually("a shell is opened", || {
            let reply = api.post("/api/shells", &json!({"title": "victim"})).ok()?;
            (reply.status == 201).then(|| reply.json())
        });
        made["id"].as_str().unwrap().to_owned()
    }

    /// Has init restart control, as root may.
    pub(crate) fn restart_control(&mut self) {
        let before = self.running.service("control").pid;
        let service = "control".to_owned();
        let done = self.running.ask(&InitRequest::ServiceRestart { service });
        assert_eq!(done, Some(InitReply::Done));
        eventually("another control is ready", || {
            let control = self.running.service("control");
            (control.state == "ready" && control.pid != before).then_some(())
        });
        self.running.wait_until_up();
        self.restarts = self.running.service("control").restarts;
    }

    /// Begins a shutdown that a slow service holds up.
    pub(crate) fn begin_to_end(&mut self) {
        self.ending = true;
        self.running.signal(libc::SIGTERM);
        eventually("the box is ending", || {
            (self.running.status()?.phase == "shutting_down").then_some(())
        });
        eventually("the sessions have ended", || {
            self.running.status()?.sessions.is_empty().then_some(())
        });
        self.record = self.journal();
    }

    /// Whether a process with this in its command line runs in the box.
    pub(crate) fn has_process(&mut self, words: &str) -> bool {
        let proc = self.running.inside("/proc");
        std::fs::read_dir(proc).unwrap().flatten().any(|entry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
                line.windows(words.len())
                    .any(|window| window == words.as_bytes())
            })
        })
    }

    fn api(&mut self) -> BoxClient {
        let pid = self.running.pid().to_string();
        let testkit = program("cib-testkit").display().to_string();
        let words = [
            "nsenter",
            "-t",
            &pid,
            "-n",
            &testkit,
            "pipe",
            "127.0.0.1:8080",
        ];
        BoxClient::through(words.map(str::to_owned).into(), Some(TOKEN.to_owned()))
    }

    fn journal(&self) -> Vec<u8> {
        let path = self.data.join("sessions").join(&self.session);
        std::fs::read(path.join("transcript.jsonl")).unwrap_or_default()
    }

    fn open_descriptors(&mut self) -> usize {
        let path = format!("/proc/{}/fd", self.running.pid());
        std::fs::read_dir(path).map_or(0, Iterator::count)
    }

    /// Seconds of processor time that PID 1 has used (proc_pid_stat(5)).
    fn used(&mut self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.pid()));
        let stat = stat.unwrap_or_default();
        let fields: Vec<u64> = stat
            .rsplit_once(") ")
            .map_or("", |(_, rest)| rest)
            .split(' ')
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let ticks = fields.get(11..13).map_or(0, |times| times.iter().sum());
        Duration::from_millis(ticks * 10).as_secs_f64()
    }

    /// What a box that is up owes everybody.
    fn harm_of_service(&mut self, harm: &mut Vec<String>) {
        let began = Instant::now();
        let socket = self.running.inside("/run/cib/init.sock");
        match ask(&socket, &InitRequest::Healthcheck {}, AT_MOST) {
            Ok(InitReply::Health { healthy: true, .. }) => {}
            other => harm.push(format!("health: {other:?}")),
        }
        match ask(&socket, &InitRequest::Status {}, AT_MOST) {
            Ok(InitReply::Status(status)) => {
                let restarts = self.restarts;
                let unwell = status.services.iter().filter(|service| {
                    service.state != "ready"
                        || (service.name == "control" && service.restarts > restarts)
                });
                harm.extend(unwell.map(|service| format!("{service:?}")));
            }
            other => harm.push(format!("status: {other:?}")),
        }
        let path = format!("/api/shells/{}", self.session);
        match self.api().get(&path) {
            Ok(reply) if reply.status == 200 && reply.json()["state"] == "idle" => {}
            other => harm.push(format!("the session: {other:?}")),
        }
        if began.elapsed() > AT_MOST {
            harm.push(format!("the box took {:?} to answer", began.elapsed()));
        }
    }
}

impl Cage for Caged {
    fn as_agent(&mut self, words: &[String]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.running.pid().to_string()])
            .args(["--mount", "--pid", "--net", "--root", "--wd", "--"])
            .args(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"])
            .args(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"])
            .args([
                "env",
                "-i",
                "--chdir=/workspace",
                "PATH=/usr/local/bin:/usr/bin:/bin",
                "HOME=/home/coder",
            ])
            .arg("/opt/box/cib-testkit")
            .args(words);
        command
    }

    fn harm(&mut self) -> Vec<String> {
        let mut harm = Vec::new();
        if !self.ending {
            self.harm_of_service(&mut harm);
        }
        if !self.journal().starts_with(&self.record) {
            harm.push("the victim's record was changed".to_owned());
        }
        let descriptors = self.open_descriptors();
        if descriptors > self.descriptors + DESCRIPTORS {
            harm.push(format!("PID 1 has {descriptors} descriptors"));
        }
        let (now, used) = (Instant::now(), self.used());
        if let Some((then, before)) = self.looked.replace((now, used)) {
            let elapsed = now.duration_since(then).as_secs_f64();
            if elapsed > 1.0 && (used - before) / elapsed > SHARE {
                harm.push(format!(
                    "PID 1 took {:.2} of a core",
                    (used - before) / elapsed
                ));
            }
        }
        harm
    }
}
