//! The hooks of an offload on this machine, without an engine.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cib_cli::offload::record::{Place, Record, Records};
use cib_cli::surroundings::Surroundings;
use serde_json::{Value, json};

const ID: &str = "11111111-2222-4333-8444-555555555555";

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(machine.repo()).unwrap();
        let git = |arguments: &[&str]| {
            let mut command = machine.command("git");
            assert!(command.args(arguments).status().unwrap().success());
        };
        git(&["init", "-q", "-b", "main"]);
        std::fs::write(machine.repo().join("a"), "a").unwrap();
        git(&["add", "a"]);
        git(&[
            "-c",
            "user.name=p",
            "-c",
            "user.email=p@x",
            "commit",
            "-qm",
            "first",
        ]);
        machine
    }

    fn repo(&self) -> PathBuf {
        self.0.path().join("a repo")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/local/bin")
            .env("HOME", self.0.path())
            .env("CIB_ENGINE", "/nonexistent/docker.sock")
            .env("ANTHROPIC_API_KEY", "sk-ant-0123456789abcdef")
            .current_dir(self.repo());
        command
    }

    fn cib(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_cib"));
        command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn good(&self, arguments: &[&str]) -> Value {
        let output = self.cib(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What the hook that a settings file names answers, called as Claude calls it.
    #[track_caller]
    fn hook(&self, payload: &Value, inside: Option<&str>) -> Option<Value> {
        let settings = std::fs::read(self.settings()).unwrap();
        let settings: Value = serde_json::from_slice(&settings).unwrap();
        let event = payload["hook_event_name"].as_str().unwrap();
        let hook = &settings["hooks"][event][0]["hooks"][0]["command"];
        let mut command = self.command("sh");
        command.args(["-c", hook.as_str().unwrap()]);
        command.envs(inside.map(|id| ("CIB_SESSION", id)));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // In a box nobody reads it.
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(payload.to_string().as_bytes());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        (!said.is_empty()).then(|| serde_json::from_str(&said).unwrap())
    }

    fn settings(&self) -> PathBuf {
        self.repo().join(".claude/settings.local.json")
    }

    fn payload(&self, event: &str, tool: &str) -> Value {
        let transcript = self.0.path().join(".claude/projects/-x");
        std::fs::create_dir_all(&transcript).unwrap();
        let transcript = transcript.join(format!("{ID}.jsonl"));
        std::fs::write(&transcript, "{}\n").unwrap();
        json!({
            "session_id": ID, "transcript_path": transcript, "cwd": self.repo(),
            "hook_event_name": event, "tool_name": tool, "tool_input": {}, "tool_use_id": "toolu_1",
            "tool_response": {"plan": "A plan."},
        })
    }

    fn records(&self) -> Records {
        let around = Surroundings {
            variables: [("HOME".to_owned(), self.0.path().display().to_string())].into(),
            ..Surroundings::default()
        };
        Records::of(&around).unwrap()
    }
}

/// Everything below a folder, by name, content and mode.
fn all(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = path.metadata().unwrap().permissions().mode();
            let content = if path.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                std::fs::read(&path).unwrap()
            };
            found.insert(path, (mode, content));
        }
    }
    found
}

#[test]
fn an_uninstall_leaves_no_trace_in_a_repository_or_in_a_persons_settings() {
    for hand_made in [
        None,
        Some("{\"model\":  \"opus\",\n\"hooks\": {\"Stop\": []}}"),
    ] {
        for user in [false, true] {
            let machine = Machine::new();
            let folder = if user {
                machine.0.path().join(".claude")
            } else {
                machine.repo().join(".claude")
            };
            let file = folder.join(if user {
                "settings.json"
            } else {
                "settings.local.json"
            });
            if let Some(text) = hand_made {
                std::fs::create_dir(&folder).unwrap();
                std::fs::write(&file, text).unwrap();
            }
            let home = || {
                let mut all = all(machine.0.path());
                // What this program keeps for itself.
                all.retain(|path, _| !path.starts_with(machine.0.path().join(".local")));
                all
            };
            let before = home();
            let more: &[&str] = if user { &["--user"] } else { &[] };
            let offload = |verb: &str| machine.good(&[&["offload", verb, "--json"], more].concat());
            offload("install");
            let once = std::fs::read(&file).unwrap();
            offload("install");
            assert_eq!(std::fs::read(&file).unwrap(), once);
            let status = machine.good(&["offload", "status", "--json"]);
            assert_eq!(status["hooks"], json!([file.canonicalize().unwrap()]));
            let git = machine
                .command("git")
                .args(["status", "--porcelain"])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(git.stdout).unwrap(), "");
            offload("uninstall");
            assert!(
                home() == before,
                "{:?} differs from {:?}",
                home().keys(),
                before.keys()
            );
            assert_eq!(
                machine.good(&["offload", "status", "--json"])["hooks"],
                json!([])
            );
        }
    }
}

#[test]
fn without_an_engine_the_plan_goes_on_here_and_that_is_said() {
    let machine = Machine::new();
    machine.good(&["offload", "install", "--json"]);
    let before = all(&machine.repo());
    let answer = machine
        .hook(&machine.payload("PostToolUse", "ExitPlanMode"), None)
        .unwrap();
    assert_eq!(answer.get("continue"), None, "{answer}");
    let said = answer["systemMessage"].as_str().unwrap();
    for words in ["goes on here", "no container engine answers"] {
        assert!(said.contains(words), "{said}");
    }
    // And so it does.
    let guard = machine.payload("PreToolUse", "Bash");
    assert_eq!(machine.hook(&guard, None), None);
    assert!(machine.records().all().is_empty());
    assert!(all(&machine.repo()) == before);
}

#[test]
fn a_session_that_was_handed_over_runs_nothing_here_until_it_is_done() {
    let machine = Machine::new();
    machine.good(&["offload", "install", "--json"]);
    let records = machine.records();
    let mut record = Record {
        session: ID.into(),
        name: "the-box".into(),
        branch: "feature/auto".into(),
        top: machine.repo(),
        repository: String::new(),
        engine: "docker".into(),
        place: Place::Boxed,
        at: "2026-11-30T01:00:00Z".into(),
        inside: None,
        head: None,
        wip: None,
        why: None,
        told: false,
        transcript: None,
        plan_file: None,
        call: String::new(),
        plan: String::new(),
    };
    records.keep(&record).unwrap();
    let lock = records.lock(ID).unwrap().unwrap();
    let guard = machine.payload("PreToolUse", "Bash");
    let answer = machine.hook(&guard, None).unwrap();
    assert_eq!(answer["continue"], false);
    assert_eq!(answer["hookSpecificOutput"]["permissionDecision"], "deny");
    assert!(answer["stopReason"].as_str().unwrap().contains("the-box"));
    // Another session is not held up, and nothing is in a box.
    let mut other = guard.clone();
    other["session_id"] = json!("99999999-2222-4333-8444-555555555555");
    assert_eq!(machine.hook(&other, None), None);
    assert_eq!(machine.hook(&guard, Some("a-session")), None);
    record.place = Place::Done;
    records.keep(&record).unwrap();
    assert_eq!(machine.hook(&guard, None), None);
    // One that nobody watches any more is told once, and free.
    record.place = Place::Boxed;
    records.keep(&record).unwrap();
    drop(lock);
    let answer = machine.hook(&guard, None).unwrap();
    assert_eq!(answer.get("continue"), None);
    assert!(
        answer["systemMessage"]
            .as_str()
            .unwrap()
            .contains("cib apply the-box")
    );
    assert_eq!(machine.hook(&guard, None), None);
}
