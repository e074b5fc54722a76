//! What is left of a session that was purged: nothing.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use cib_protocol::init::{InitFault, InitReply, InitRequest};
use cib_protocol::purge::Purged;
use cib_protocol::session::SessionId;
use serde_json::json;

use crate::boxed::{Recipe, Running};
use crate::support::{INIT, eventually};

/// A box with the real keepers.
fn a_box(users: &str) -> Recipe {
    let mut recipe = Recipe::new();
    let session = PathBuf::from(INIT).with_file_name("cib-session");
    let missing = "cib-session is missing: cargo build --workspace";
    assert!(session.exists(), "{missing}");
    std::fs::copy(session, recipe.folder("bin").join("cib-session")).unwrap();
    recipe.set("CIB_SESSION_USERS", users);
    recipe
}

fn start(running: &mut Running, spec: serde_json::Value) -> InitReply {
    let spec = Box::new(serde_json::from_value(spec).unwrap());
    running.ask(&InitRequest::SessionStart { spec }).unwrap()
}

fn shell(running: &mut Running) -> SessionId {
    let id = SessionId::new_v4();
    let spec = json!({"id": id, "workdir": "/workspace", "program": "shell"});
    let reply = start(running, spec);
    let said = running.said();
    assert!(
        matches!(reply, InitReply::SessionStarted { .. }),
        "{reply:?}; {said}"
    );
    id
}

fn end(running: &mut Running, session: SessionId) {
    let kill = true;
    let reply = running.ask(&InitRequest::SessionSignal { session, kill });
    assert_eq!(reply, Some(InitReply::Done));
}

fn purge(running: &mut Running, session: SessionId) -> InitReply {
    running.ask(&InitRequest::SessionPurge { session }).unwrap()
}

#[track_caller]
fn purged(running: &mut Running, session: SessionId) -> Purged {
    match purge(running, session) {
        InitReply::SessionPurged(purged) => purged,
        other => panic!("{other:?}; {}", running.said()),
    }
}

#[track_caller]
fn refused(reply: &InitReply, expected: InitFault) {
    assert!(
        matches!(reply, InitReply::Refused { code, .. } if *code == expected),
        "{reply:?}"
    );
}

/// Everything below a folder that has a session's id in its name.
fn named(folder: &Path, id: SessionId) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.to_string_lossy().contains(&id.to_string()) {
            found.push(path);
        } else if path.is_dir() && !path.is_symlink() {
            found.extend(named(&path, id));
        }
    }
    found
}

/// What an agent that wants to keep its home leaves in it.
fn lay_traps(home: &Path, precious: &Path) {
    let uid = home.metadata().unwrap().uid();
    let at = |name: &str| home.join(name);
    std::fs::create_dir_all(at("closed/inner/deep")).unwrap();
    std::fs::write(at("closed/inner/file"), vec![7; 100_000]).unwrap();
    symlink(precious, at("link")).unwrap();
    symlink(precious, at("closed/link")).unwrap();
    std::fs::hard_link(at("closed/inner/file"), at("name")).unwrap();
    for path in [
        "closed/inner/deep",
        "closed/inner/file",
        "closed/inner",
        "closed",
    ] {
        chown(at(path), Some(uid), Some(uid)).unwrap();
    }
    for (path, mode) in [("closed/inner", 0), ("closed", 0o500)] {
        std::fs::set_permissions(at(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn of_a_purged_session_nothing_is_left_and_nothing_else_is_touched() {
    for users in ["shared", "separate"] {
        let mut recipe = a_box(users);
        let mut running = recipe.start();
        running.wait_until_up();
        let (id, other) = (shell(&mut running), shell(&mut running));
        let (data, run) = (recipe.folder("data"), running.inside("/run/cib"));
        let precious = recipe.folder("workspace").join("precious");
        std::fs::create_dir(&precious).unwrap();
        std::fs::write(precious.join("file"), "").unwrap();
        let home = data.join("homes").join(id.to_string());
        if users == "separate" {
            lay_traps(&home, &precious);
        }
        refused(&purge(&mut running, id), InitFault::SessionExists);
        assert!(
            data.join(format!("sessions/{id}/transcript.jsonl"))
                .exists()
        );
        end(&mut running, id);
        let ask = format!(
            r#"perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new("/run/cib/init.sock");
            print $s q[{{"op":"session_purge","session":"{id}"}}], "\n"; print scalar <$s>'"#
        );
        let said = running.as_coder(&ask);
        assert!(said.contains("\"forbidden\""), "{said}");
        let done = purged(&mut running, id);
        assert_eq!(done.left, None, "{}", running.said());
        assert!(done.freed > if users == "separate" { 100_000 } else { 0 });
        running.says(&format!("session {id} was purged: {} bytes", done.freed));
        assert_eq!(named(&data, id), [""; 0].map(PathBuf::from));
        assert_eq!(named(&run, id), [""; 0].map(PathBuf::from));
        assert!(precious.join("file").exists());
        let numbers = std::fs::read_to_string(data.join("session-users")).unwrap_or_default();
        assert!(!numbers.contains(&id.to_string()), "{numbers}");
        let names = std::fs::read_to_string(running.inside("/etc/passwd")).unwrap();
        assert!(!names.contains(&id.to_string()), "{names}");
        // And it does not come back.
        refused(&purge(&mut running, id), InitFault::NoSuchSession);
        let resume = json!({"claude_session": SessionId::new_v4()});
        let spec = json!({"id": id, "workdir": "/workspace", "resume": resume});
        refused(&start(&mut running, spec), InitFault::NoSuchSession);
        assert_eq!(running.status().unwrap().sessions, [other]);
        assert!(data.join(format!("sessions/{other}")).exists());
        assert_eq!(running.stop(), Some(0));
    }
}

#[test]
fn a_home_that_resists_is_left_and_named_and_the_record_goes() {
    let mut recipe = a_box("separate");
    let mut running = recipe.start();
    running.wait_until_up();
    let id = shell(&mut running);
    let data = recipe.folder("data");
    let home = data.join("homes").join(id.to_string());
    std::fs::create_dir(home.join("roots")).unwrap();
    std::fs::write(home.join("roots/file"), "").unwrap();
    end(&mut running, id);
    eventually("it has ended", || {
        running.status()?.sessions.is_empty().then_some(())
    });
    let left = purged(&mut running, id).left.unwrap();
    assert!(left.contains("roots/file: Permission denied"), "{left}");
    running.says("left: roots/file");
    assert_eq!(
        named(&data.join("sessions"), id),
        [""; 0].map(PathBuf::from)
    );
    assert!(home.join("roots/file").exists());
    assert!(!home.join(".claude").exists());
    // Its number stays taken for as long as its files do.
    let numbers = std::fs::read_to_string(data.join("session-users")).unwrap();
    assert!(numbers.contains(&id.to_string()), "{numbers}");
    assert_eq!(running.stop(), Some(0));
}
