//! Keepers: started for control, and tidied up after.

use cib_protocol::init::{InitFault, InitReply, InitRequest};
use cib_protocol::session::{SessionId, SessionSpec, State};

use crate::boxed::{Recipe, Running};
use crate::support::eventually;

/// A keeper in a few lines: it notes its spec and writes `meta.json`, which `finish` replaces.
const KEEPER: &str = r#"#!/bin/bash
verb=$1; shift
while [ $# -gt 0 ]; do
  case $1 in --dir) dir=$2;; --runtime) runtime=$2;; --state) state=$2;; esac
  shift
done
meta() {
  printf '{"id":"%s","workdir":"/workspace","driver":"stream","permission_mode":"default","auth_mode":"auto","state":"%s","created_at":"2026-01-01T00:00:00.000Z","last_seq":0}' \
    "${dir##*/}" "$1" > "$dir/meta.json.new"
  mv "$dir/meta.json.new" "$dir/meta.json"
}
if [ "$verb" = login ]; then
  id -u >> "$HOME/logins"; [ -w "$runtime" ] || exit 70
  [ -e "$HOME/broken" ] && exit 70
  echo >&3; exec 3>&-
  trap 'exit 0' TERM
  while [ ! -e "$HOME/go" ]; do sleep 0.05; done
  rm "$HOME/go"; exit 0
fi
if [ "$verb" = finish ]; then meta "$state"; exit 0; fi
cat > "$dir/spec"
case $(cat "$dir/spec") in *refuse-me*) exit 78;; *locked-out*) exit 75;; esac
trap 'meta stopped; exit 0' TERM
meta idle
[ -w "$runtime" ] && echo >&3
exec 3>&-
while :; do sleep 0.05; done
"#;

fn spec(id: SessionId, prompt: &str) -> Box<SessionSpec> {
    Box::new(
        serde_json::from_value(
            serde_json::json!({"id": id, "workdir": "/workspace", "prompt": prompt}),
        )
        .unwrap(),
    )
}

fn start(running: &mut Running, id: SessionId, prompt: &str) -> InitReply {
    let spec = spec(id, prompt);
    running.ask(&InitRequest::SessionStart { spec }).unwrap()
}

fn box_with_keepers() -> Recipe {
    let mut recipe = Recipe::new();
    recipe.program("cib-session", KEEPER);
    recipe
}

fn state(recipe: &Recipe, id: SessionId) -> Option<State> {
    let path = recipe
        .folder("data")
        .join("sessions")
        .join(id.to_string())
        .join("meta.json");
    let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    serde_json::from_value(meta["state"].clone()).ok()
}

fn kill(running: &mut Running, inner: u32) {
    let status = std::process::Command::new("nsenter")
        .args([
            "-t",
            &running.pid().to_string(),
            "-p",
            "-m",
            "kill",
            "-9",
            &inner.to_string(),
        ])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_keeper_runs_as_coder_and_its_spec_shows_nowhere() {
    let mut recipe = box_with_keepers();
    recipe.set("ANTHROPIC_API_KEY", "sk-very-secret-key");
    let mut running = recipe.start();
    running.wait_until_up();
    let id = SessionId::new_v4();
    let InitReply::SessionStarted { pid } = start(&mut running, id, "whisper") else {
        panic!("not started");
    };
    assert_eq!(running.status().unwrap().sessions, [id]);
    let inner = running.inside(&format!("/proc/{pid}"));
    let status = std::fs::read_to_string(inner.join("status")).unwrap();
    let field = |name| crate::support::field_of(&status, name).unwrap();
    assert_eq!(field("Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(field("CapBnd"), "0000000000000000");
    let text =
        |file| String::from_utf8_lossy(&std::fs::read(inner.join(file)).unwrap()).into_owned();
    assert!(!text("cmdline").contains("whisper"));
    let environment = text("environ");
    assert!(
        environment.contains("ANTHROPIC_API_KEY=sk-very-secret-key"),
        "keepers get credentials"
    );
    assert!(!environment.contains("CIB_AUTH_TOKEN"));
    let spec = recipe.folder("data").join(format!("sessions/{id}/spec"));
    assert!(std::fs::read_to_string(spec).unwrap().contains("whisper"));
    assert_eq!(running.stop(), Some(0));
    assert_eq!(
        state(&recipe, id),
        Some(State::Stopped),
        "it ended by itself"
    );
}

#[test]
fn a_keeper_that_is_killed_is_finished_by_init() {
    let mut recipe = box_with_keepers();
    let mut running = recipe.start();
    running.wait_until_up();
    let id = SessionId::new_v4();
    let InitReply::SessionStarted { pid } = start(&mut running, id, "x") else {
        panic!("not started");
    };
    kill(&mut running, pid);
    eventually("the session is interrupted", || {
        (state(&recipe, id)? == State::Interrupted).then_some(())
    });
    eventually("it is not listed any more", || {
        running.status()?.sessions.is_empty().then_some(())
    });
}

#[test]
fn sessions_that_a_dead_box_left_live_are_finished_at_the_next_boot() {
    let mut recipe = box_with_keepers();
    let mut running = recipe.start();
    running.wait_until_up();
    let id = SessionId::new_v4();
    assert!(matches!(
        start(&mut running, id, "x"),
        InitReply::SessionStarted { .. }
    ));
    running.signal(libc::SIGKILL);
    running.wait();
    assert_eq!(state(&recipe, id), Some(State::Idle), "nobody could tell");
    let mut running = recipe.start();
    running.wait_until_up();
    assert_eq!(state(&recipe, id), Some(State::Interrupted));
}

#[test]
fn what_does_not_start_is_told_by_its_kind() {
    let mut recipe = box_with_keepers();
    let mut running = recipe.start();
    running.wait_until_up();
    let mut code = |id, prompt| match start(&mut running, id, prompt) {
        InitReply::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        code(SessionId::new_v4(), "refuse-me"),
        InitFault::BadRequest
    );
    assert_eq!(
        code(SessionId::new_v4(), "locked-out"),
        InitFault::SessionExists
    );
    let id = SessionId::new_v4();
    assert!(matches!(
        start(&mut running, id, "x"),
        InitReply::SessionStarted { .. }
    ));
    let again = start(&mut running, id, "x");
    assert!(matches!(
        again,
        InitReply::Refused {
            code: InitFault::SessionExists,
            ..
        }
    ));
    assert_eq!(
        running.status().unwrap().sessions,
        [id],
        "the first one lives"
    );
}

#[test]
fn one_keeper_of_logins_runs_as_coder_and_is_started_anew_when_it_has_gone() {
    let mut recipe = box_with_keepers();
    let mut running = recipe.start();
    running.wait_until_up();
    let home = running.inside("/home/coder");
    let started = || {
        let users = std::fs::read_to_string(home.join("logins")).unwrap_or_default();
        assert!(users.lines().all(|user| user == "1000"), "{users}");
        users.lines().count()
    };
    for _ in 0..2 {
        let reply = running.ask(&InitRequest::LoginStart {});
        assert_eq!(reply, Some(InitReply::Done));
    }
    assert_eq!(started(), 1);
    std::fs::write(home.join("go"), "").unwrap();
    eventually("it has gone", || (!home.join("go").exists()).then_some(()));
    eventually("another one is started", || {
        running.ask(&InitRequest::LoginStart {})?;
        (started() == 2).then_some(())
    });
    std::fs::write(home.join("broken"), "").unwrap();
    std::fs::write(home.join("go"), "").unwrap();
    eventually("one that cannot start is told of", || {
        let reply = running.ask(&InitRequest::LoginStart {})?;
        let code = InitFault::KeeperFailed;
        matches!(reply, InitReply::Refused { code: said, .. } if said == code).then_some(())
    });
    assert_eq!(running.stop(), Some(0));
}
