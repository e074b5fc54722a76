//! The real CLI takes the stand-in for the real API. `CIB_TEST_CLAUDE` names its binary.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use cib_testkit::api::StandIn;
use serde_json::{Value, json};

/// Claude in a scratch home, speaking stream-json both ways.
struct Claude {
    child: Child,
    output: BufReader<ChildStdout>,
    home: tempfile::TempDir,
}

impl Claude {
    fn start(api: &StandIn, todo_write: bool) -> Self {
        let binary = std::env::var_os("CIB_TEST_CLAUDE")
            .map(PathBuf::from)
            .expect("CIB_TEST_CLAUDE must name the claude binary");
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary)
            .args([
                "-p",
                "--input-format",
                "stream-json",
                "--output-format",
                "stream-json",
            ])
            .args([
                "--verbose",
                "--include-partial-messages",
                "--permission-prompt-tool",
                "stdio",
            ])
            .args([
                "--dangerously-skip-permissions",
                "--thinking-display",
                "summarized",
            ])
            .current_dir(home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home.path())
            .env("ANTHROPIC_BASE_URL", api.base_url())
            .env("ANTHROPIC_API_KEY", "sk-ant-test-0123456789abcdefghij")
            .env("IS_SANDBOX", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1")
            .env("CLAUDE_CODE_ENABLE_TODO_TOOLS", "1")
            .env(
                "CLAUDE_CODE_ENABLE_TASKS",
                if todo_write { "0" } else { "1" },
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            output,
            home,
        }
    }

    /// Sends a prompt, answers every question with its first option, and returns the lines up
    /// to the turn's result.
    fn turn(&mut self, prompt: &str) -> Vec<Value> {
        let message = json!({"role": "user", "content": prompt});
        self.send(&json!({"type": "user", "message": message}));
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "Claude ended: {lines:#?}"
            );
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["type"] == "control_request" {
                self.answer(&line);
            }
            let ended = line["type"] == "result";
            lines.push(line);
            if ended {
                return lines;
            }
        }
    }

    fn answer(&mut self, request: &Value) {
        let mut input = request["request"]["input"].clone();
        let question = &input["questions"][0];
        let text = question["question"].as_str().unwrap().to_owned();
        input["answers"] = json!({text: question["options"][0]["label"]});
        self.send(&json!({"type": "control_response", "response": {
            "subtype": "success",
            "request_id": request["request_id"],
            "response": {"behavior": "allow", "updatedInput": input},
        }}));
    }

    fn send(&mut self, line: &Value) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Claude {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The content blocks of every line of `kind`, in order.
fn blocks(lines: &[Value], kind: &str) -> Vec<Value> {
    let lines = lines.iter().filter(|line| line["type"] == kind);
    lines
        .filter_map(|line| line["message"]["content"].as_array())
        .flatten()
        .cloned()
        .collect()
}

fn kinds(lines: &[Value]) -> Vec<String> {
    let kind = |block: Value| {
        let name = block["name"].as_str().or(block["type"].as_str());
        name.unwrap_or_default().to_owned()
    };
    blocks(lines, "assistant").into_iter().map(kind).collect()
}

fn result(lines: &[Value]) -> &str {
    let last = lines.last().unwrap();
    assert_eq!(last["is_error"], false, "{last}");
    last["result"].as_str().unwrap()
}

#[test]
fn the_cli_thinks_speaks_runs_and_writes_as_the_script_says() {
    let api = StandIn::start().unwrap();
    let mut claude = Claude::start(&api, false);
    let lines = claude.turn(
        "Make two files.\n@think The user wants files.\n@text Making them.\n\
         @bash echo one > one && cat one\n@write two two\\n\n@text Made.",
    );
    assert_eq!(kinds(&lines), ["thinking", "text", "Bash", "Write", "text"]);
    assert_eq!(result(&lines), "Made.");
    assert_eq!(
        std::fs::read_to_string(claude.home.path().join("one")).unwrap(),
        "one\n"
    );
    assert_eq!(
        std::fs::read_to_string(claude.home.path().join("two")).unwrap(),
        "two\n"
    );
    let steps: Vec<_> = api
        .requests()
        .into_iter()
        .filter_map(|(_, seen)| seen.step)
        .collect();
    assert_eq!(steps, [0, 1, 2]);
    assert!(
        api.requests()
            .iter()
            .all(|(_, seen)| seen.auth.as_deref() == Some("x-api-key"))
    );
}

#[test]
fn parallel_calls_questions_and_a_second_turn_work() {
    let api = StandIn::start().unwrap();
    let mut claude = Claude::start(&api, false);
    let lines = claude.turn(
        "@parallel 2\n@bash echo a\n@bash echo b\n@ask Which colour?|Red|Blue\n@text Thanks.",
    );
    assert_eq!(kinds(&lines), ["Bash", "Bash", "AskUserQuestion", "text"]);
    let results = blocks(&lines, "user");
    assert!(
        results
            .iter()
            .any(|block| block.to_string().contains("=\\\"Red\\\"")),
        "{results:?}"
    );
    assert_eq!(
        result(&claude.turn("And a prompt without a script?")),
        "Done."
    );
}

#[test]
fn both_kinds_of_todo_tools_are_played() {
    for (todo_write, expected) in [
        (true, vec!["ToolSearch", "TodoWrite", "text"]),
        (
            false,
            vec![
                "ToolSearch",
                "TaskCreate",
                "TaskCreate",
                "TaskUpdate",
                "text",
            ],
        ),
    ] {
        let api = StandIn::start().unwrap();
        let mut claude = Claude::start(&api, todo_write);
        let lines = claude.turn("@todo [x] first|second\n@text Listed.");
        assert_eq!(kinds(&lines), expected);
        let failed = |block: &Value| block["is_error"] == true;
        assert!(
            !blocks(&lines, "user").iter().any(failed),
            "a todo tool refused its input"
        );
    }
}

#[test]
fn the_cli_outlives_errors_cuts_refusals_and_long_answers() {
    let api = StandIn::start().unwrap();
    let mut claude = Claude::start(&api, false);
    let lines = claude.turn("@error 529 x2\n@text After the errors.");
    let retries = lines.iter().filter(|line| line["subtype"] == "api_retry");
    let errors: Vec<_> = retries.map(|line| line["error_status"].as_u64()).collect();
    assert_eq!(errors, [Some(529), Some(529)]);
    let cut = claude.turn("@drop\n@text A text that is long enough to be cut in its middle.");
    assert_eq!(
        result(&cut),
        "A text that is long enough to be cut in its middle."
    );
    assert!(
        cut.iter().any(|line| line["subtype"] == "api_retry"),
        "nothing was cut"
    );
    assert_eq!(
        result(&claude.turn("@text Too\n@maxtok\n@text long.")),
        "long."
    );
    assert_eq!(
        result(&claude.turn("@text No.\n@refuse\n@then\n@text Yes.")),
        "Yes."
    );
}

#[test]
fn a_subagent_plays_the_script_in_its_own_prompt() {
    let api = StandIn::start().unwrap();
    let mut claude = Claude::start(&api, false);
    let lines = claude.turn("@agent @bash echo from below\\n@text Reported.\n@text All done.");
    assert_eq!(result(&lines), "All done.");
    let results = blocks(&lines, "user");
    assert!(
        results
            .iter()
            .any(|block| block.to_string().contains("Reported.")),
        "{results:?}"
    );
}
