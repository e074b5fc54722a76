//! Keepers: started for control, and tidied up after.

use cib_protocol::init::{InitFault, InitReply, InitRequest};
use cib_protocol::session::{SessionId, SessionSpec, State};

use crate::boxed::{Recipe, Running};
use crate::support::eventually;

/// A keeper in a few lines: it notes its spec and writes `meta.json`, which `finish` replaces.
/// A launcher that stays until its keeper is gone, and `finish --all` for what was left live.
const KEEPER: &str = r#"#!/bin/bash
verb=$1; shift
while [ $# -gt 0 ]; do
  case $1 in
    --dir) dir=$2;; --runtime) runtime=$2;; --state) state=$2;;
    --sessions) sessions=$2;; --fd) fd=$2;;
  esac
  shift
done
meta() {
  printf '{"id":"%s","workdir":"/workspace","driver":"stream","permission_mode":"default","auth_mode":"auto","state":"%s","created_at":"2026-01-01T00:00:00.000Z","last_seq":0}' \
    "${dir##*/}" "$1" > "$dir/meta.json.new"
  mv "$dir/meta.json.new" "$dir/meta.json"
}
if [ "$verb" = launcher ]; then
  [ -e /workspace/deaf ] && while :; do sleep 0.05; done
  /bin/sleep 1000 </dev/null &
  cat <&3 >/dev/null; kill -9 $!; exit 0
fi
if [ "$verb" = login ]; then
  id -u >> "$HOME/logins"; [ -w "$runtime" ] || exit 70
  env | grep -q ^ANTHROPIC_ && exit 70
  [ -e "$HOME/broken" ] && exit 70
  echo >&3; exec 3>&-
  trap 'exit 0' TERM
  while [ ! -e "$HOME/go" ]; do sleep 0.05; done
  rm "$HOME/go"; exit 0
fi
if [ "$verb" = finish ] && [ -n "$sessions" ]; then
  [ -e /workspace/stuck ] && while :; do sleep 0.05; done
  for dir in "$sessions"/*-*; do
    grep -q '"state":"idle"' "$dir/meta.json" && meta interrupted
  done
  exit 0
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

fn text(running: &mut Running, pid: u32, file: &str) -> String {
    let path = running.inside(&format!("/proc/{pid}/{file}"));
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

fn started(running: &mut Running, id: SessionId) -> u32 {
    match start(running, id, "x") {
        InitReply::SessionStarted { pid } => pid,
        other => panic!("{other:?}; {}", running.said()),
    }
}

#[test]
fn a_keeper_runs_as_the_records_user_and_its_spec_shows_nowhere() {
    let mut recipe = box_with_keepers();
    recipe.set("ANTHROPIC_API_KEY", "sk-very-secret-key");
    let mut running = recipe.start();
    running.wait_until_up();
    let id = SessionId::new_v4();
    let InitReply::SessionStarted { pid } = start(&mut running, id, "whisper") else {
        panic!("not started");
    };
    assert_eq!(running.status().unwrap().sessions, [id]);
    let status = text(&mut running, pid, "status");
    let field = |name| crate::support::field_of(&status, name).unwrap();
    assert_eq!(field("Uid"), "972\t972\t972\t972");
    assert_eq!(field("Groups"), "");
    assert_eq!(field("CapBnd"), "0000000000000000");
    assert!(!text(&mut running, pid, "cmdline").contains("whisper"));
    let environment = text(&mut running, pid, "environ");
    assert!(
        environment.contains("ANTHROPIC_API_KEY=sk-very-secret-key"),
        "keepers of Claude get credentials"
    );
    assert!(
        environment.contains("HOME=/home/coder\0"),
        "and coder's own"
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

/// The pid of the one launcher. A keeper is there before it has one.
fn launcher(running: &mut Running) -> u32 {
    eventually("there is one launcher", || {
        match running.processes("cib-session launcher")[..] {
            [launcher] => Some(launcher),
            _ => None,
        }
    })
}

#[test]
fn a_launcher_is_root_with_the_rights_to_become_and_to_signal_and_knows_no_secret() {
    let mut recipe = box_with_keepers();
    recipe.set("ANTHROPIC_API_KEY", "sk-very-secret-key");
    let mut running = recipe.start();
    running.wait_until_up();
    let id = SessionId::new_v4();
    started(&mut running, id);
    let pid = launcher(&mut running);
    let words = text(&mut running, pid, "cmdline").replace('\0', " ");
    let expected = format!("--fd 3 --session {id} --uid 1000 --gid 1000");
    assert!(words.contains(&expected), "{words}");
    let status = text(&mut running, pid, "status");
    let field = |name| crate::support::field_of(&status, name).unwrap();
    assert_eq!(field("Uid"), "0\t0\t0\t0");
    for set in ["CapPrm", "CapBnd"] {
        assert_eq!(field(set), "00000000000001e0", "{set}");
    }
    assert!(!text(&mut running, pid, "environ").contains("sk-very"));
}

#[test]
fn credentials_are_for_claudes_sessions_and_for_nothing_else() {
    let mut recipe = box_with_keepers();
    recipe.set("ANTHROPIC_API_KEY", "sk-very-secret-key");
    recipe.set("CLAUDE_CODE_OAUTH_TOKEN", "oauth-very-secret");
    let setup = "env > /workspace/setup-environment";
    recipe.set("CIB_SETUP_COMMANDS", setup);
    let service = "[service.own]\ncommand = [\"/bin/sh\", \"-c\", \"env > /workspace/\
                   service-environment; exec sleep 1000\"]\n";
    recipe.configure(service);
    let mut running = recipe.start();
    running.wait_until_up();
    let id = SessionId::new_v4();
    let spec = serde_json::json!({"id": id, "workdir": "/workspace", "program": "shell"});
    let spec = Box::new(serde_json::from_value(spec).unwrap());
    let reply = running.ask(&InitRequest::SessionStart { spec });
    let Some(InitReply::SessionStarted { pid }) = reply else {
        panic!("{reply:?}");
    };
    let shell = text(&mut running, pid, "environ");
    assert!(shell.contains("HOME=/home/coder"));
    let workspace = recipe.folder("workspace");
    let read = |name: &str| {
        eventually(name, || {
            let text = std::fs::read_to_string(workspace.join(name)).ok()?;
            text.contains("PATH=").then_some(text)
        })
    };
    let others = [read("setup-environment"), read("service-environment")];
    for text in others.iter().chain([&shell]) {
        assert!(!text.contains("very-secret"), "{text}");
    }
    assert_eq!(
        running.ask(&InitRequest::LoginStart {}),
        Some(InitReply::Done)
    );
}

#[test]
fn coder_can_neither_read_nor_change_nor_hinder_what_keeps_the_record() {
    let mut recipe = box_with_keepers();
    recipe.set("ANTHROPIC_API_KEY", "sk-very-secret-key");
    let mut running = recipe.start();
    running.wait_until_up();
    let id = SessionId::new_v4();
    let keeper = started(&mut running, id);
    let launcher = launcher(&mut running);
    let script = format!(
        r#"
d=/var/lib/claude-in-box/sessions/{id} r=/run/cib/sessions/{id} l=/var/lib/claude-in-box
try() {{ ( eval "$1" ) >/dev/null 2>&1 && echo "done: $1"; }}
for p in {keeper} {launcher}; do
  for s in STOP TERM KILL CONT; do try "kill -$s $p"; done
  for f in environ mem maps fd/0 fd/3 cwd/. root/.; do try "head -c 1 /proc/$p/$f"; done
  try "echo 1000 > /proc/$p/oom_score_adj"
done
for f in spec meta.json transcript.jsonl lock; do
  try "echo forged >> $d/$f"; try ": > $d/$f"; try "rm -f $d/$f && [ ! -e $d/$f ] && ls $d"
  try "mkfifo $d/$f"; try "ln -s /etc/passwd $d/$f"; try "mv $d/$f $d/old"
done
try "ls $d"; try "cat $d/spec"; try "touch $d/new"; try "touch $r/new"; try "ls $r"
try "rm -rf $d; [ ! -e $d ]"; try "mv $d $l/sessions/old"; try "mkdir $l/sessions/new"
try "mv $l/sessions $l/old"; try "mv $l/locks $l/old"; try "ls $l/locks"; try "touch $l/locks/x.lock"
try "touch $l/new"; try "mv $r $r.old"; try "rm -rf $r; [ ! -e $r ]"; try "cat $l/coder-ids.new"
try "chown 1000 $d"; try "chmod 777 $d"; try "mount --bind /tmp $d"
exit 0
"#
    );
    assert_eq!(running.as_coder(&script), "", "attacks that were done");
    assert_eq!(running.status().unwrap().sessions, [id]);
    assert_eq!(running.stop(), Some(0));
    assert_eq!(state(&recipe, id), Some(State::Stopped));
}

#[test]
fn nothing_of_a_session_is_left_when_it_is_killed() {
    for deaf in [false, true] {
        let mut recipe = box_with_keepers();
        if deaf {
            let workspace = recipe.folder("workspace");
            std::fs::create_dir(&workspace).unwrap();
            std::fs::write(workspace.join("deaf"), "").unwrap();
        }
        let mut running = recipe.start();
        running.wait_until_up();
        let id = SessionId::new_v4();
        started(&mut running, id);
        eventually("the launcher runs", || {
            (!running.processes("cib-session launcher").is_empty()).then_some(())
        });
        let session = id;
        let reply = running.ask(&InitRequest::SessionSignal {
            session,
            kill: true,
        });
        assert_eq!(reply, Some(InitReply::Done));
        eventually("it is not listed any more", || {
            running.status()?.sessions.is_empty().then_some(())
        });
        for word in ["cib-session launcher", "sleep 1000"] {
            assert!(running.processes(word).is_empty(), "{word}, deaf: {deaf}");
        }
        assert_eq!(state(&recipe, id), Some(State::Interrupted));
    }
}

#[test]
fn a_repair_that_never_ends_keeps_no_service_and_no_session_waiting() {
    let mut recipe = box_with_keepers();
    let mut running = recipe.start();
    running.wait_until_up();
    let left = SessionId::new_v4();
    started(&mut running, left);
    running.signal(libc::SIGKILL);
    running.wait();
    std::fs::write(recipe.folder("workspace").join("stuck"), "").unwrap();
    let mut running = recipe.start();
    running.wait_until_up();
    let status = running.status().unwrap();
    let journals = status.steps.iter().find(|step| step.name == "journals");
    assert_eq!(journals.unwrap().state, "running");
    let id = SessionId::new_v4();
    started(&mut running, id);
    assert_eq!(running.status().unwrap().sessions, [id]);
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn an_old_volume_full_of_traps_is_taken_over_and_the_box_is_up() {
    let mut recipe = box_with_keepers();
    let sessions = recipe.folder("data").join("sessions");
    let ids: [SessionId; 4] = std::array::from_fn(|_| SessionId::new_v4());
    for id in &ids {
        let dir = sessions.join(id.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let made = std::process::Command::new("mkfifo")
            .args([dir.join("transcript.jsonl"), dir.join("meta.json")])
            .status();
        assert!(made.unwrap().success());
        std::fs::write(dir.join("hooks.json"), "{}").unwrap();
        for path in [dir.join("hooks.json"), dir] {
            std::os::unix::fs::chown(path, Some(1000), Some(970)).unwrap();
        }
    }
    let mut running = recipe.start();
    running.wait_until_up();
    running.says("took 4 sessions over for cib-keeper, and set aside 4 things");
    for id in &ids {
        started(&mut running, *id);
    }
    assert_eq!(running.stop(), Some(0));
    let log = std::fs::read_to_string(recipe.folder("data").join("takeover.log")).unwrap();
    assert_eq!(log.matches("now cib-keeper's").count(), 4, "{log}");
    let mut running = recipe.start();
    running.wait_until_up();
    assert!(!running.said().contains("took "), "{}", running.said());
}

#[test]
fn separate_sessions_have_users_and_homes_of_their_own_and_keep_them() {
    let mut recipe = box_with_keepers();
    recipe.set("CIB_SESSION_USERS", "separate");
    let ids = [SessionId::new_v4(), SessionId::new_v4()];
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut running = recipe.start();
        running.wait_until_up();
        let mut users = Vec::new();
        for id in ids {
            let keeper = started(&mut running, id);
            let home = format!("/var/lib/claude-in-box/homes/{id}");
            let environment = text(&mut running, keeper, "environ");
            assert!(
                environment.contains(&format!("HOME={home}\0")),
                "{environment}"
            );
            let inside = running.inside(&home);
            let metadata = std::fs::metadata(&inside).unwrap();
            use std::os::unix::fs::MetadataExt as _;
            users.push(metadata.uid());
            assert_eq!(metadata.mode() & 0o7777, 0o700);
            assert!(inside.join(".claude").is_dir());
            let spec = recipe.folder("data").join(format!("sessions/{id}/spec"));
            let spec = std::fs::read_to_string(spec).unwrap();
            // /workspace is coder's, and nobody else may write there.
            assert!(spec.contains(&format!("{home}/workspace")), "{spec}");
            let word = format!("--uid {0} --gid {0}", metadata.uid());
            // Until it is another program, a child of the launcher looks as the launcher does.
            eventually("one launcher has the user", || {
                (running.processes(&word).len() == 1).then_some(())
            });
            assert_eq!(
                running.as_coder(&format!("ls {home} 2>/dev/null; exit 0")),
                ""
            );
        }
        seen.push(users);
        assert_eq!(running.stop(), Some(0));
    }
    assert_eq!(seen, [[20_000, 20_001], [20_000, 20_001]]);
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
    eventually("it is interrupted, beside the rest of the boot", || {
        (state(&recipe, id)? == State::Interrupted).then_some(())
    });
    eventually("the step is done", || {
        let steps = running.status()?.steps;
        let step = steps.into_iter().find(|step| step.name == "journals")?;
        (step.state == "done").then_some(())
    });
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
