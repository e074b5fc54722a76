//! A journal that cannot be written: full and read-only file systems, in mount namespaces of
//! their own. Needs root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::keeper::{Keeper, Place, SOON, data, frames};
use cib_protocol::keeper::{KeeperFault, KeeperReply};
use cib_protocol::session::State;
use cib_testkit::wait::wait_until;
use serde_json::json;

/// Runs keepers with a file system over the sessions' directory.
fn place_on(mount: &str) -> Place {
    let mut place = Place::new();
    let data = place.path("data");
    let script = format!(
        "{mount} {0} && mkdir -p \"$0\" && exec \"$@\"",
        data.display()
    );
    place.wrapper = ["unshare", "-m", "sh", "-c", &script]
        .map(String::from)
        .to_vec();
    place
}

/// The session's directory as the keeper sees it.
fn inside(keeper: &Keeper) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", keeper.process.pid()));
    root.join(keeper.dir.strip_prefix("/").unwrap())
}

fn in_namespace(keeper: &Keeper, program: &str, arguments: &[&Path]) {
    let target = keeper.process.pid().to_string();
    let mut command = Command::new("nsenter");
    command.args(["-t", &target, "-m", program]).args(arguments);
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// A place whose disk holds 64 KiB, and a keeper there whose Claude fills it.
fn filled() -> (Place, Keeper) {
    let mut place = place_on("mount -t tmpfs -o size=64k tmpfs");
    let spec = place.spec("fills");
    let id = spec["id"].as_str().unwrap().parse().unwrap();
    // `$0` of the script: the directory that the fresh file system lacks.
    place.wrapper.push(place.dir(id).display().to_string());
    let keeper = place.start(&spec);
    wait_until(SOON, "the start", || !frames(&inside(&keeper)).is_empty());
    (place, keeper)
}

fn wait_blocked(keeper: &Keeper) -> String {
    let mut reason = String::new();
    wait_until(SOON, "a full disk", || {
        match keeper.ask(&json!({"op": "status"})) {
            KeeperReply::Status(meta) => {
                reason = meta.reason.unwrap_or_default();
                reason.contains("No space left")
            }
            other => panic!("{other:?}"),
        }
    });
    reason
}

#[test]
fn a_full_disk_holds_claude_up_and_loses_no_frame() {
    let (_place, mut keeper) = filled();
    let dir = inside(&keeper);
    let ballast = dir.join("ballast");
    keeper.input("fill it");
    let reason = wait_blocked(&keeper);
    assert!(
        reason.starts_with("the journal cannot be written"),
        "{reason}"
    );
    let stuck = frames(&dir).len();
    let reply = keeper.ask(&json!({"op": "input", "text": "more"}));
    let KeeperReply::Refused { code, .. } = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(code, KeeperFault::Journal);
    assert!(!ballast.exists());

    let data_dir = keeper.dir.ancestors().nth(2).unwrap();
    in_namespace(
        &keeper,
        "mount",
        &[Path::new("-o"), Path::new("remount,size=16m"), data_dir],
    );
    wait_until(SOON, "the end of the turn", || {
        data(&frames(&dir), "stop").len() == 1
    });
    let all = frames(&dir);
    assert!(all.len() > stuck + 1000);
    let texts = data(&all, "text.delta");
    let lines: Vec<_> = texts
        .iter()
        .filter(|text| text["role"] == "assistant")
        .map(|text| text["text"].as_str().unwrap())
        .collect();
    for (number, line) in lines.iter().enumerate() {
        assert!(
            line.starts_with(&format!("line number {number} ")),
            "{line}"
        );
    }
    assert_eq!(lines.len(), 2000);
    let notes = data(&all, "meta");
    let noted = notes.iter().filter_map(|meta| meta["note"].as_str());
    assert!(
        noted
            .into_iter()
            .any(|note| note.contains("no frame was lost"))
    );
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
}

#[test]
fn a_session_on_a_full_disk_can_be_stopped_and_says_that_its_end_is_unwritten() {
    let (_place, mut keeper) = filled();
    keeper.input("fill it");
    wait_blocked(&keeper);
    assert_eq!(keeper.ask(&json!({"op": "stop"})), KeeperReply::Done);
    assert_eq!(keeper.wait_exit(), 74);
    let says = keeper.process.output();
    assert!(says.contains("the journal cannot be written"), "{says}");
}

#[test]
fn a_journal_on_a_read_only_file_system_is_refused_before_claude_starts() {
    let mut place = Place::new();
    let data = place.path("data").display().to_string();
    let script =
        format!("mount --bind {data} {data} && mount -o remount,bind,ro {data} && exec \"$@\"");
    place.wrapper = ["unshare", "-m", "sh", "-c", &script, "sh"]
        .map(String::from)
        .to_vec();
    let spec = place.spec("echo");
    let mut keeper = place.spawn(&spec);
    assert_eq!(keeper.wait_exit(), 74);
    let says = keeper.process.output();
    assert!(says.contains("Read-only file system"), "{says}");
    assert!(!keeper.dir.join("meta.json").exists());
}

#[test]
fn every_sync_policy_writes_the_same_frames() {
    for policy in ["none", "batch", "frame"] {
        let mut place = Place::new();
        place.options = vec!["--sync".into(), policy.into()];
        let mut keeper = place.start(&place.spec("echo"));
        keeper.wait_state("idle");
        keeper.input("hello");
        keeper.wait_frame("stop", |stop| stop["reason"] == "turn_end");
        keeper.ask(&json!({"op": "stop"}));
        assert_eq!(keeper.wait_exit(), 0);
        let kinds: Vec<_> = keeper
            .frames()
            .into_iter()
            .map(|frame| frame.kind)
            .collect();
        assert_eq!(
            kinds.join(" "),
            "status meta status text.delta text.delta usage stop stop status",
            "with --sync {policy}"
        );
        assert_eq!(keeper.meta().state, State::Stopped);
    }
}

#[test]
fn a_journal_of_another_session_is_left_alone() {
    let place = Place::new();
    let spec = place.spec("echo");
    let id = spec["id"].as_str().unwrap().parse().unwrap();
    let line = r#"{"session":"00000000-0000-4000-8000-000000000000","seq":1,"ts":"2026-01-01T00:00:00.000Z","kind":"raw","data":1}"#;
    fs::create_dir_all(place.dir(id)).unwrap();
    let journal = place.dir(id).join("transcript.jsonl");
    fs::write(&journal, format!("{line}\n")).unwrap();
    let mut keeper = place.spawn(&spec);
    assert_eq!(keeper.wait_exit(), 74);
    assert_eq!(fs::read_to_string(&journal).unwrap(), format!("{line}\n"));
}

#[test]
fn control_may_read_the_files_whatever_the_umask_says() {
    let mut place = Place::new();
    place.wrapper = ["sh", "-c", "umask 077; exec \"$@\"", "sh"]
        .map(String::from)
        .to_vec();
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    for name in ["transcript.jsonl", "meta.json"] {
        let mode = fs::metadata(keeper.dir.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640, "{name}");
    }
}
