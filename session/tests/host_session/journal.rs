//! A journal that cannot be written: full and read-only file systems, in mount namespaces of
//! their own. Needs root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::keeper::{Keeper, Place, SOON, data, frames, is_alive};
use cib_protocol::frame::Frame;
use cib_protocol::keeper::{KeeperFault, KeeperReply};
use cib_protocol::session::State;
use cib_testkit::process::Process;
use cib_testkit::wait::wait_until;
use serde_json::{Value, json};

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

/// A command in the mount namespace of a process.
fn in_namespace(pid: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid.to_string(), "-m", program]);
    command
}

/// A place whose disk holds so many KiB, and a keeper there whose Claude fills it.
fn filled(fake: &str, kib: u32) -> (Place, Keeper) {
    let mut place = place_on(&format!("mount -t tmpfs -o size={kib}k tmpfs"));
    place.options = vec!["--grace-ms".into(), "600".into()];
    let spec = place.spec(fake);
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

/// Gives a keeper's disk room; the process is in the namespace that has it.
fn enlarge(keeper: &Keeper, pid: u32) {
    let mut command = in_namespace(pid, "mount");
    command.args(["-o", "remount,size=16m"]);
    command.arg(keeper.dir.ancestors().nth(2).unwrap());
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// The numbers of the lines that the scripted Claude said, which have to be in order.
fn lines_said(frames: &[Frame]) -> usize {
    let texts = data(frames, "text.delta");
    let said = texts.iter().filter(|text| text["role"] == "assistant");
    let mut count = 0;
    for text in said {
        let line = text["text"].as_str().unwrap();
        assert!(line.starts_with(&format!("line number {count} ")), "{line}");
        count += 1;
    }
    count
}

#[test]
fn a_full_disk_holds_claude_up_and_loses_no_frame() {
    let (_place, mut keeper) = filled("fills", 64);
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

    enlarge(&keeper, keeper.process.pid());
    wait_until(SOON, "the end of the turn", || {
        data(&frames(&dir), "stop").len() == 1
    });
    let all = frames(&dir);
    assert!(all.len() > stuck + 1000);
    assert_eq!(lines_said(&all), 2000);
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
    // One whose frames come many at a time, and one that waits with a single frame, for which
    // any room that the end itself made would be enough.
    for (fake, kib) in [("fills", 64), ("drips", 32)] {
        let (_place, mut keeper) = filled(fake, kib);
        keeper.input("fill it");
        wait_blocked(&keeper);
        assert_eq!(keeper.ask(&json!({"op": "stop"})), KeeperReply::Done);
        assert_eq!(keeper.wait_exit(), 74, "{fake}");
        let says = keeper.process.output();
        assert!(says.contains("the journal cannot be written"), "{says}");
    }
}

#[test]
fn an_end_is_told_behind_everything_that_claude_said_or_not_at_all() {
    let (_place, mut keeper) = filled("says", 32);
    // It keeps the file system there when the keeper is gone.
    let mut holder = in_namespace(keeper.process.pid(), "sleep");
    holder.arg("600");
    let holder = Process::spawn(holder).unwrap();
    keeper.input("more than there is room for");
    wait_blocked(&keeper);
    let claude = match keeper.ask(&json!({"op": "status"})) {
        KeeperReply::Status(meta) => meta.claude_pid.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(keeper.ask(&json!({"op": "stop"})), KeeperReply::Done);
    wait_until(SOON, "Claude's end", || !is_alive(claude));
    wait_until(SOON, "a keeper that hears nobody", || !keeper.answers());
    // From here on it tries for two seconds; on a slow machine they may be over before there
    // is room.
    enlarge(&keeper, holder.pid());
    let dir = PathBuf::from(format!("/proc/{}/root", holder.pid()));
    let dir = dir.join(keeper.dir.strip_prefix("/").unwrap());
    let code = keeper.wait_exit();
    let all = frames(&dir);
    let is_told = data(&all, "stop").iter().any(|stop| stop["last"] == true);
    assert_eq!(is_told, code == 0, "exit {code}");
    if is_told {
        assert_eq!(lines_said(&all), 180);
    } else {
        assert_eq!(code, 74);
    }
}

#[test]
fn a_shell_that_dies_while_the_disk_is_full_loses_nothing_that_it_showed() {
    let mut place = place_on("mount -t tmpfs -o size=64k tmpfs");
    let mut spec = place.spec("");
    spec["program"] = "shell".into();
    let id = spec["id"].as_str().unwrap().parse().unwrap();
    place.wrapper.push(place.dir(id).display().to_string());
    let mut keeper = place.start(&spec);
    let mut holder = in_namespace(keeper.process.pid(), "sleep");
    holder.arg("600");
    let holder = Process::spawn(holder).unwrap();
    let dir = PathBuf::from(format!("/proc/{}/root", holder.pid()));
    let dir = dir.join(keeper.dir.strip_prefix("/").unwrap());

    // Each number is noted where there is room, once the terminal has taken it.
    let (shell, count) = (place.path("shell"), place.path("count"));
    let script = format!(
        "echo $$ > {}; while :; do i=$((i + 1)); echo \"number $i\"; echo $i >> {}; done\r",
        shell.display(),
        count.display()
    );
    let keys = cib_session::base64::encode(script.as_bytes());
    let typed = keeper.ask(&json!({"op": "raw", "data": keys}));
    assert_eq!(typed, KeeperReply::Done);
    wait_blocked(&keeper);
    let shell: u32 = fs::read_to_string(shell).unwrap().trim().parse().unwrap();
    let killed = Command::new("kill")
        .args(["-KILL", &shell.to_string()])
        .status();
    assert!(killed.unwrap().success());
    wait_until(SOON, "the shell's end", || !is_alive(shell));
    let counted = fs::read_to_string(count).unwrap();
    let last = counted.lines().last().unwrap();

    // Longer than a terminal may stay open behind its shell.
    let died = Instant::now();
    wait_until(SOON, "half a second", || {
        wait_blocked(&keeper);
        died.elapsed() > Duration::from_millis(500)
    });
    enlarge(&keeper, holder.pid());
    assert_eq!(keeper.wait_exit(), 0);
    let shown: Vec<u8> = data(&frames(&dir), "pty.raw")
        .iter()
        .flat_map(|raw| cib_session::base64::decode(raw["data"].as_str().unwrap()).unwrap())
        .collect();
    let shown = String::from_utf8_lossy(&shown);
    let line = format!("number {}\r\n", last.trim());
    assert!(shown.contains(&line), "{line:?} is lost");
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
    let journal = fs::metadata(keeper.dir.join("transcript.jsonl")).unwrap();
    assert_eq!(journal.permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_only_an_old_meta_json_knew_is_taken_into_the_journal_once() {
    let place = Place::new();
    let mut keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
    // As an earlier version left it: no keeper has said what was asked for.
    let journal = keeper.dir.join("transcript.jsonl");
    let old: String = fs::read_to_string(&journal)
        .unwrap()
        .lines()
        .map(|line| {
            let mut frame: Value = serde_json::from_str(line).unwrap();
            if let Some(data) = frame["data"].as_object_mut() {
                data.remove("opening");
            }
            let end = line.find(",\"data\":").unwrap();
            format!("{},\"data\":{}}}\n", &line[..end], frame["data"])
        })
        .collect();
    fs::write(&journal, &old).unwrap();
    let mut told = serde_json::to_value(keeper.meta()).unwrap();
    told["title"] = json!("Known to the file alone");
    told["limits"] = json!({"max_turns": 7});
    fs::write(keeper.dir.join("meta.json"), told.to_string()).unwrap();
    assert_eq!(place.finish(keeper.id), 0);
    let meta = keeper.meta();
    assert_eq!(meta.title.as_deref(), Some("Known to the file alone"));
    assert_eq!(meta.limits.max_turns, Some(7));
    assert_eq!(meta.state, State::Stopped);
    assert!(!keeper.dir.join("meta.json").exists());
    let note = data(&keeper.frames(), "meta").pop().unwrap()["note"].clone();
    assert!(
        note.as_str().unwrap().contains("vouched for by nobody"),
        "{note}"
    );
    let taken = fs::read_to_string(&journal).unwrap();
    assert!(taken.starts_with(&old));
    assert_eq!(place.finish(keeper.id), 0);
    assert_eq!(fs::read_to_string(&journal).unwrap(), taken);
}

#[test]
fn a_meta_json_that_is_no_file_of_a_keeper_changes_nothing() {
    let place = Place::new();
    let mut keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
    let journal = fs::read(keeper.dir.join("transcript.jsonl")).unwrap();
    let file = keeper.dir.join("meta.json");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(place.finish(keeper.id), 0);
    fs::write(&file, "").unwrap();
    assert_eq!(place.finish(keeper.id), 0);
    assert!(!file.exists());
    assert_eq!(
        fs::read(keeper.dir.join("transcript.jsonl")).unwrap(),
        journal
    );
}

#[test]
fn a_journal_or_a_lock_that_is_not_the_keepers_own_is_refused_with_its_name() {
    for name in ["transcript.jsonl", "lock"] {
        let place = Place::new();
        let spec = place.spec("echo");
        let mut first = place.start(&spec);
        first.wait_state("idle");
        first.ask(&json!({"op": "stop"}));
        assert_eq!(first.wait_exit(), 0);
        let file = first.dir.join(name);
        let elsewhere = first.dir.join("elsewhere");
        fs::rename(&file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        let before = fs::read(&elsewhere).unwrap();
        let code = place.finish(first.id);
        assert!(code == 74 || code == 78, "{name}: {code}");
        assert_eq!(fs::read(&elsewhere).unwrap(), before, "{name}");
    }
}
