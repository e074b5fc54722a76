//! The tty driver with the real CLI, named by `CIB_TEST_CLAUDE`, against the stand-in for the
//! Messages API.

use std::fs;
use std::process::Command;

use crate::keeper::{Keeper, SOON, data, is_alive};
use crate::real::{Real, text, wait_turns};
use cib_protocol::frame::Frame;
use cib_protocol::keeper::{KeeperFault, KeeperReply};
use cib_protocol::session::{Driver, State};
use cib_session::base64;
use cib_testkit::wait::wait_until;
use serde_json::{Value, json};
use uuid::Uuid;

fn start(real: &Real, prompt: Option<&str>) -> Keeper {
    let mut spec = real.spec("");
    spec["driver"] = "tty".into();
    spec["size"] = json!([100, 30]);
    match prompt {
        Some(prompt) => spec["prompt"] = prompt.into(),
        None => drop(spec.as_object_mut().unwrap().remove("prompt")),
    }
    real.place.start(&spec)
}

/// What the terminal has shown so far.
pub(crate) fn screen(keeper: &Keeper) -> String {
    let bytes: Vec<u8> = data(&keeper.frames(), "pty.raw")
        .iter()
        .flat_map(|raw| base64::decode(raw["data"].as_str().unwrap()).unwrap())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn keys(keeper: &Keeper, keys: &str) -> KeeperReply {
    keeper.ask(&json!({"op": "raw", "data": base64::encode(keys.as_bytes())}))
}

fn order(frames: &[Frame]) -> String {
    let mut kinds: Vec<_> = frames
        .iter()
        .map(|frame| frame.kind.as_str())
        .filter(|kind| !["meta", "hook", "raw", "pty.raw", "pty.size"].contains(kind))
        .collect();
    kinds.dedup();
    kinds.join(" ")
}

#[test]
fn the_terminal_starts_without_a_dialog_and_a_turn_is_told_in_order() {
    let real = Real::new();
    let script = "@bash echo made > made.txt; echo done\n@text the file was made\nand that is all";
    let keeper = start(&real, Some(script));
    let frames = wait_turns(&keeper, 1);
    assert_eq!(
        fs::read_to_string(real.place.path("work/made.txt")).unwrap(),
        "made\n"
    );
    assert_eq!(
        order(&frames),
        "status text.delta status tool.use.start tool.use.result text.delta usage stop status"
    );
    assert_eq!(text(&frames, "user"), script);
    assert_eq!(text(&frames, "assistant"), "the file was made");
    let result = &data(&frames, "tool.use.result")[0];
    assert_eq!(
        (&result["tool"], &result["output"]),
        (&json!("Bash"), &json!("done"))
    );
    assert!(result["duration_ms"].is_u64());
    assert!(data(&frames, "usage")[0]["input"].as_u64().unwrap() > 0);
    assert!(screen(&keeper).contains("made"), "the terminal shows it");
    let events: Vec<_> = data(&frames, "hook")
        .iter()
        .map(|hook| hook["event"].as_str().unwrap().to_owned())
        .collect();
    for event in [
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "Stop",
    ] {
        assert!(
            events.iter().any(|fired| fired == event),
            "{event} of {events:?}"
        );
    }
    let meta = keeper.meta();
    assert_eq!(meta.driver, Driver::Tty);
    assert_eq!(meta.claude_session, Some(keeper.id));
    assert!(meta.model.is_some() && meta.claude_version.is_some());
}

#[test]
fn a_terminal_in_a_repository_of_git_starts_without_a_dialog_too() {
    let real = Real::new();
    let made = Command::new("git")
        .args(["init", "--quiet"])
        .arg(real.place.path("work"))
        .status();
    assert!(made.unwrap().success());
    let keeper = start(&real, Some("@text in a repository"));
    let frames = wait_turns(&keeper, 1);
    assert_eq!(text(&frames, "assistant"), "in a repository");
}

#[test]
fn todos_and_subagents_and_thinking_are_told_on_the_terminal_too() {
    let real = Real::new();
    let script = "@think let me see\n@todo [x] first|[~] second\n\
        @agent @bash echo by the helper\\n@text done\n@text all done";
    let keeper = start(&real, Some(script));
    let frames = wait_turns(&keeper, 1);
    let todos = data(&frames, "todo.update");
    let items = todos.last().unwrap()["items"].as_array().unwrap();
    let statuses: Vec<_> = items.iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, ["completed", "in_progress"]);
    let thoughts = data(&frames, "thinking");
    assert!(thoughts.iter().any(|text| text["text"] == "let me see"));
    let calls = data(&frames, "tool.use.start");
    let agent = calls.iter().find(|call| call["tool"] == "Agent").unwrap();
    // On the terminal a helper may go on when the turn that called it is over.
    let of_helper = |frame: &Value| frame["agent"]["parent_tool_use_id"] == agent["tool_use_id"];
    assert_eq!(
        keeper.wait_frame("tool.use.start", of_helper)["tool"],
        "Bash"
    );
    let result = keeper.wait_frame("tool.use.result", of_helper);
    assert_eq!(result["output"], "by the helper");
}

#[test]
fn keys_and_sizes_reach_the_terminal() {
    let real = Real::new();
    let mut keeper = start(&real, None);
    keeper.wait_state("idle");
    assert_eq!(keys(&keeper, "@text typed by hand"), KeeperReply::Done);
    wait_until(SOON, "the draft", || {
        screen(&keeper).contains("typed by hand") || screen(&keeper).contains("hand")
    });
    let resize = json!({"op": "resize", "cols": 70, "rows": 20});
    assert_eq!(keeper.ask(&resize), KeeperReply::Done);
    keys(&keeper, "\r");
    let frames = wait_turns(&keeper, 1);
    assert_eq!(text(&frames, "user"), "@text typed by hand");
    assert_eq!(text(&frames, "assistant"), "typed by hand");
    let terminal =
        fs::read_link(format!("/proc/{}/fd/0", keeper.meta().claude_pid.unwrap())).unwrap();
    let size = std::process::Command::new("stty")
        .args(["size", "-F"])
        .arg(terminal)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&size.stdout).trim(), "20 70");
    let claude = keeper.meta().claude_pid.unwrap();
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
    assert!(!is_alive(claude));
    let meta = keeper.meta();
    assert_eq!(meta.state, State::Stopped);
    assert!(meta.usage.cost_usd > 0.0, "the cost is told at the end");
}

#[test]
fn a_question_on_the_terminal_is_answered_from_elsewhere() {
    let real = Real::new();
    let keeper = start(&real, Some("@ask Which colour?|Red|Blue\n@text thanks"));
    let question = keeper.wait_frame("ask.question", |_| true);
    keeper.wait_state("waiting_for_input");
    let answer =
        json!({"op": "answer", "id": question["id"], "answers": {"Which colour?": "Blue"}});
    assert_eq!(keeper.ask(&answer), KeeperReply::Done);
    let frames = wait_turns(&keeper, 1);
    let output = data(&frames, "tool.use.result")[0]["output"].to_string();
    assert!(output.contains("Blue"), "{output}");
    assert!(matches!(
        keeper.ask(&answer),
        KeeperReply::Refused {
            code: KeeperFault::NoSuchQuestion,
            ..
        }
    ));
}

#[test]
fn a_question_that_is_answered_on_the_terminal_is_closed() {
    let real = Real::new();
    let keeper = start(&real, Some("@ask Which colour?|Red|Blue\n@text thanks"));
    let question = keeper.wait_frame("ask.question", |_| true);
    keeper.wait_state("waiting_for_input");
    // The dialog is drawn a moment after its hook has fired; a key before that is lost.
    wait_until(SOON, "an answer", || {
        keys(&keeper, "\r");
        !data(&keeper.frames(), "tool.use.result").is_empty()
    });
    let frames = wait_turns(&keeper, 1);
    assert!(
        data(&frames, "tool.use.result")[0]["output"]
            .to_string()
            .contains("Red")
    );
    let answer =
        json!({"op": "answer", "id": question["id"], "answers": {"Which colour?": "Blue"}});
    assert!(matches!(
        keeper.ask(&answer),
        KeeperReply::Refused {
            code: KeeperFault::NoSuchQuestion,
            ..
        }
    ));
}

#[test]
fn an_interrupt_on_the_terminal_ends_the_turn() {
    let real = Real::new();
    let words = "one two three four five six seven eight nine ten eleven twelve thirteen";
    let keeper = start(&real, Some(&format!("@slow 400\n@text {words}")));
    keeper.wait_state("working");
    wait_until(SOON, "the request", || !real.api.requests().is_empty());
    keeper.ask(&json!({"op": "interrupt"}));
    let frames = wait_turns(&keeper, 1);
    assert_eq!(data(&frames, "stop")[0]["reason"], "interrupted");
    assert!(!text(&frames, "assistant").contains("thirteen"));
}

#[test]
fn hooks_of_the_user_run_beside_the_keepers_and_can_block() {
    let real = Real::new();
    let home = real.place.path("home/.claude");
    fs::create_dir_all(&home).unwrap();
    let fired = real.place.path("fired");
    let hooks = json!({
        "PreToolUse": [{"matcher": "Bash", "hooks": [{
            "type": "command",
            "command": format!("echo once >> {}; echo 'not here' >&2; exit 2", fired.display()),
        }]}],
        "FromTheFuture": [],
    });
    fs::write(home.join("hooks.json"), hooks.to_string()).unwrap();
    let keeper = start(&real, Some("@bash touch forbidden\n@text understood"));
    let frames = wait_turns(&keeper, 1);
    assert_eq!(fs::read_to_string(&fired).unwrap(), "once\n");
    assert!(!real.place.path("work/forbidden").exists());
    let result = &data(&frames, "tool.use.result")[0];
    assert_eq!(result["is_error"], true);
    assert!(result["output"].to_string().contains("not here"));
    let ours = data(&frames, "hook");
    assert!(ours.iter().any(|hook| hook["name"] == "PreToolUse:Bash"));
    keeper.wait_frame("meta", |meta| {
        meta["note"]
            .as_str()
            .is_some_and(|note| note.contains("knows no event `FromTheFuture`"))
    });
}

#[test]
fn a_session_moves_between_the_drivers_with_its_history() {
    let real = Real::new();
    let keeper = real.start("@text said over pipes");
    wait_turns(&keeper, 1);
    let to = |driver: &str| keeper.ask(&json!({"op": "set_driver", "driver": driver}));
    assert_eq!(to("tty"), KeeperReply::Done);
    keeper.wait_frame("meta", |meta| meta["driver"] == "tty");
    wait_until(SOON, "the prompt", || {
        keeper.meta().state == State::Idle && keeper.meta().driver == Driver::Tty
    });
    keeper.input("@text said on a terminal");
    let frames = wait_turns(&keeper, 2);
    assert_eq!(
        text(&frames, "assistant"),
        "said over pipessaid on a terminal"
    );
    assert!(
        screen(&keeper).contains("pipes"),
        "the terminal shows the history"
    );
    let image = json!({"media_type": "image/png", "data": "iVBORw0KGgo="});
    let refused = keeper.ask(&json!({"op": "input", "text": "look", "images": [image]}));
    let KeeperReply::Refused { code, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(code, KeeperFault::WrongDriver);

    assert_eq!(to("stream"), KeeperReply::Done);
    wait_until(SOON, "the pipes", || {
        let meta = keeper.meta();
        meta.state == State::Idle && meta.driver == Driver::Stream
    });
    keeper.input("@text and over pipes again");
    let frames = wait_turns(&keeper, 3);
    assert!(text(&frames, "assistant").ends_with("and over pipes again"));
    let (_, last) = real.api.requests().pop().unwrap();
    assert!(last.messages >= 5, "all turns went along: {last:?}");
    assert_eq!(keeper.meta().claude_session, Some(keeper.id));
    let users = text(&frames, "user");
    assert_eq!(
        users,
        "@text said over pipes@text said on a terminal@text and over pipes again"
    );
}

#[test]
fn a_session_in_which_nothing_was_said_changes_its_driver_too() {
    let real = Real::new();
    let mut spec = real.spec("");
    spec.as_object_mut().unwrap().remove("prompt");
    let keeper = real.place.start(&spec);
    keeper.wait_state("idle");
    keeper.ask(&json!({"op": "set_driver", "driver": "tty"}));
    wait_until(SOON, "the prompt", || {
        let meta = keeper.meta();
        meta.state == State::Idle && meta.driver == Driver::Tty
    });
    keeper.input("@text first words");
    let frames = wait_turns(&keeper, 1);
    assert_eq!(text(&frames, "assistant"), "first words");
}

#[test]
fn model_and_effort_are_changed_on_the_terminal_without_a_dialog() {
    let real = Real::new();
    let keeper = start(&real, Some("@text one"));
    wait_turns(&keeper, 1);
    keeper.ask(&json!({"op": "set_model", "model": "claude-sonnet-4-6"}));
    keeper.wait_frame("meta", |meta| meta["model"] == "claude-sonnet-4-6");
    keeper.input("@text two");
    wait_turns(&keeper, 2);
    let (_, last) = real.api.requests().pop().unwrap();
    assert_eq!(last.model.as_deref(), Some("claude-sonnet-4-6"));
    // Also by a name that is no id, before anything else is said.
    keeper.ask(&json!({"op": "input", "text": "/model haiku", "command": true}));
    keeper.wait_frame("meta", |meta| {
        let model = meta["model"].as_str().unwrap_or_default();
        model.starts_with("claude-haiku-")
    });
    keeper.ask(&json!({"op": "set_effort", "effort": "low"}));
    keeper.wait_frame("meta", |meta| meta["effort"] == "low");
    keeper.input("@text three");
    wait_turns(&keeper, 3);
    let (_, last) = real.api.requests().pop().unwrap();
    assert_eq!(last.effort.as_deref(), Some("low"));
    let refused = keeper.ask(&json!({"op": "set_permission_mode", "mode": "plan"}));
    let KeeperReply::Refused { code, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(code, KeeperFault::WrongDriver);
}

#[test]
fn a_long_message_arrives_as_the_users_own_words() {
    let real = Real::new();
    let keeper = start(&real, None);
    keeper.wait_state("idle");
    let words = "word ".repeat(400);
    let message = format!("@text short answer\n{}", words.trim());
    keeper.input(&message);
    let frames = wait_turns(&keeper, 1);
    assert_eq!(text(&frames, "assistant"), "short answer");
    assert_eq!(text(&frames, "user"), message);
    let prompts: Vec<Value> = data(&frames, "hook")
        .into_iter()
        .filter(|hook| hook["event"] == "UserPromptSubmit")
        .collect();
    assert_eq!(prompts[0]["payload"]["prompt"], message.as_str());
}

/// What the hook of the terminal's own was told of each message.
fn prompts(keeper: &Keeper) -> Vec<String> {
    let hooks = data(&keeper.frames(), "hook");
    let prompts = hooks
        .iter()
        .filter(|hook| hook["event"] == "UserPromptSubmit")
        .map(|hook| hook["payload"]["prompt"].as_str().unwrap().to_owned());
    prompts.collect()
}

/// Sends each message and waits for its own turn.
pub(crate) fn each_arrives(keeper: &Keeper, messages: &[&str]) {
    keeper.wait_state("idle");
    for (place, message) in messages.iter().enumerate() {
        let id = Uuid::new_v4();
        let input = json!({"op": "input", "text": message, "id": id});
        assert_eq!(keeper.ask(&input), KeeperReply::Done, "{message}");
        let stop = keeper.wait_frame("stop", |stop| stop["messages"][0] == id.to_string());
        assert_eq!(
            (&stop["reason"], &stop["by"]),
            (&json!("turn_end"), &json!("user"))
        );
        let prompts = prompts(keeper);
        assert_eq!(prompts.len(), place + 1, "{prompts:?}");
        assert_eq!(prompts[place], *message);
    }
    let frames = keeper.frames();
    assert_eq!(
        text(&frames, "user"),
        messages.concat(),
        "each is told once"
    );
}

pub(crate) const ODD: [&str; 13] = [
    "!touch bang",
    "?",
    "\\",
    "path C:\\dir\\",
    "look at @src",
    "x @src/",
    "/etc/hosts is wrong",
    "#memory",
    "&",
    "one\ntwo\n!three\n/four",
    "line\\\nnext",
    "@text \u{65e5}\u{672c} \u{1f600}",
    "@text not alone",
];

#[test]
fn what_is_typed_reaches_the_model_as_it_was_sent() {
    let real = Real::new();
    fs::create_dir(real.place.path("work/src")).unwrap();
    fs::write(real.place.path("work/src/main.rs"), "").unwrap();
    let keeper = start(&real, None);
    let long = format!("{} @src end", "word ".repeat(2000));
    let mut messages = ODD.to_vec();
    // The stand-in takes a line that begins so for a directive.
    messages.retain(|message| !message.starts_with("@src"));
    messages.push(&long);
    each_arrives(&keeper, &messages);
    assert!(!real.place.path("work/bang").exists(), "no shell ran");
}

#[test]
fn what_cannot_be_typed_is_refused_and_commands_are_asked_for() {
    let real = Real::new();
    let keeper = start(&real, Some("@text one"));
    wait_turns(&keeper, 1);
    for text in [
        "/exit is a good word",
        "a\tb",
        "a\u{1b}[201~b",
        "one\r\ntwo",
    ] {
        let refused = keeper.ask(&json!({"op": "input", "text": text}));
        let KeeperReply::Refused { code, detail } = refused else {
            panic!("{text}: {refused:?}");
        };
        assert_eq!(code, KeeperFault::BadRequest, "{detail}");
    }
    let command = json!({"op": "input", "text": "/model claude-sonnet-4-6", "command": true});
    assert_eq!(keeper.ask(&command), KeeperReply::Done);
    keeper.wait_frame("meta", |meta| meta["model"] == "claude-sonnet-4-6");
    let command = json!({"op": "input", "text": "!echo ran > ran.txt", "command": true});
    assert_eq!(keeper.ask(&command), KeeperReply::Done);
    wait_until(SOON, "the command", || {
        real.place.path("work/ran.txt").exists()
    });
}

#[test]
fn a_menu_at_the_start_is_a_question_and_its_answer_is_given() {
    let real = Real::new();
    fs::write(real.place.path("home/.claude.json"), "{\"hasCompl").unwrap();
    let keeper = start(&real, None);
    keeper.wait_state("waiting_for_input");
    let question = keeper.wait_frame("ask.question", |_| true);
    let prompt = question["prompt"].as_str().unwrap();
    assert!(prompt.contains(".claude.json"), "{prompt}");
    let reset = question["options"][1]["label"].as_str().unwrap();
    assert!(reset.starts_with("Reset"), "{question}");
    let answer = json!({"op": "answer", "id": question["id"], "answers": {"": reset}});
    assert_eq!(keeper.ask(&answer), KeeperReply::Done);
    // This version ends once it has written a configuration anew.
    let stop = keeper.wait_frame("stop", |stop| stop["last"] == true);
    assert_eq!(stop["reason"], "exit", "{stop}");
    let text = fs::read_to_string(real.place.path("home/.claude.json")).unwrap_or("{}".into());
    assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
}
