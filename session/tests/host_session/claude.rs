//! The keeper with the real CLI, named by `CIB_TEST_CLAUDE`, against the stand-in for the
//! Messages API.

use std::fs;

use crate::keeper::{SOON, data, is_alive};
use crate::real::{Real, text, wait_turns};
use cib_protocol::keeper::KeeperReply;
use cib_protocol::session::State;
use cib_testkit::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

#[test]
fn a_turn_with_a_tool_is_told_in_order() {
    let real = Real::new();
    let words = "the file was made by a command, and this is said in more than one piece";
    let script = format!("@bash echo made > made.txt; echo done\n@text {words}");
    let keeper = real.start(&script);
    let frames = wait_turns(&keeper, 1);
    assert_eq!(
        fs::read_to_string(real.place.path("work/made.txt")).unwrap(),
        "made\n"
    );
    let kinds: Vec<_> = frames
        .iter()
        .map(|frame| frame.kind.as_str())
        .filter(|kind| !["meta", "hook", "raw"].contains(kind))
        .collect();
    let mut order = kinds.clone();
    order.dedup();
    assert_eq!(
        order.join(" "),
        "status text.delta status tool.use.start tool.use.result text.delta usage stop status"
    );
    assert!(
        kinds.iter().filter(|kind| **kind == "text.delta").count() > 2,
        "text comes in pieces"
    );
    assert_eq!(text(&frames, "assistant"), words);
    let result = &data(&frames, "tool.use.result")[0];
    assert_eq!(result["tool"], "Bash");
    assert_eq!(result["output"], "done");
    assert!(result["duration_ms"].is_u64());
    let meta = keeper.meta();
    assert_eq!(meta.state, State::Idle);
    assert_eq!(meta.claude_session, Some(keeper.id));
    assert!(meta.model.is_some() && meta.claude_version.is_some());
    assert!(meta.usage.input > 0);
}

#[test]
fn a_question_is_asked_and_its_answer_reaches_the_model() {
    let real = Real::new();
    let mut keeper = real.start("@ask Which colour?|Red|Blue\n@text thanks");
    let question = keeper.wait_frame("ask.question", |_| true);
    assert_eq!(question["prompt"], "Which colour?");
    assert_eq!(question["options"][1]["label"], "Blue");
    keeper.wait_state("waiting_for_input");
    let wrong = keeper.ask(&json!({"op": "answer", "id": "nonsense", "answers": {}}));
    assert!(matches!(wrong, KeeperReply::Refused { .. }));
    let answer =
        json!({"op": "answer", "id": question["id"], "answers": {"Which colour?": "Blue"}});
    assert_eq!(keeper.ask(&answer), KeeperReply::Done);
    let frames = wait_turns(&keeper, 1);
    let output = data(&frames, "tool.use.result")[0]["output"].to_string();
    assert!(output.contains("Blue"), "{output}");
    keeper.ask(&json!({"op": "stop"}));
    assert_eq!(keeper.wait_exit(), 0);
}

#[test]
fn a_message_with_the_same_name_is_taken_once() {
    let real = Real::new();
    let keeper = real.start("@text first");
    wait_turns(&keeper, 1);
    let id = "00000000-0000-4000-8000-00000000000a";
    let said = json!({"op": "input", "text": "@text second", "id": id});
    assert_eq!(keeper.ask(&said), KeeperReply::Done);
    assert_eq!(keeper.ask(&said), KeeperReply::Done);
    wait_turns(&keeper, 2);
    keeper.input("@text third");
    let frames = wait_turns(&keeper, 3);
    assert_eq!(text(&frames, "assistant"), "firstsecondthird");
}

#[test]
fn what_a_command_causes_names_who_sent_it() {
    let real = Real::new();
    let mut keeper = real.start("@ask Which colour?|Red|Blue\n@text thanks");
    let sent_by = |by: &str, request| json!({"op": "as", "by": by, "request": request});
    let question = keeper.wait_frame("ask.question", |_| true);
    assert_eq!(keeper.meta().open_questions[0].prompt, "Which colour?");
    let answer =
        json!({"op": "answer", "id": question["id"], "answers": {"Which colour?": "Blue"}});
    assert_eq!(keeper.ask(&sent_by("ann", answer)), KeeperReply::Done);
    let answered = keeper.wait_frame("ask.answer", |_| true);
    assert_eq!(
        answered,
        json!({"id": question["id"], "answers": {"Which colour?": "Blue"}, "by": "ann"})
    );
    assert!(keeper.meta().open_questions.is_empty());
    wait_turns(&keeper, 1);
    let title = json!({"op": "set_title", "title": "Colours"});
    keeper.ask(&sent_by("bob\n", title));
    keeper.wait_frame("meta", |meta| {
        meta["title"] == "Colours" && meta["by"] == "bob"
    });
    let input = json!({"op": "input", "text": "@text again"});
    keeper.ask(&sent_by("cleo", input));
    let frames = wait_turns(&keeper, 2);
    let said = data(&frames, "text.delta");
    let by = said.iter().rfind(|said| said["role"] == "user").unwrap();
    assert_eq!(by["by"], "cleo");
    let twice = sent_by("a", sent_by("b", json!({"op": "interrupt"})));
    assert!(matches!(keeper.ask(&twice), KeeperReply::Refused { .. }));
    keeper.ask(&sent_by("dan", json!({"op": "stop"})));
    assert_eq!(keeper.wait_exit(), 0);
    let last = data(&keeper.frames(), "stop").pop().unwrap();
    assert_eq!(last["asked_by"], "dan");
}

#[test]
fn todos_and_subagents_and_thinking_are_told() {
    let real = Real::new();
    let keeper = real.start("@think let me see\n@todo [x] first|[~] second|third\n@agent @text said by the helper\n@text all done");
    let frames = wait_turns(&keeper, 1);
    let todos = data(&frames, "todo.update");
    let items = todos.last().unwrap()["items"].as_array().unwrap();
    let shown: Vec<_> = items
        .iter()
        .map(|item| {
            format!(
                "{} {}",
                item["status"].as_str().unwrap(),
                item["subject"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        shown,
        ["completed first", "in_progress second", "pending third"]
    );
    let thought: String = data(&frames, "thinking")
        .iter()
        .map(|text| text["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(thought, "let me see");
    let helper = data(&frames, "text.delta")
        .into_iter()
        .find(|text| text["text"] == "said by the helper" && text["role"] == "assistant")
        .expect("the subagent's words");
    assert!(helper["agent"]["parent_tool_use_id"].is_string());
    assert!(
        !data(&frames, "tool.use.start")
            .iter()
            .any(|call| call["tool"] == "ToolSearch")
    );
}

#[test]
fn what_has_no_kind_of_its_own_is_kept_as_it_came() {
    let real = Real::new();
    let keeper = real.start("@agent @text said by the helper\n@text all done");
    let frames = wait_turns(&keeper, 1);
    let raw = data(&frames, "raw");
    let started = raw.iter().find(|raw| raw["subtype"] == "task_started");
    assert_eq!(started.expect("the start of a task")["type"], "system");
}

#[test]
fn large_output_of_a_tool_is_cut_at_the_cap_and_its_size_is_stated() {
    for driver in ["stream", "tty"] {
        let mut real = Real::new();
        real.place.options = vec!["--output-cap".into(), "1000".into()];
        let mut spec = real.spec("@bash seq 1 2000\n@text done");
        spec["driver"] = driver.into();
        let keeper = real.place.start(&spec);
        let frames = wait_turns(&keeper, 1);
        let result = &data(&frames, "tool.use.result")[0];
        let output = result["output"].as_str().unwrap();
        assert!(output.starts_with("1\n2\n3\n"), "{driver}");
        assert_eq!(output.len(), 1000, "{driver}");
        // What seq prints, without the last line's end.
        assert_eq!(result["original_bytes"], 8892, "{driver}");
    }
}

#[test]
fn an_interrupt_ends_the_turn_and_not_the_session() {
    let real = Real::new();
    let keeper = real
        .start("@slow 200\n@text one two three four five six seven eight nine ten eleven twelve");
    keeper.wait_frame("text.delta", |text| text["role"] == "assistant");
    keeper.ask(&json!({"op": "interrupt"}));
    let frames = wait_turns(&keeper, 1);
    assert_eq!(data(&frames, "stop")[0]["reason"], "interrupted");
    assert!(!text(&frames, "assistant").contains("twelve"));
    keeper.input("@text still here");
    let frames = wait_turns(&keeper, 2);
    assert!(text(&frames, "assistant").ends_with("still here"));
}

#[test]
fn model_effort_and_permission_mode_change_while_the_session_runs() {
    let real = Real::new();
    let keeper = real.start("@text one");
    wait_turns(&keeper, 1);
    keeper.ask(&json!({"op": "set_model", "model": "claude-sonnet-4-6"}));
    keeper.wait_frame("meta", |meta| meta["model"] == "claude-sonnet-4-6");
    keeper.ask(&json!({"op": "set_permission_mode", "mode": "plan"}));
    keeper.wait_frame("meta", |meta| meta["permissionMode"] == "plan");
    keeper.ask(&json!({"op": "set_effort", "effort": "low"}));
    keeper.wait_frame("meta", |meta| meta["effort"] == "low");
    keeper.input("@text two");
    wait_turns(&keeper, 2);
    let (_, last) = real.api.requests().pop().unwrap();
    assert_eq!(last.model.as_deref(), Some("claude-sonnet-4-6"));
    assert_eq!(last.effort.as_deref(), Some("low"));
    let meta = keeper.meta();
    assert_eq!(meta.model.as_deref(), Some("claude-sonnet-4-6"));
    assert_eq!(meta.effort.as_deref(), Some("low"));
}

#[test]
fn in_the_default_mode_a_tool_asks_and_a_refusal_is_obeyed() {
    let real = Real::new();
    let mut spec = real.spec("@bash touch forbidden\n@text understood");
    spec["permission_mode"] = "default".into();
    let keeper = real.place.start(&spec);
    let question = keeper.wait_frame("ask.question", |_| true);
    assert_eq!(question["tool"], "Bash");
    let id = &question["id"];
    keeper.ask(&json!({"op": "answer", "id": id, "answers": {"Allow Bash?": "not that file"}}));
    let frames = wait_turns(&keeper, 1);
    let result = &data(&frames, "tool.use.result")[0];
    assert_eq!(result["is_error"], true);
    assert!(result["output"].to_string().contains("not that file"));
    assert!(!real.place.path("work/forbidden").exists());
}

#[test]
fn what_a_sessions_rules_allow_is_not_asked_and_what_they_deny_is_refused_in_every_mode() {
    let real = Real::new();
    let mut spec = real.spec("@bash touch allowed\n@bash touch asked\n@text done");
    spec["permission_mode"] = "default".into();
    spec["tools"] = json!({"allow": ["Bash(touch allowed)"]});
    let keeper = real.place.start(&spec);
    let question = keeper.wait_frame("ask.question", |_| true);
    assert_eq!(question["tool"], "Bash");
    assert!(real.place.path("work/allowed").exists());
    assert!(!real.place.path("work/asked").exists());
    for mode in ["default", "acceptEdits", "plan", "bypassPermissions"] {
        let file = format!("refused-{mode}");
        let mut spec = real.spec(&format!("@bash touch {file}\n@text done"));
        spec["permission_mode"] = mode.into();
        spec["tools"] = json!({"deny": ["Bash(touch:*)"]});
        let keeper = real.place.start(&spec);
        let frames = wait_turns(&keeper, 1);
        let result = &data(&frames, "tool.use.result")[0];
        let said = result["output"].to_string();
        assert_eq!(result["is_error"], true, "{mode}: {said}");
        assert!(said.contains("denied"), "{mode}: {said}");
        assert_eq!(data(&frames, "ask.question"), [Value::Null; 0], "{mode}");
        let path = real.place.path("work").join(file);
        assert!(!path.exists(), "{mode}");
    }
}

#[test]
fn a_killed_session_is_resumed_with_its_conversation() {
    let real = Real::new();
    let keeper = real.start("@text remember me");
    wait_turns(&keeper, 1);
    let claude = keeper.meta().claude_pid.unwrap();
    keeper.process.signal(Signal::SIGKILL).unwrap();
    wait_until(SOON, "Claude's end", || !is_alive(claude));
    assert_eq!(real.place.finish(keeper.id), 0);
    assert_eq!(keeper.meta().state, State::Interrupted);

    let mut spec = real.spec("@text I do");
    spec["id"] = json!(keeper.id);
    spec["resume"] = json!({"claude_session": keeper.id});
    let resumed = real.place.start(&spec);
    wait_until(SOON, "the second turn", || resumed.meta().turns == 2);
    let frames = wait_turns(&resumed, 2);
    assert_eq!(text(&frames, "assistant"), "remember meI do");
    let (_, last) = real.api.requests().pop().unwrap();
    assert!(last.messages >= 3, "the first turn went along: {last:?}");
}

#[test]
fn sigterm_in_the_middle_of_a_tool_ends_claude_and_its_tool() {
    let real = Real::new();
    let mut keeper = real.start("@bash echo $$ > pid; sleep 600\n@text never");
    let pid = real.place.path("work/pid");
    wait_until(SOON, "the tool", || {
        fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
    });
    let tool: u32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    keeper.process.signal(Signal::SIGTERM).unwrap();
    assert_eq!(keeper.wait_exit(), 0);
    assert!(!is_alive(tool));
    let meta = keeper.meta();
    assert_eq!(meta.state, State::Interrupted);
    assert_eq!(meta.ended_in, Some(State::Working));
}

#[test]
fn a_budget_ends_a_turn_in_its_middle() {
    let real = Real::new();
    let mut spec = real.spec("@bash echo 1\n@bash echo 2\n@bash echo 3\n@bash echo 4\n@text never");
    spec["limits"] = json!({"max_cost_usd": 0.08});
    let mut keeper = real.place.start(&spec);
    assert_eq!(keeper.wait_exit(), 0);
    let frames = keeper.frames();
    assert!(data(&frames, "tool.use.result").len() < 4);
    assert_eq!(
        data(&frames, "stop").last().unwrap()["reason"],
        "limit max_cost_usd"
    );
}

#[test]
fn a_turn_that_claude_begins_itself_is_not_the_users() {
    let real = Real::new();
    let call = r#"@tool Bash {"command":"sleep 1","description":"x","run_in_background":true}"#;
    let keeper = real.start(&format!("{call}\n@text started"));
    let own = keeper.wait_frame("stop", |stop| stop["by"] == "claude");
    assert!(own.get("messages").is_none(), "{own}");
    let stops = data(&keeper.frames(), "stop");
    assert_eq!(stops[0]["by"], "user");
    let first = data(&keeper.frames(), "text.delta")[0]["message_id"].clone();
    assert_eq!(stops[0]["messages"], json!([first]));
    assert_eq!(keeper.meta().turns, 1);
}

#[test]
fn an_mcp_server_that_never_answers_is_named() {
    for driver in ["stream", "tty"] {
        let real = Real::new();
        let servers = json!({"mcpServers": {"silent": {"command": "sleep", "args": ["1000"]}}});
        fs::write(real.place.path("home/.claude.json"), servers.to_string()).unwrap();
        let mut spec = real.spec("@text hello");
        spec["driver"] = driver.into();
        let keeper = real.place.start(&spec);
        keeper.wait_frame("meta", |meta| {
            meta["note"]
                .as_str()
                .is_some_and(|note| note.contains("`silent` is not connected"))
        });
    }
}

/// A red point.
const POINT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

#[test]
fn an_image_reaches_the_model_and_stands_in_the_journal() {
    let real = Real::new();
    let keeper = real.start("@text ready");
    wait_turns(&keeper, 1);
    let image = json!({"media_type": "image/png", "data": POINT});
    let said = json!({"op": "input", "text": "@text I see it", "images": [image]});
    assert_eq!(keeper.ask(&said), KeeperReply::Done);
    let frames = wait_turns(&keeper, 2);
    assert_eq!(text(&frames, "assistant"), "readyI see it");
    let told = real.told();
    assert!(told.contains(r#""type":"image""#), "{told}");
    let users = data(&frames, "text.delta");
    let with = users.iter().find(|text| text.get("images").is_some());
    assert_eq!(with.unwrap()["images"], json!([image]));
}

#[test]
fn what_claude_has_to_choose_from_is_told_once_it_has_said_so() {
    let real = Real::new();
    let keeper = real.start("@text ready");
    wait_turns(&keeper, 1);
    let KeeperReply::Offers(offers) = keeper.ask(&json!({"op": "offers"})) else {
        panic!("it does not know the question");
    };
    assert!(offers.commands.iter().any(|one| one.name == "compact"));
    let opus = offers.models.iter().find(|one| one.value.contains("opus"));
    assert!(!opus.unwrap().efforts.is_empty(), "{offers:?}");
}
