//! A task as the container's main job, in the real image: with the real control, the real git and
//! the real Claude beside stand-ins for the Messages API and a forge, under a plain engine and under a
//! Swarm.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cib_testkit::engine::{Container, Engine, Network, Spec};
use cib_testkit::lab::Lab;
use cib_testkit::wait::wait_for;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
/// Boot, clone, a turn, push and end.
const TASK: Duration = Duration::from_secs(120);

/// Makes a repository in the workspace.
const REPOSITORY: &str = "git init -q -b main api && cd api && \
    git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first";

/// What Claude is to do and say.
const PROMPT: &str = "Keep a word.\n\
    @bash echo kept > word && git add word && git commit -qm kept\n\
    @text It is kept.";

/// A stand-in for the Messages API, and its address.
fn api(spec: Spec) -> Container {
    let api = spec.arguments(["api", "--listen", "0.0.0.0:8000"]).start();
    api.wait_for_log(SOON, "listening on 0.0.0.0:8000");
    api
}

/// The result that a command of `docker` shows on standard output, which has to be all that is
/// there, and standard error. A log lags behind its container.
#[track_caller]
fn said(words: &[&str]) -> (Value, String) {
    wait_for(SOON, "the result", || {
        let output = Engine::get().run(words);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.lines().count() < 2, "{out}");
        Some((serde_json::from_str(&out).ok()?, log))
    })
}

/// A box with a task, and a network with the stand-in.
fn stage() -> (Network, Container, Spec) {
    let network = Network::private(Engine::get());
    let api = api(Engine::get().kit("api").on(&network, 2));
    let address = format!("http://{}:8000", network.addr(2));
    let spec = Engine::get()
        .a_box()
        .on(&network, 3)
        .env("ANTHROPIC_BASE_URL", &address)
        .env("ANTHROPIC_API_KEY", "sk-ant-task")
        .env("CIB_SETUP_COMMANDS", REPOSITORY);
    (network, api, spec)
}

#[test]
fn a_container_does_one_task_behind_its_proxy_and_ends_with_its_result() {
    let lab = Lab::new();
    let words = ["task", "--repo", "api", "--prompt", PROMPT];
    let cage = lab
        .a_box()
        // It needs none.
        .env("CIB_AUTH_TOKEN", "")
        .env("CIB_SETUP_COMMANDS", REPOSITORY)
        .arguments(words)
        .start();
    let code = cage.wait_exit(TASK);
    let (result, log) = said(&["logs", cage.name()]);
    assert_eq!(code, 0, "{result}\n{log}");
    assert_eq!(result["exit_code"], 0);
    assert_eq!(result["state"], "completed");
    assert_eq!(result["result"], "It is kept.");
    assert_eq!(result["commits"], 1, "{result}");
    assert!(log.contains("task      It is kept."), "{log}");
    let asked = lab.world_log();
    let by_others = asked
        .iter()
        .find(|entry| entry.peer.ip() != lab.proxy_outside());
    assert!(!asked.is_empty() && by_others.is_none(), "{by_others:?}");

    // Started again it knows that it is done, and does nothing.
    cage.start_again();
    assert_eq!(cage.wait_exit(TASK), 0);
    let log = cage.logs();
    assert!(log.contains("is done already"), "{log}");
    assert_eq!(log.matches("a task was submitted").count(), 1, "{log}");
}

#[test]
fn a_container_that_is_stopped_saves_the_work_of_its_task() {
    let (_network, _api, spec) = stage();
    let prompt = "Keep a word.\n@bash echo half > word; echo begun; sleep 600\n@text Kept.";
    let cage = spec
        .env("CIB_TASK_REPO", "api")
        .env("CIB_TASK_PROMPT", prompt)
        .start();
    cage.wait_for_log(SOON, "task      [");
    let tree = "ls /workspace/tasks/*/api/word >/dev/null 2>&1";
    cage.wait_inside(SOON, "Claude to work", tree);
    cage.stop(Duration::from_secs(10));
    assert_eq!(cage.wait_exit(SOON), 143);
    let (result, log) = said(&["logs", cage.name()]);
    assert_eq!(result["state"], "cancelled", "{result}\n{log}");
    assert_eq!(result["exit_code"], 143);
    // The work is a commit, pushed to where the repository came from.
    assert_eq!(result["commits"], 1, "{result}\n{log}");
    assert_eq!(result["push"]["commit"], result["head"], "{result}");
}

/// What opens the forge.
const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

/// Where the forge keeps its repositories.
const FORGE: &str = "/tmp/forge";

/// A forge with one repository.
fn forge(network: &Network) -> Container {
    let forge = Engine::get()
        .kit("forge")
        .on(network, 4)
        .arguments(["forge", "--listen", "0.0.0.0:8002", "--root", FORGE])
        .start();
    forge.wait_for_log(SOON, "listening on 0.0.0.0:8002");
    let token = json!({"token": TOKEN, "login": "me", "scopes": ["repo"]});
    // What a repository says of how to work in it holds for who works on it.
    let hook = json!({"type": "command", "command": "touch /tmp/hooked"});
    let settings = json!({"hooks": {"SessionStart": [{"hooks": [hook]}]}});
    let files = json!({"file": "one\n", ".claude/settings.json": settings.to_string()});
    let api = json!({"slug": "acme/api", "writers": ["me"], "files": files});
    // Long enough to be killed in it.
    let slow = json!({"method": "POST", "path": "/pulls", "delay_ms": 4000});
    for (what, body) in [("tokens", token), ("repositories", api), ("faults", slow)] {
        let _said = forge.sh(&format!(
            "curl -sS --fail -d '{body}' http://127.0.0.1:8002/_kit/{what}"
        ));
    }
    forge
}

/// The pull requests of the forge.
fn pulls(forge: &Container) -> Vec<Value> {
    let said = forge.sh("curl -sS --fail http://127.0.0.1:8002/_kit/pulls");
    let said: Value = serde_json::from_str(&said).unwrap_or_default();
    said["pulls"].as_array().cloned().unwrap_or_default()
}

/// Shows everything of the box that coder can see and in which a token could be.
fn seen(forge: &str) -> String {
    // So that looking for it is not what is found.
    let token = TOKEN.replacen('_', "[_]", 1);
    format!(
        "cd /workspace/tasks/*/api && export GIT_TERMINAL_PROMPT=0
        cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'
        git config --list --show-origin
        printf 'protocol=http\\nhost={forge}\\n\\n' | git credential fill 2>&1
        grep -rIs --exclude-dir=usr --exclude-dir=proc --exclude-dir=sys -e '{token}' /; true"
    )
}

#[test]
fn a_box_that_is_killed_twice_comes_to_one_pull_request_and_its_agent_sees_no_token() {
    let (network, _api, spec) = stage();
    let forge = forge(&network);
    let host = format!("{}:8002", network.addr(4));
    let prompt = "Keep a word.\n\
        @bash echo kept > word && git add word && git commit -qm kept; sleep 600\n@text Kept.";
    let cage = spec
        .env("CIB_GITHUB_URL", &format!("http://{host}"))
        .env("CIB_GITHUB_TOKEN", TOKEN)
        .arguments(["task", "--repo", "acme/api", "--prompt", prompt])
        .start();
    let engine = Engine::get();
    let dies = || {
        let _name = engine.docker(&["kill", cage.name()]);
        cage.start_again();
    };
    cage.wait_for_log(SOON, "] opening");
    dies();
    let first = wait_for(TASK, "the draft", || pulls(&forge).pop());
    let pull = wait_for(TASK, "the commit at the forge", || {
        pulls(&forge)
            .pop()
            .filter(|pull| pull["commit"] != first["commit"])
    });
    cage.wait_inside(SOON, "the repository's own hook", "test -e /tmp/hooked");
    let clean = ["env", "-i", "PATH=/usr/bin:/bin", "HOME=/home/coder"];
    let look = seen(&host);
    let words = [&clean[..], &["sh", "-c", &look]].concat();
    let seen = cage.exec_as("coder", &words).stdout;
    // Its own processes are among what it sees, and the tree's remote.
    assert!(seen.contains("CIB_SESSION="), "{seen}");
    assert!(seen.contains(&format!("cib://{host}")), "{seen}");
    assert!(!seen.contains(TOKEN), "{seen}");
    assert!(!seen.contains("credential.helper"), "{seen}");
    dies();
    let code = cage.wait_exit(TASK);
    let (result, log) = said(&["logs", cage.name()]);
    assert_eq!(code, 0, "{result}\n{log}");
    assert_eq!(result["state"], "completed", "{result}\n{log}");
    assert!(!log.contains(TOKEN), "{log}");
    let [one] = &*pulls(&forge) else {
        panic!("one pull request: {:?}\n{log}", pulls(&forge));
    };
    assert_eq!(
        (&one["number"], &one["commit"]),
        (&pull["number"], &pull["commit"])
    );
    assert_eq!((&one["draft"], &one["open"]), (&json!(true), &json!(true)));
    let branch = one["head"].as_str().unwrap_or_default();
    let subjects = forge.sh(&format!(
        "git --git-dir=\"$(echo {FORGE}/*.git)\" log --format=%s main..{branch}"
    ));
    assert_eq!(subjects.trim(), "kept\nchore: start task");
}

/// Only one Swarm at a time is an engine's.
static SWARM: Mutex<()> = Mutex::new(());

/// A Swarm of this engine alone, which ends with the test.
struct Swarm;

impl Swarm {
    fn new() -> Self {
        let swarm = Self;
        let init = ["swarm", "init", "--advertise-addr", "127.0.0.1"];
        let _words = Engine::get().docker(&init);
        swarm
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let left = Engine::get().run(&["swarm", "leave", "--force"]);
        // What it leaves behind by itself.
        let _bridge = Engine::get().run(&["network", "rm", "docker_gwbridge"]);
        if !left.status.success() && !std::thread::panicking() {
            panic!("{}", String::from_utf8_lossy(&left.stderr));
        }
    }
}

#[test]
fn a_swarm_runs_a_task_as_a_job_and_knows_how_it_ended() {
    let _one = SWARM.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = Engine::get();
    let _swarm = Swarm::new();
    // Services without a network of their own are on the engine's first bridge.
    let api = api(engine.kit("api"));
    let address = format!(
        "http://{}:8000",
        api.inspect("{{.NetworkSettings.IPAddress}}")
    );
    let key = "ANTHROPIC_API_KEY";
    let name = format!("cib-task-{:08x}", std::process::id());
    let create = |image: &str, repo: &str, name: &str| {
        let options = [
            "service",
            "create",
            "--detach",
            "--quiet",
            "--mode=replicated-job",
            "--restart-condition=none",
            "--stop-grace-period=60s",
            "--cap-drop=ALL",
        ];
        let mut words: Vec<String> = options.map(str::to_owned).into();
        let kept = [
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "KILL",
            "SETGID",
            "SETUID",
        ];
        words.extend(kept.map(|capability| format!("--cap-add={capability}")));
        words.push(format!("--name={name}"));
        words.push(format!("--env=ANTHROPIC_BASE_URL={address}"));
        words.push(format!("--env={key}=sk-ant-task"));
        words.push(format!("--env=CIB_SETUP_COMMANDS={REPOSITORY}"));
        words.push(format!("--env=CIB_TASK_REPO={repo}"));
        words.push(format!("--env=CIB_TASK_PROMPT={PROMPT}"));
        words.extend([image.to_owned(), "task".to_owned()]);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let _id = engine.docker(&words);
    };
    let image = engine.box_image();
    create(image, "api", &name);
    let other = format!("{name}-other");
    create(image, "nowhere", &other);
    let ended = |name: &str| {
        wait_for(TASK, "the end of the job", || {
            let words = [
                "service",
                "ps",
                "--format={{.CurrentState}} {{.Error}}",
                name,
            ];
            let state = engine.docker(&words);
            let is_over = state.starts_with("Complete") || state.starts_with("Failed");
            is_over.then_some(state)
        })
    };
    let logs = |name: &str| said(&["service", "logs", "--raw", name]);
    let state = ended(&name);
    let (result, log) = logs(&name);
    assert!(state.starts_with("Complete"), "{state}\n{log}");
    assert_eq!(result["result"], "It is kept.", "{result}\n{log}");
    // A folder that is not there is no repository.
    let state = ended(&other);
    let (result, log) = logs(&other);
    assert!(state.contains("non-zero exit (66)"), "{state}\n{log}");
    assert_eq!(result["error"]["kind"], "no_repo", "{result}");
    for name in [&name, &other] {
        let _name = engine.docker(&["service", "rm", name]);
    }
}
