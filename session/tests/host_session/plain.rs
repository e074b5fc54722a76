//! Both drivers with 2.1.112, the last CLI that is plain JavaScript and the one of armv7. It says
//! less than the newest: no text before its message is complete, no state file, fewer hooks.

use std::fs;

use cib_protocol::keeper::KeeperReply;
use cib_protocol::session::{Driver, State};
use cib_testkit::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::keeper::{Keeper, SOON, data, is_alive};
use crate::real::{Real, text, wait_turns};
use crate::tty::{ODD, each_arrives};

const DRIVERS: [&str; 2] = ["stream", "tty"];

fn start(real: &Real, driver: &str, prompt: &str) -> Keeper {
    let mut spec = real.spec(prompt);
    spec["driver"] = driver.into();
    real.place.start(&spec)
}

#[test]
fn a_turn_with_a_tool_is_told_by_the_old_cli_too() {
    for driver in DRIVERS {
        let real = Real::plain();
        let script = "@bash echo made > made.txt; echo done\n@text the file was made";
        let keeper = start(&real, driver, script);
        let frames = wait_turns(&keeper, 1);
        assert_eq!(
            fs::read_to_string(real.place.path("work/made.txt")).unwrap(),
            "made\n"
        );
        assert_eq!(text(&frames, "user"), script, "{driver}");
        assert_eq!(text(&frames, "assistant"), "the file was made", "{driver}");
        assert_eq!(data(&frames, "tool.use.start")[0]["tool"], "Bash");
        let result = &data(&frames, "tool.use.result")[0];
        assert_eq!(result["output"], "done", "{driver}");
        assert!(result["duration_ms"].is_u64(), "{driver}");
        assert!(data(&frames, "usage")[0]["input"].as_u64().unwrap() > 0);
        assert_eq!(data(&frames, "stop")[0]["reason"], "turn_end", "{driver}");
        let meta = keeper.meta();
        let version = meta.claude_version.unwrap();
        assert!(version.starts_with("2.1.112"), "{driver}: {version}");
        assert_eq!((meta.turns, meta.state), (1, State::Idle), "{driver}");
        keeper.ask(&json!({"op": "set_effort", "effort": "low"}));
        keeper.wait_frame("meta", |meta| meta["effort"] == "low");
    }
}

#[test]
fn questions_todos_and_an_interrupt_work_with_the_old_cli_too() {
    for driver in DRIVERS {
        let real = Real::plain();
        let script = "@todo [~] only\n@ask Which colour?|Red|Blue\n@text thanks";
        let keeper = start(&real, driver, script);
        let question = keeper.wait_frame("ask.question", |_| true);
        keeper.wait_state("waiting_for_input");
        let answer =
            json!({"op": "answer", "id": question["id"], "answers": {"Which colour?": "Blue"}});
        assert_eq!(keeper.ask(&answer), KeeperReply::Done, "{driver}");
        let frames = wait_turns(&keeper, 1);
        let results = data(&frames, "tool.use.result");
        let answered = results
            .iter()
            .any(|result| result["output"].to_string().contains("Blue"));
        assert!(answered, "{driver}: {results:?}");
        let todos = data(&frames, "todo.update");
        let items = todos.last().unwrap()["items"].as_array().unwrap();
        // A single one: of several at once this CLI numbers any first.
        assert_eq!(items.len(), 1, "{driver}");
        assert_eq!(items[0]["subject"], "only", "{driver}");
        assert_eq!(items[0]["status"], "in_progress", "{driver}");

        keeper.input("@slow 300\n@text one two three four five six seven eight nine ten");
        wait_until(SOON, "the second turn", || {
            keeper.meta().state == State::Working && real.told().contains("nine ten")
        });
        keeper.ask(&json!({"op": "interrupt"}));
        let frames = wait_turns(&keeper, 2);
        assert_eq!(
            data(&frames, "stop")[1]["reason"],
            "interrupted",
            "{driver}"
        );
    }
}

#[test]
fn a_session_of_the_old_cli_moves_between_the_drivers_and_outlives_its_keeper() {
    let real = Real::plain();
    let keeper = start(&real, "stream", "@text over pipes");
    wait_turns(&keeper, 1);
    keeper.ask(&json!({"op": "set_driver", "driver": "tty"}));
    wait_until(SOON, "the terminal", || {
        let meta = keeper.meta();
        meta.state == State::Idle && meta.driver == Driver::Tty
    });
    keeper.input("@text on a terminal");
    let frames = wait_turns(&keeper, 2);
    assert_eq!(text(&frames, "assistant"), "over pipeson a terminal");

    let claude = keeper.meta().claude_pid.unwrap();
    keeper.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "Claude's end", || !is_alive(claude));
    assert_eq!(real.place.finish(keeper.id), 0);
    assert_eq!(keeper.meta().state, State::Interrupted);
    let mut spec = real.spec("@text and again");
    spec["id"] = json!(keeper.id);
    spec["resume"] = json!({"claude_session": keeper.id});
    let resumed = real.place.start(&spec);
    wait_until(SOON, "the third turn", || resumed.meta().turns == 3);
    let frames = wait_turns(&resumed, 3);
    assert!(text(&frames, "assistant").ends_with("and again"));
    let (_, last) = real.api.requests().pop().unwrap();
    assert!(last.messages >= 5, "all turns went along: {last:?}");
}

#[test]
fn hooks_with_events_that_the_old_cli_does_not_know_open_no_dialog() {
    for driver in DRIVERS {
        let real = Real::plain();
        let mut spec = real.spec("@bash touch forbidden\n@text understood");
        spec["driver"] = driver.into();
        let hook = |command: &str| json!([{"hooks": [{"type": "command", "command": command}]}]);
        spec["hooks"] = json!({
            "PreToolUse": hook("exit 2"),
            "MessageDisplay": hook("true"),
        });
        let keeper = real.place.start(&spec);
        let frames = wait_turns(&keeper, 1);
        assert_eq!(text(&frames, "assistant"), "understood", "{driver}");
        assert!(!real.place.path("work/forbidden").exists(), "{driver}");
        let notes = data(&frames, "meta");
        let noted = notes.iter().filter_map(|meta| meta["note"].as_str());
        let says = "the session's hooks: this Claude knows no event `MessageDisplay`";
        assert!(noted.into_iter().any(|note| note == says), "{driver}");
    }
}

#[test]
fn a_model_that_is_typed_is_shown_at_once_by_the_old_cli_too() {
    let real = Real::plain();
    let keeper = start(&real, "tty", "@text one");
    // It takes its time to start.
    wait_until(SOON * 3, "the first turn", || {
        !data(&keeper.frames(), "stop").is_empty()
    });
    wait_turns(&keeper, 1);
    keeper.ask(&json!({"op": "input", "text": "/model haiku", "command": true}));
    keeper.wait_frame("meta", |meta| meta["model"] == "haiku");
    keeper.input("@text two");
    wait_turns(&keeper, 2);
    keeper.wait_frame("meta", |meta| {
        let model = meta["model"].as_str().unwrap_or_default();
        model.starts_with("claude-haiku-")
    });
}

#[test]
fn a_message_waits_for_a_hook_of_the_start_with_the_old_cli_too() {
    for driver in DRIVERS {
        let real = Real::plain();
        let mut spec = real.spec("@text hello");
        spec["driver"] = driver.into();
        // Longer than a message is given to show an effect, however often it is submitted.
        let hook = json!({"type": "command", "command": "sleep 14", "timeout": 100});
        spec["hooks"] = json!({"SessionStart": [{"hooks": [hook]}]});
        let keeper = real.place.start(&spec);
        let stops = || data(&keeper.frames(), "stop");
        wait_until(SOON * 3, "the turn", || !stops().is_empty());
        assert_eq!(stops()[0]["reason"], "turn_end", "{driver}");
        assert_eq!(text(&keeper.frames(), "user"), "@text hello", "{driver}");
    }
}

#[test]
fn what_is_typed_reaches_the_model_by_the_old_cli_as_it_was_sent() {
    let real = Real::plain();
    fs::create_dir(real.place.path("work/src")).unwrap();
    let mut spec = real.spec("");
    spec["driver"] = "tty".into();
    drop(spec.as_object_mut().unwrap().remove("prompt"));
    let keeper = real.place.start(&spec);
    each_arrives(&keeper, &ODD);
    assert!(!real.place.path("work/bang").exists(), "no shell ran");
}
