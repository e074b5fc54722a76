//! The keeper, the launcher and Claude as three users: what Claude can do to the other two, and
//! what is left when one of them ends.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cib_protocol::session::State;
use cib_testkit::wait::{wait_for, wait_until};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::keeper::{CODER, KEEPER, Keeper, PEER, Place, SOON, data, is_alive};
use crate::real::{Real, text, wait_turns};
use crate::shell::{type_in, wait_shown};

/// Runs a program of the box as somebody.
fn run_as(user: u32, words: &[&str], told: &str) -> Output {
    let input = tempfile::NamedTempFile::new().unwrap();
    fs::write(input.path(), told).unwrap();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).uid(user).gid(user);
    command.stdin(Stdio::from(fs::File::open(input.path()).unwrap()));
    command.output().unwrap()
}

/// What the keeper answers somebody.
fn asked_by(user: u32, keeper: &Keeper) -> String {
    let socket = keeper.socket.display().to_string();
    let words = [
        env!("CARGO_BIN_EXE_cib-session"),
        "hook",
        "--socket",
        &socket,
    ];
    let output = run_as(user, &words, "{\"op\":\"status\"}\n");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A process id that a fake has written.
#[track_caller]
fn written_pid(file: &Path) -> u32 {
    wait_for(SOON, "a process id", || {
        let text = fs::read_to_string(file).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    })
}

fn field(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap().trim().to_owned()
}

fn launcher_of(keeper: &Keeper) -> u32 {
    keeper.launcher.as_ref().unwrap().pid()
}

/// A session whose Claude has left a daemon, and that daemon.
fn with_daemon(place: &Place) -> (Keeper, u32) {
    let mut spec = place.spec("daemon");
    let left = place.path("left");
    spec["env"]["LEFT"] = left.to_str().unwrap().into();
    let keeper = place.start(&spec);
    keeper.wait_state("idle");
    let daemon = written_pid(&left);
    assert_eq!(
        field(daemon, "Uid")
            .split('\t')
            .next()
            .unwrap()
            .parse::<u32>(),
        Ok(CODER)
    );
    (keeper, daemon)
}

#[test]
fn claude_can_neither_signal_nor_look_into_its_keeper_and_launcher() {
    let mut place = Place::apart();
    let key = ("ANTHROPIC_API_KEY".to_owned(), "sk-very-secret".to_owned());
    place.environment.push(key);
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    for pid in [keeper.process.pid(), launcher_of(&keeper)] {
        for script in [
            "kill -0 P",
            "cat /proc/P/environ",
            "ls /proc/P/fd/",
            "cat /proc/P/maps",
        ] {
            let script = script.replace('P', &pid.to_string());
            let output = run_as(CODER, &["sh", "-c", &script], "");
            assert!(!output.status.success(), "{script}: {output:?}");
        }
    }
    assert_eq!(
        field(keeper.process.pid(), "Uid"),
        [KEEPER; 4].map(|id| id.to_string()).join("\t")
    );
    let environment = fs::read(format!("/proc/{}/environ", launcher_of(&keeper))).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("secret"), "{environment}");
    assert!(is_alive(keeper.process.pid()) && is_alive(launcher_of(&keeper)));
}

#[test]
fn the_keeper_answers_root_itself_and_whom_it_was_told_of_and_nobody_else() {
    let place = Place::apart();
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    for user in [0, KEEPER] {
        assert!(asked_by(user, &keeper).contains("\"status\""), "{user}");
    }
    // However open the socket's own mode may be.
    fs::set_permissions(&keeper.socket, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(asked_by(PEER, &keeper).contains("\"status\""));
    for user in [CODER, 12345] {
        assert_eq!(asked_by(user, &keeper), "", "{user} was answered");
    }
}

#[test]
fn claude_has_no_rights_and_its_own_groups_and_mask() {
    let place = Place::apart();
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    let claude = keeper.meta().claude_pid.unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(claude, set), "0000000000000000", "{set}");
    }
    assert_eq!(field(claude, "NoNewPrivs"), "1");
    assert_eq!(field(claude, "Umask"), "0022");
    assert_eq!(field(claude, "SigBlk"), "0000000000000000");
    let ignored = u64::from_str_radix(&field(claude, "SigIgn"), 16).unwrap();
    // Signals 32 and 33 are the C library's own (nptl(7)): no program can set them, and whoever
    // runs the tests may ignore them.
    assert_eq!(ignored & !(0b11 << 31), 0, "{ignored:x}");
    let user = [CODER; 4].map(|id| id.to_string()).join("\t");
    assert_eq!(
        (field(claude, "Uid"), field(claude, "Gid")),
        (user.clone(), user)
    );
    assert_eq!(field(claude, "Groups"), "41001 41002");
    let fds = fs::read_dir(format!("/proc/{claude}/fd")).unwrap().count();
    assert!(fds <= 4, "three pipes, and its script: {fds} descriptors");
}

#[test]
fn a_daemon_without_session_parent_or_environment_is_gone_with_its_session() {
    let mut place = Place::apart();
    place.options = ["--grace-ms", "300"].map(String::from).to_vec();
    let (mut keeper, daemon) = with_daemon(&place);
    assert!(is_alive(daemon));
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
    assert!(!is_alive(daemon));
    let launcher = keeper.launcher.as_mut().unwrap();
    assert_eq!(launcher.wait(SOON).code(), Some(0));
}

#[test]
fn a_keeper_that_is_killed_takes_everything_with_it() {
    let place = Place::apart();
    let (mut keeper, daemon) = with_daemon(&place);
    let claude = keeper.meta().claude_pid.unwrap();
    keeper.process.signal(Signal::SIGKILL).unwrap();
    let launcher = keeper.launcher.as_mut().unwrap();
    assert_eq!(launcher.wait(SOON).code(), Some(0));
    assert!(!is_alive(claude) && !is_alive(daemon));
    assert_eq!(place.finish(keeper.id), 0);
    assert_eq!(keeper.meta().state, State::Interrupted);
}

#[test]
fn whoever_forks_and_is_gone_is_caught_all_the_same() {
    let place = Place::apart();
    let (link, left) = (place.path("link"), place.path("left"));
    let script = format!(
        "#!/bin/sh\necho $$ >>'{}'\nsetsid \"$0\" &\n",
        left.display()
    );
    fs::write(&link, script).unwrap();
    fs::set_permissions(&link, fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = place.spec("chain");
    spec["env"]["LINK"] = link.to_str().unwrap().into();
    let mut keeper = place.start(&spec);
    keeper.wait_state("idle");
    let links = || {
        fs::read_to_string(&left)
            .unwrap_or_default()
            .lines()
            .count()
    };
    wait_until(SOON, "some links", || links() > 20);
    keeper.process.signal(Signal::SIGKILL).unwrap();
    let launcher = keeper.launcher.as_mut().unwrap();
    assert_eq!(launcher.wait(SOON).code(), Some(0));
    let last = fs::read_to_string(&left).unwrap();
    let last: u32 = last.lines().last().unwrap().parse().unwrap();
    assert!(!is_alive(last));
    let mut find = Command::new("pgrep");
    find.arg("-f").arg(link.as_os_str());
    assert!(!find.status().unwrap().success(), "nobody goes on");
}

#[test]
fn a_launcher_that_dies_fails_the_session_with_a_reason() {
    for place in [Place::apart(), Place::new()] {
        let mut keeper = place.start(&place.spec("deaf"));
        keeper.wait_state("idle");
        let claude = keeper.meta().claude_pid.unwrap();
        let launcher: u32 = field(claude, "PPid").parse().unwrap();
        let mut kill = Command::new("kill");
        assert!(
            kill.args(["-9", &launcher.to_string()])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(keeper.wait_exit(), 0);
        let stop = data(&keeper.frames(), "stop").pop().unwrap();
        assert_eq!(
            stop["reason"],
            "the launcher of the session's processes ended"
        );
        assert_eq!(keeper.meta().state, State::Failed);
        wait_until(SOON, "Claude's end", || !is_alive(claude));
    }
}

#[test]
fn a_plain_shell_gets_no_credential_that_its_keeper_has_and_a_terminal_of_its_own() {
    let mut place = Place::apart();
    for name in [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_CODE_OAUTH_TOKEN",
    ] {
        place
            .environment
            .push((name.to_owned(), "sk-very-secret".to_owned()));
    }
    let mut spec = place.spec("");
    spec["program"] = "shell".into();
    spec["env"] = json!({"PS1": "$ "});
    let shell = place.start(&spec);
    shell.wait_state("idle");
    type_in(
        &shell,
        "echo has$(env | grep -c very-secret); stat -c owner%u \"$(tty)\"\r",
    );
    wait_shown(&shell, "has0");
    wait_shown(&shell, &format!("owner{CODER}"));
}

#[test]
fn googles_credentials_are_a_file_of_the_sessions_user_and_no_variable() {
    let mut place = Place::apart();
    let text = r#"{"type":"authorized_user"}"#;
    for (name, value) in [
        ("CIB_GOOGLE_CREDENTIALS", text),
        ("CLAUDE_CODE_USE_VERTEX", "1"),
    ] {
        place.environment.push((name.to_owned(), value.to_owned()));
    }
    let environment = |keeper: &Keeper| {
        let claude = keeper.meta().claude_pid.unwrap();
        let read = fs::read(format!("/proc/{claude}/environ")).unwrap();
        String::from_utf8(read).unwrap()
    };
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    let all = environment(&keeper);
    assert!(!all.contains("authorized_user"), "{all}");
    assert!(all.contains("CLAUDE_CODE_USE_VERTEX=1"), "{all}");
    let path = all
        .split('\0')
        .find_map(|pair| pair.strip_prefix("GOOGLE_APPLICATION_CREDENTIALS="))
        .unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), text);
    let about = fs::metadata(path).unwrap();
    assert_eq!((about.uid(), about.mode() & 0o777), (CODER, 0o600));
}

#[test]
fn a_session_that_is_to_use_a_subscription_uses_no_cloud() {
    let mut place = Place::apart();
    let switch = ("CLAUDE_CODE_USE_BEDROCK".to_owned(), "1".to_owned());
    place.environment.push(switch);
    let mut spec = place.spec("echo");
    spec["auth_mode"] = "subscription".into();
    let keeper = place.start(&spec);
    keeper.wait_state("idle");
    let claude = keeper.meta().claude_pid.unwrap();
    let all = fs::read(format!("/proc/{claude}/environ")).unwrap();
    let all = String::from_utf8_lossy(&all);
    assert!(!all.contains("CLAUDE_CODE_USE_BEDROCK"), "{all}");
}

#[test]
fn an_environment_that_fits_no_message_reaches_claude() {
    let place = Place::apart();
    let mut spec = place.spec("echo");
    for number in 0..8 {
        spec["env"][format!("LONG{number}")] = "x".repeat(100_000).into();
    }
    let keeper = place.start(&spec);
    keeper.wait_state("idle");
    let claude = keeper.meta().claude_pid.unwrap();
    let environment = fs::read(format!("/proc/{claude}/environ")).unwrap();
    assert!(environment.len() > 800_000);
}

#[test]
fn a_folder_of_somebody_else_ends_the_session_with_its_owner_and_a_remedy() {
    let place = Place::apart();
    let folder = place.path("home/.claude");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(1500), Some(1500)).unwrap();
    let spec = place.spec("echo");
    let mut keeper = place.spawn(&spec);
    assert_eq!(keeper.wait_exit(), 70);
    assert_eq!(keeper.meta().state, State::Failed);
    let stop = data(&keeper.frames(), "stop").pop().unwrap();
    let detail = stop["detail"].as_str().unwrap();
    for part in [folder.to_str().unwrap(), "1500:1500", "PUID", "chown"] {
        assert!(detail.contains(part), "{part} in {detail}");
    }
    // A folder to work in that can only be read is worth a word, and no end.
    chown(&folder, Some(CODER), Some(CODER)).unwrap();
    chown(place.path("work"), Some(1500), Some(1500)).unwrap();
    fs::set_permissions(place.path("work"), fs::Permissions::from_mode(0o755)).unwrap();
    let keeper = place.start(&place.spec("echo"));
    keeper.wait_state("idle");
    keeper.wait_frame("meta", |meta| {
        meta["note"]
            .as_str()
            .is_some_and(|note| note.contains("1500:1500"))
    });
}

#[test]
fn the_settings_of_a_session_are_for_its_user_alone() {
    let place = Place::apart();
    let mut spec = place.spec("echo");
    spec["hooks"] = json!({"Stop": [{"hooks": [{"type": "command", "command": "a secret"}]}]});
    let keeper = place.start(&spec);
    keeper.wait_state("idle");
    let folder = keeper.socket.with_file_name("user");
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o711);
    let entry = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let meta = entry.metadata().unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (CODER, 0o600));
    assert!(
        fs::read_to_string(entry.path())
            .unwrap()
            .contains("a secret")
    );
}

#[test]
fn the_terminal_is_followed_across_users_and_by_another_when_the_watcher_is_ended() {
    let mut real = Real::new();
    real.place = real.place.set_apart();
    let mut spec = real.spec("@text the first");
    spec["driver"] = "tty".into();
    let keeper = real.place.start(&spec);
    wait_turns(&keeper, 1);
    let claude = keeper.meta().claude_pid.unwrap();
    let launcher: u32 = field(claude, "PPid").parse().unwrap();
    let watcher = || {
        let list = format!("/proc/{launcher}/task/{launcher}/children");
        let children = fs::read_to_string(list).unwrap();
        let mut pids = children
            .split_whitespace()
            .map(|pid| pid.parse::<u32>().unwrap());
        pids.find(|pid| *pid != claude)
    };
    let first = watcher().unwrap();
    let killed = run_as(CODER, &["sh", "-c", &format!("kill -9 {first}")], "");
    assert!(killed.status.success());
    wait_until(SOON, "another watcher", || {
        watcher().is_some_and(|pid| pid != first)
    });
    keeper.input("@think so it is\n@text the second");
    let frames = wait_turns(&keeper, 2);
    assert_eq!(text(&frames, "assistant"), "the firstthe second");
    // Only the transcript tells this.
    keeper.wait_frame("thinking", |thought| thought["text"] == "so it is");
    assert!(data(&keeper.frames(), "usage").len() >= 2);
}

#[test]
fn a_watcher_that_is_ended_again_and_again_fails_the_session() {
    let mut real = Real::new();
    real.place = real.place.set_apart();
    let mut spec = real.spec("@text the first");
    spec["driver"] = "tty".into();
    let mut keeper = real.place.start(&spec);
    wait_turns(&keeper, 1);
    // Of this session alone: another test's is the same user's.
    let launcher = launcher_of(&keeper);
    let script =
        format!("while sleep 0.05; do pkill -9 -P {launcher} -f 'cib-session watc[h]'; done");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).uid(CODER).gid(CODER);
    let _killer = cib_testkit::process::Process::spawn(command).unwrap();
    assert_eq!(keeper.wait_exit(), 0);
    assert_eq!(keeper.meta().state, State::Failed);
    let stop = data(&keeper.frames(), "stop").pop().unwrap();
    assert_eq!(stop["reason"], "Claude's files cannot be followed");
}
