//! Hooks of the image, of the user and of the session with the real CLI, under both drivers.

use std::fs;
use std::time::{Duration, Instant};

use cib_protocol::frame::Frame;
use cib_protocol::keeper::KeeperReply;
use cib_protocol::session::{Driver, State};
use cib_testkit::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::keeper::{SOON, data, is_alive};
use crate::real::{Real, text, wait_turns};

const DRIVERS: [&str; 2] = ["stream", "tty"];

/// Hooks of one event that run a shell's command.
fn hooks(event: &str, command: &str) -> Value {
    json!({event: [{"hooks": [{"type": "command", "command": command}]}]})
}

fn spec(real: &Real, driver: &str, prompt: &str, hooks: &Value) -> Value {
    let mut spec = real.spec(prompt);
    spec["driver"] = driver.into();
    spec["hooks"] = hooks.clone();
    spec
}

/// What hooks of an event answered, by their frames.
fn results(frames: &[Frame], event: &str) -> Vec<Value> {
    data(frames, "hook")
        .into_iter()
        .filter(|hook| hook["event"] == event && hook["result"].is_object())
        .collect()
}

/// Gives keepers of a place an image with these hooks.
fn image(real: &mut Real, hooks: &Value) {
    let etc = real.place.path("etc");
    let file = real.place.path("image.json");
    fs::write(&file, hooks.to_string()).unwrap();
    let script = "cp -a /etc $0 && mkdir $0/claude-in-box && \
        cp $1 $0/claude-in-box/hooks.json && mount --bind $0 /etc && shift && exec \"$@\"";
    let [etc, file] = [etc, file].map(|path| path.display().to_string());
    real.place.wrapper = ["unshare", "-m", "sh", "-c", script, &etc, &file]
        .map(String::from)
        .to_vec();
}

#[test]
fn hooks_of_image_user_and_session_all_run_and_each_is_told() {
    for driver in DRIVERS {
        let mut real = Real::new();
        let ran = real.place.path("ran");
        let note = |who: &str| {
            let command = format!("echo {who}; echo {who} >> {}", ran.display());
            hooks("PreToolUse", &command)
        };
        image(&mut real, &note("image"));
        let home = real.place.path("home/.claude");
        fs::create_dir_all(&home).unwrap();
        let users = json!({"hooks": note("user")});
        fs::write(home.join("hooks.json"), users.to_string()).unwrap();
        let spec = spec(&real, driver, "@bash true\n@text done", &note("session"));
        let keeper = real.place.start(&spec);
        let frames = wait_turns(&keeper, 1);
        let ran = fs::read_to_string(&ran).unwrap();
        let mut ran: Vec<_> = ran.lines().collect();
        ran.sort_unstable();
        assert_eq!(ran, ["image", "session", "user"], "{driver}");
        let told = results(&frames, "PreToolUse");
        let mut said: Vec<_> = told
            .iter()
            .map(|hook| hook["result"]["stdout"].as_str().unwrap().trim())
            .collect();
        said.sort_unstable();
        assert_eq!(said, ["image", "session", "user"], "{driver}");
        for hook in &told {
            assert_eq!(hook["name"], "PreToolUse:Bash", "{driver}");
            assert_eq!(hook["result"]["exit_code"], 0, "{driver}");
        }
    }
}

#[test]
fn a_hook_of_a_session_blocks_a_call_and_says_why() {
    for driver in DRIVERS {
        let real = Real::new();
        let block = hooks("PreToolUse", "echo 'it isn'\\''t allowed' >&2; exit 2");
        let script = "@bash touch forbidden\n@text understood";
        let keeper = real.place.start(&spec(&real, driver, script, &block));
        let frames = wait_turns(&keeper, 1);
        assert!(!real.place.path("work/forbidden").exists(), "{driver}");
        let result = &data(&frames, "tool.use.result")[0];
        assert_eq!(result["is_error"], true, "{driver}");
        assert!(result["output"].to_string().contains("it isn't allowed"));
        let told = &results(&frames, "PreToolUse")[0]["result"];
        assert_eq!(told["exit_code"], 2, "{driver}");
        assert_eq!(told["stderr"], "it isn't allowed\n", "{driver}");
        assert_eq!(text(&frames, "assistant"), "understood", "{driver}");
    }
}

#[test]
fn a_hook_of_a_session_rewrites_a_call() {
    for driver in DRIVERS {
        let real = Real::new();
        let answer = json!({"hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "allow",
            "updatedInput": {"command": "echo rewritten > made.txt"},
        }});
        // It reads what it is told, so that a hook which gets nothing is noticed.
        let command = format!("grep -q asked-for && echo '{answer}'");
        let script = "@bash echo asked-for > made.txt\n@text done";
        let rewrite = hooks("PreToolUse", &command);
        let keeper = real.place.start(&spec(&real, driver, script, &rewrite));
        wait_turns(&keeper, 1);
        let made = fs::read_to_string(real.place.path("work/made.txt")).unwrap();
        assert_eq!(made, "rewritten\n", "{driver}");
    }
}

#[test]
fn a_hook_of_a_session_annotates_what_the_model_is_told() {
    for driver in DRIVERS {
        let real = Real::new();
        let answer = json!({"hookSpecificOutput": {
            "hookEventName": "UserPromptSubmit",
            "additionalContext": "the tide is out",
        }});
        let annotate = hooks("UserPromptSubmit", &format!("echo '{answer}'"));
        let keeper = real
            .place
            .start(&spec(&real, driver, "@text noted", &annotate));
        wait_turns(&keeper, 1);
        assert!(real.told().contains("the tide is out"), "{driver}");
    }
}

#[test]
fn an_event_that_the_version_does_not_know_is_left_out_and_told() {
    for driver in DRIVERS {
        let real = Real::new();
        let unknown = hooks("FromTheFuture", "true");
        let keeper = real
            .place
            .start(&spec(&real, driver, "@text no dialog", &unknown));
        let frames = wait_turns(&keeper, 1);
        assert_eq!(text(&frames, "assistant"), "no dialog", "{driver}");
        let notes = data(&frames, "meta");
        let noted = notes.iter().filter_map(|meta| meta["note"].as_str());
        let says = "the session's hooks: this Claude knows no event `FromTheFuture`";
        assert!(noted.into_iter().any(|note| note == says), "{driver}");
    }
}

#[test]
fn a_session_that_is_resumed_has_its_hooks_again_and_keeps_them_to_itself() {
    let real = Real::new();
    let block = hooks("PreToolUse", "exit 2");
    let first = real
        .place
        .start(&spec(&real, "stream", "@text begun", &block));
    wait_turns(&first, 1);
    let kept = first.dir.join("hooks.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let claude = first.meta().claude_pid.unwrap();
    first.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "Claude's end", || !is_alive(claude));
    assert_eq!(real.place.finish(first.id), 0);
    assert_eq!(first.meta().state, State::Interrupted);

    let mut again = real.spec("@bash touch forbidden\n@text understood");
    again["id"] = json!(first.id);
    again["resume"] = json!({"claude_session": first.id});
    let second = real.place.start(&again);
    wait_until(SOON, "the second turn", || second.meta().turns == 2);
    wait_turns(&second, 2);
    assert!(!real.place.path("work/forbidden").exists());
}

#[test]
fn hooks_that_a_session_is_given_while_it_lives_hold_from_its_next_start() {
    let real = Real::new();
    let block = hooks("PreToolUse", "exit 2");
    let none = json!({});
    let keeper = real
        .place
        .start(&spec(&real, "stream", "@text begun", &none));
    wait_turns(&keeper, 1);
    let set = json!({"op": "set_hooks", "hooks": block});
    assert_eq!(keeper.ask(&set), KeeperReply::Done);
    let kept = keeper.ask(&json!({"op": "hooks"}));
    assert_eq!(kept, KeeperReply::Hooks(block.as_object().unwrap().clone()));
    keeper.wait_frame("meta", |meta| {
        meta["note"]
            .as_str()
            .is_some_and(|note| note.contains("hooks were changed"))
    });
    let switched = keeper.ask(&json!({"op": "set_driver", "driver": "tty"}));
    assert_eq!(switched, KeeperReply::Done);
    wait_until(SOON, "the other driver", || {
        keeper.meta().driver == Driver::Tty && keeper.meta().state == State::Idle
    });
    let message = "@bash touch forbidden\n@text understood";
    keeper.ask(&json!({"op": "input", "text": message}));
    wait_turns(&keeper, 2);
    assert!(!real.place.path("work/forbidden").exists());
}

#[test]
fn a_hook_is_over_with_its_shell_and_its_output_is_bounded() {
    for driver in ["stream", "tty"] {
        let real = Real::new();
        let mut spec = real.spec("@text hello");
        spec["driver"] = driver.into();
        let command = |command: &str| json!([{"hooks": [{"type": "command", "command": command}]}]);
        spec["hooks"] = json!({
            "SessionStart": command("sleep 95 & echo ok"),
            "UserPromptSubmit": command("head -c 300000000 /dev/zero | tr '\\0' x"),
        });
        let began = Instant::now();
        let keeper = real.place.start(&spec);
        wait_turns(&keeper, 1);
        assert!(began.elapsed() < Duration::from_secs(90), "{driver}");
        let hook = keeper.wait_frame("hook", |hook| {
            let said = hook["result"]["stdout"].as_str().unwrap_or_default();
            said.starts_with("xxx")
        });
        let said = hook["result"]["stdout"].as_str().unwrap();
        assert!(said.len() <= 1 << 20, "{driver}: {}", said.len());
    }
}

/// A session whose start has a hook that takes so many seconds.
fn sleeper(driver: &str, seconds: u32) -> (Real, Value) {
    let mut real = Real::new();
    let options = ["--start-ms", "12000", "--grace-ms", "1000"];
    real.place.options.extend(options.map(String::from));
    let mut spec = real.spec("@text hello");
    spec["driver"] = driver.into();
    let command = format!("sleep {seconds}");
    let hook = json!({"type": "command", "command": command, "timeout": 100});
    spec["hooks"] = json!({"SessionStart": [{"hooks": [hook]}]});
    (real, spec)
}

#[test]
fn a_hook_that_does_not_end_is_named() {
    for driver in DRIVERS {
        let (real, spec) = sleeper(driver, 90);
        let keeper = real.place.start(&spec);
        let ends = |stop: &Value| stop["last"] == true || stop["reason"] == "turn_end";
        let stop = keeper.wait_frame("stop", ends);
        let reason = stop["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("no answer from Claude: its hook SessionStart"),
            "{driver}: {reason}"
        );
        // Before that, somebody who waits was told what for.
        let notes = data(&keeper.frames(), "meta");
        let mut noted = notes.iter().filter_map(|meta| meta["note"].as_str());
        let says = "Claude takes no message yet: its hook SessionStart";
        assert!(noted.any(|note| note.starts_with(says)), "{driver}");
    }
}
