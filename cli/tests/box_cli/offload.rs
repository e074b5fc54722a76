//! A plan that is approved in Claude on this machine, carried out in a box.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use cib_testkit::terminal::Terminal;
use cib_testkit::wait::wait_until;
use serde_json::{Value, json};

use crate::stage::Stage;

const ID: &str = "11111111-2222-4333-8444-555555555555";
const LONG: Duration = Duration::from_secs(120);

/// A transcript as Claude writes it: what the person asked for, and the call that shows the plan.
fn transcript(stage: &Stage, script: &str) -> PathBuf {
    let folder = stage.home().join(".claude/projects/-elsewhere");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{ID}.jsonl"));
    let asked = line(None, 1, "user", &json!({"role": "user", "content": script}));
    let call =
        json!([{"type": "tool_use", "id": "toolu_plan", "name": "ExitPlanMode", "input": {}}]);
    let call = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-5",
        "content": call, "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    });
    std::fs::write(
        &path,
        format!("{asked}\n{}\n", line(Some(1), 2, "assistant", &call)),
    )
    .unwrap();
    path
}

fn line(parent: Option<u8>, id: u8, kind: &str, message: &Value) -> Value {
    let uuid = |id| format!("00000000-0000-4000-8000-00000000000{id}");
    json!({
        "parentUuid": parent.map(uuid), "isSidechain": false, "userType": "external",
        "cwd": "/elsewhere", "sessionId": ID, "version": "2.1.330", "gitBranch": "main",
        "type": kind, "message": message, "uuid": uuid(id),
        "timestamp": format!("2026-11-30T01:00:0{id}.000Z"),
    })
}

/// What the installed hook answers, called as Claude calls it.
fn hook(stage: &Stage, event: &str, tool: &str, transcript: &std::path::Path) -> Option<Value> {
    let settings: Value = serde_json::from_str(&stage.read(".claude/settings.local.json")).unwrap();
    let command = settings["hooks"][event][0]["hooks"][0]["command"]
        .as_str()
        .unwrap();
    let payload = json!({
        "session_id": ID, "transcript_path": transcript, "cwd": stage.path(""),
        "hook_event_name": event, "tool_name": tool, "tool_input": {},
        "tool_use_id": "toolu_plan", "tool_response": {"plan": "The plan."},
    });
    let mut shell = stage.command("sh");
    shell
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(payload.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    (!said.is_empty()).then(|| serde_json::from_str(&said).unwrap())
}

fn done(stage: &Stage) -> Value {
    let file = stage.path(".claude/offload_done");
    wait_until(LONG, "the plan's end", || file.exists());
    serde_json::from_str(&stage.read(".claude/offload_done")).unwrap()
}

#[test]
fn an_approved_plan_is_carried_out_in_a_box_and_its_commits_come_back() {
    let stage = Stage::new();
    stage.make_dirty();
    let before = stage.status();
    stage.good(&["offload", "install"]);
    assert_eq!(stage.status(), before, "the hooks are seen by git");
    // The box gets the conversation, and not only the plan: what it does stands in the first
    // message alone. It waits until the guard was asked here.
    let script = "@tool ExitPlanMode {}\n@bash cd /workspace && mkfifo .git/go && cat .git/go && printf 'made\\n' > made.txt && git add made.txt && git commit -qm 'By the plan' made.txt && echo rest > rest.txt\n@text Done.";
    let path = transcript(&stage, script);
    let answer = hook(&stage, "PostToolUse", "ExitPlanMode", &path).unwrap();
    assert_eq!(answer["continue"], false, "{answer}");
    // Claude writes the approval down when the hook has answered.
    let result = json!({"role": "user", "content": [{
        "type": "tool_result", "tool_use_id": "toolu_plan", "content": "User has approved your plan.",
    }]});
    let mut stopped = line(Some(3), 4, "attachment", &Value::Null);
    stopped["attachment"] = json!({
        "type": "hook_stopped_continuation", "message": answer["stopReason"],
        "hookName": "PostToolUse:ExitPlanMode", "toolUseID": "toolu_plan", "hookEvent": "PostToolUse",
    });
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    let lines = format!("{}\n{stopped}\n", line(Some(2), 3, "user", &result));
    file.write_all(lines.as_bytes()).unwrap();
    drop(file);

    let refused = hook(&stage, "PreToolUse", "Write", &path).unwrap();
    assert_eq!(refused["hookSpecificOutput"]["permissionDecision"], "deny");
    let status = || stage.json(&["offload", "status", "--json"])["sessions"][0].clone();
    wait_until(LONG, "the session in the box", || {
        status()["place"] == "boxed"
    });
    let name = status()["box"].as_str().unwrap().to_owned();
    assert!(answer["stopReason"].as_str().unwrap().contains(&name));
    stage.inside(
        &name,
        "test -f .claude/settings.local.json && exit 1; until test -p .git/go; do sleep 0.1; done; echo go > .git/go",
    );

    let done = done(&stage);
    assert_eq!(done["branch"], "feature/auto");
    let head = stage.git(&["rev-parse", "feature/auto"]);
    assert_eq!(done["head"], head.trim());
    assert_eq!(
        stage
            .git(&["log", "-1", "--format=%s", "feature/auto"])
            .trim(),
        "By the plan"
    );
    let wip = done["wip"].as_str().unwrap();
    assert_eq!(stage.git(&["show", &format!("{wip}:rest.txt")]), "rest\n");
    assert_eq!(
        stage.status(),
        before,
        "something came into the working tree"
    );
    wait_until(LONG, "the record", || status()["place"] == "done");
    assert_eq!(hook(&stage, "PreToolUse", "Write", &path), None);

    // The next one has a branch of its own.
    std::fs::remove_file(stage.path(".claude/offload_done")).unwrap();
    stage.good(&["rm", "--force", &name]);
    let path = transcript(&stage, "@tool ExitPlanMode {}\n@text Nothing to do.");
    hook(&stage, "PostToolUse", "ExitPlanMode", &path).unwrap();
    assert_eq!(self::done(&stage)["branch"], "feature/auto-2");
    stage.good(&["offload", "uninstall"]);
    assert_eq!(stage.status(), before);
    assert!(!stage.path(".claude").exists());
}

/// Claude Code for this machine, out of a box.
fn claude(stage: &Stage, name: &str) -> PathBuf {
    // In its folder it is a program for any machine; what is on the PATH is the box's own.
    let path = stage.inside(
        name,
        "echo /usr/local/lib/claude-code/$(cib-init claude-version)/claude",
    );
    let program = stage.home().join("claude");
    stage.docker(&[
        "cp",
        &format!("{name}:{}", path.trim()),
        program.to_str().unwrap(),
    ]);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn a_person_approves_a_plan_in_claude_here_and_a_box_carries_it_out() {
    let stage = Stage::new();
    let first = stage.start(&["--shell"]);
    let claude = claude(&stage, &first);
    stage.good(&["offload", "install"]);
    // What a person has answered long ago.
    let settled = json!({
        "hasCompletedOnboarding": true, "theme": "dark",
        "customApiKeyResponses": {"approved": [&crate::stage::API_KEY[crate::stage::API_KEY.len() - 20..]]},
        "projects": {(stage.path("").canonicalize().unwrap().to_str().unwrap().trim_end_matches('/')):
            {"hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true}},
    });
    std::fs::write(stage.home().join(".claude.json"), settled.to_string()).unwrap();
    let quiet = "DISABLE_AUTOUPDATER=1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1";
    let prompt = "@tool ExitPlanMode {\"plan\": \"Make a file.\"}\n@bash cd /workspace && echo made > made.txt && git add made.txt && git commit -qm 'By the plan'\n@text Done.";
    let approve = |variables: &str, words: &str| {
        let line = format!(
            "{quiet} {variables} '{}' --permission-mode plan \"$PROMPT\"",
            claude.display()
        );
        let mut script = stage.command("script");
        script.env("PROMPT", prompt);
        let mut terminal = Terminal::running(script, &line);
        terminal.accepts("Exit plan mode?");
        terminal.shows_plain(words);
        terminal
    };
    // Without an engine Claude goes on here: it asks about the first tool.
    let here = approve(
        "CIB_ENGINE=/nonexistent/docker.sock",
        "goes on here: no container engine",
    );
    here.shows_plain("Do you want to proceed?");
    here.end();
    let terminal = approve("", "The plan is carried out in the box");
    let done = done(&stage);
    assert_eq!(done["branch"], "feature/auto");
    assert_eq!(stage.git(&["show", "feature/auto:made.txt"]), "made\n");
    assert!(!stage.path("made.txt").exists());
    terminal.end();
}
