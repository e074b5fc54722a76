//! A task as the container's main job. Control is a script that answers as control does, and keeps
//! the one task in a file that the test writes as well.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::boxed::{Recipe, Running};
use crate::support::eventually;

/// Serves the routes of tasks on the socket that init lends: the task is what `task.json` says.
const SERVES: &str = r#"#!/usr/bin/perl
use strict;
use IO::Handle;
my ($folder, $parent) = ('/workspace', getppid);
$SIG{CHLD} = 'IGNORE';
my $ready; open($ready, '>&=', 3) and close $ready;
open(my $listen, '+<&=', 4) or exit;
$listen->blocking(1);
sub content { open(my $f, '<', "$folder/$_[0]") or return ''; local $/; my $t = <$f>; $t // '' }
sub keep { open(my $f, $_[2], "$folder/$_[0]") or return; print $f $_[1] }
sub state { content('task.json') =~ /"state":"(\w+)"/ ? $1 : '' }
sub set { my $t = content('task.json'); $t =~ s/"state":"\w+"/"state":"$_[0]"/; keep('task.json', $t, '>') }
while (accept(my $peer, $listen)) {
    next if fork;
    my ($head, $body) = ('', '');
    while (my $line = <$peer>) { last if $line eq "\r\n"; $head .= $line }
    if ($head =~ /content-length: (\d+)/i) { read($peer, $body, $1) }
    my ($method, $path) = split ' ', $head;
    exit unless $path;
    keep('asked', "$method $path $body\n", '>>') if $method ne 'GET';
    keep('auth', $1, '>') if $head =~ /authorization: bearer (\S+)/i;
    my ($status, $answer) = ('200 OK', '{}');
    if ($path =~ /logs$/) {
        print $peer "HTTP/1.0 200 OK\r\n\r\n[now] working\nWorking on it.\n";
        $peer->flush;
        until (state() =~ /completed|failed|cancelled/) { select(undef, undef, undef, 0.02); exit if getppid == 1 }
        print $peer "[now] the end\n";
        exit;
    }
    if ($path eq '/api/tasks/queue') { $answer = '{"max_running":2,"paused":' . (-s "$folder/paused" ? 'true' : 'false') . '}' }
    elsif ($path eq '/api/tasks' && $method eq 'GET') { $answer = '{"tasks":[' . content('task.json') . ']}' }
    elsif ($path eq '/api/tasks' && -s "$folder/refusal") { ($status, $answer) = ('400 Bad', content('refusal')) }
    elsif ($path eq '/api/tasks') {
        my ($key) = $body =~ /"dedupe_key":"([^"]*)"/;
        $answer = qq({"id":"00c0ffee","state":"working","prompt":"x","dedupe_key":"$key"});
        keep('task.json', $answer, '>');
    }
    elsif ($path =~ /cancel$/) { set('cancelled'); $answer = content('task.json') }
    elsif ($path =~ /retry$/ && state() =~ /working/) { ($status, $answer) = ('409 Conflict', '{"error":"not_now","detail":"-"}') }
    elsif ($path =~ /retry$/) { set('working'); exit if -s "$folder/lost"; $answer = content('task.json') }
    elsif ($path =~ m{^/api/sessions/}) { $answer = '{"state":"waiting_for_input"}' }
    elsif ($path eq '/api/tasks/00c0ffee') { $answer = content('task.json') }
    else { ($status, $answer) = ('404 Not Found', '{"error":"not_found","detail":"-"}') }
    print $peer "HTTP/1.0 $status\r\nContent-Length: " . length($answer) . "\r\n\r\n$answer";
    exit;
}
"#;

/// Control with that server beside it.
const CONTROL: &str = "#!/bin/bash\n/opt/box/answers &\n/opt/box/serves &\n\
    trap 'exit 0' TERM\necho >&3\nexec 3>&- 4>&-\nwhile :; do sleep 0.05; done\n";

/// A box that is asked for a task, and what it leaves.
struct Stage {
    recipe: Recipe,
    stdout: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let mut recipe = Recipe::new();
        // It needs none.
        recipe.set("CIB_AUTH_TOKEN", "");
        recipe.program("cib-control", CONTROL);
        recipe.program("serves", SERVES);
        for name in ["task.json", "asked", "paused", "refusal", "auth", "lost"] {
            recipe.file(&format!("workspace/{name}"), "", 970, 0o666);
        }
        let stdout = recipe.folder("stdout");
        Self { recipe, stdout }
    }

    /// Starts the box with these words behind `task`.
    fn start(&mut self, words: &[&str]) -> Running {
        let out = File::create(&self.stdout).unwrap();
        self.recipe.stdout(Stdio::from(out));
        self.recipe
            .start_with(&[&["/opt/box/cib-init", "task"], words].concat())
    }

    /// Puts a text in a file's place, whole: somebody may be reading it.
    fn write(&self, name: &str, text: &str) {
        let folder = self.recipe.folder("workspace");
        let (path, new) = (folder.join(name), folder.join("new"));
        std::fs::write(&new, text).unwrap();
        std::os::unix::fs::chown(&new, Some(970), Some(970)).unwrap();
        std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.recipe.folder("workspace").join(name)).unwrap()
    }

    /// Waits until the task is in this state, as control has it.
    #[track_caller]
    fn reaches(&self, state: &str) -> Value {
        eventually(state, || {
            let task: Value = serde_json::from_str(&self.read("task.json")).ok()?;
            (task["state"] == state).then_some(task)
        })
    }

    /// Ends the task so.
    fn ends(&self, more: &Value) {
        let mut task = self.reaches("working");
        for (name, value) in more.as_object().unwrap() {
            task[name] = value.clone();
        }
        self.write("task.json", &task.to_string());
    }

    /// What was asked of control besides looking, one line each.
    fn asked(&self) -> Vec<String> {
        self.read("asked").lines().map(str::to_owned).collect()
    }

    /// Standard output, which has to be one line.
    #[track_caller]
    fn result(&self) -> Value {
        let text = std::fs::read_to_string(&self.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text:?}");
        serde_json::from_str(&text).unwrap()
    }
}

const PROMPT: [&str; 2] = ["--prompt", "Do it."];

#[test]
fn a_task_is_done_its_result_is_all_of_standard_output_and_its_code_is_the_boxs() {
    let mut stage = Stage::new();
    stage.write("paused", "yes");
    let options = ["--repo", "acme/api", "--turns=7", "--setup", "make"];
    let mut running = stage.start(&[&PROMPT[..], &options].concat());
    stage.ends(&json!({"state": "completed", "result": "Done.", "commits": 2}));
    assert_eq!(running.wait().code(), Some(0));
    let result = stage.result();
    assert_eq!(result["exit_code"], 0);
    assert_eq!(result["result"], "Done.");
    assert!(result.get("prompt").is_none(), "{result}");
    let said = running.said();
    for part in ["Working on it.", "the box is up", "the end"] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    let asked = stage.asked();
    assert!(asked[0].starts_with("PUT /api/tasks/queue "), "{asked:?}");
    let request = asked[1].strip_prefix("POST /api/tasks ").unwrap();
    let request: Value = serde_json::from_str(request).unwrap();
    assert_eq!(request["prompt"], "Do it.");
    assert_eq!(request["repo"], "acme/api");
    assert_eq!(request["limits"]["turns"], 7);
    assert_eq!(request["setup"], json!(["make"]));

    // Variables alone ask for the same, and a failure has its code.
    let mut stage = Stage::new();
    stage.recipe.set("CIB_TASK_PROMPT", "Do it.");
    let out = File::create(&stage.stdout).unwrap();
    stage.recipe.stdout(Stdio::from(out));
    let mut running = stage.recipe.start();
    stage.ends(&json!({"state": "failed", "error": {"kind": "no_right", "detail": "-"}}));
    assert_eq!(running.wait().code(), Some(77));
    assert_eq!(stage.result()["error"]["kind"], "no_right");
}

#[test]
fn a_box_that_is_stopped_cancels_its_task_and_says_so() {
    let mut stage = Stage::new();
    let mut running = stage.start(&PROMPT);
    stage.reaches("working");
    running.says("Working on it.");
    assert_eq!(running.stop(), Some(143));
    assert_eq!(stage.result()["state"], "cancelled");
    assert_eq!(stage.result()["exit_code"], 143);
    let asked = stage.asked();
    assert!(asked[1].contains("/cancel"), "{asked:?}");

    // Before the task is begun it is not done either.
    let mut stage = Stage::new();
    stage
        .recipe
        .set("CIB_SETUP_COMMANDS", "echo setting up; sleep 600");
    let mut running = stage.start(&PROMPT);
    running.says("setting up");
    assert_eq!(running.stop(), Some(143));
    assert!(stage.asked().is_empty(), "{:?}", stage.asked());
}

#[test]
fn the_agent_learns_no_token_of_its_task_and_writes_no_result() {
    let mut stage = Stage::new();
    let place = stage.recipe.folder("data").join("result");
    let words = [&PROMPT[..], &["--result", "/var/lib/claude-in-box/result"]].concat();
    let mut running = stage.start(&words);
    stage.reaches("working");
    running.says("Working on it.");
    let token = stage.read("auth");
    assert!(token.len() > 60, "{token}");
    let looks = "chmod 0600 /workspace/* 2>/dev/null; cd /proc; cat [0-9]*/cmdline [0-9]*/environ \
        2>/dev/null | tr '\\0' '\\n'; for fd in [0-9]*/fd/*; do readlink $fd; done; true";
    let seen = running.as_coder(looks);
    assert!(
        seen.contains("cib-init") && !seen.contains(&token),
        "{seen}"
    );
    assert!(!running.said().contains(&token));
    let writes = "cd /var/lib/claude-in-box && { echo forged >result; echo forged >x && mv x result; \
        rm -f result; } 2>/dev/null; true";
    let _nothing = running.as_coder(writes);
    stage.ends(&json!({"state": "failed", "error": {"kind": "stuck", "detail": "-"}}));
    assert_eq!(running.wait().code(), Some(1));
    let result: Value = serde_json::from_str(&std::fs::read_to_string(place).unwrap()).unwrap();
    assert_eq!(result["exit_code"], 1);
}

#[test]
fn a_box_that_is_started_again_goes_on_with_its_task_and_does_nothing_twice() {
    let mut stage = Stage::new();
    let mut running = stage.start(&PROMPT);
    stage.reaches("working");
    running.says("Working on it.");
    running.signal(libc::SIGKILL);
    running.wait();

    let mut running = stage.start(&PROMPT);
    running.says("task 00c0ffee goes on");
    stage.ends(&json!({"state": "failed", "error": {"kind": "capacity_reached"}}));
    assert_eq!(running.wait().code(), Some(75));

    // The answer is lost, so it is asked again, and goes on already.
    stage.write("lost", "yes");
    let mut running = stage.start(&PROMPT);
    running.says("task 00c0ffee is tried again");
    // Its log is asked for when the second try has been answered.
    running.says("Working on it.");
    stage.ends(&json!({"state": "completed", "error": null}));
    assert_eq!(running.wait().code(), Some(0));

    let mut running = stage.start(&PROMPT);
    assert_eq!(running.wait().code(), Some(0));
    assert_eq!(stage.result()["state"], "completed");
    let asked = stage.asked();
    let begins = |line: &String, start: &str| line.starts_with(start);
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(begins(&asked[0], "POST /api/tasks {"), "{asked:?}");
    for retry in &asked[1..] {
        assert!(begins(retry, "POST /api/tasks/00c0ffee/retry"), "{asked:?}");
    }
}

#[test]
fn what_nobody_answers_or_waits_for_is_cancelled_with_a_code_that_says_why() {
    let mut stage = Stage::new();
    let mut running = stage.start(&PROMPT);
    let asks = json!({"state": "waiting", "session": "s", "reason": "an answer to: Which?"});
    stage.ends(&asks);
    assert_eq!(running.wait().code(), Some(66));
    assert_eq!(stage.result()["error"]["detail"], "an answer to: Which?");

    let mut stage = Stage::new();
    let words = [&PROMPT[..], &["--questions", "wait", "--timeout", "4s"]].concat();
    let mut running = stage.start(&words);
    stage.ends(&asks);
    assert_eq!(running.wait().code(), Some(124));
    assert_eq!(stage.result()["error"]["kind"], "timeout");
    assert!(stage.asked().last().unwrap().contains("/cancel"));

    let mut stage = Stage::new();
    stage.write(
        "refusal",
        r#"{"error":"bad_value","detail":"`repo` is none"}"#,
    );
    let mut running = stage.start(&PROMPT);
    assert_eq!(running.wait().code(), Some(64));
    let error = &stage.result()["error"];
    assert_eq!(error["detail"], "bad_value: `repo` is none");
}

#[test]
fn a_result_goes_into_a_file_and_what_is_wrong_is_said_before_anything_is_begun() {
    let mut stage = Stage::new();
    std::fs::create_dir(stage.recipe.folder("data")).unwrap();
    let place = stage.recipe.folder("data").join("result");
    std::fs::write(&place, "of yesterday, and much longer than what comes").unwrap();
    let words = [&PROMPT[..], &["--result", "/var/lib/claude-in-box/result"]].concat();
    let mut running = stage.start(&words);
    stage.reaches("working");
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "");
    stage.ends(&json!({"state": "completed"}));
    assert_eq!(running.wait().code(), Some(0));
    assert_eq!(std::fs::read_to_string(&stage.stdout).unwrap(), "");
    let result: Value = serde_json::from_str(&std::fs::read_to_string(&place).unwrap()).unwrap();
    assert_eq!(result["exit_code"], 0);

    let link = stage.recipe.folder("data").join("link");
    std::os::unix::fs::symlink("/etc/passwd", link).unwrap();
    let wrong: [(&[&str], i32, &str); 4] = [
        (&[], 78, "CIB_TASK_PROMPT: is not set"),
        (&["--prompt"], 64, "`--prompt` needs a value"),
        (
            &["--prompt", "x", "--result", "/var/lib/claude-in-box/link"],
            78,
            "CIB_TASK_RESULT",
        ),
        (&["--prompt", "x", "--cost", "much"], 78, "CIB_TASK_COST"),
    ];
    let begun = stage.asked().len();
    for (words, code, part) in wrong {
        let mut running = stage.start(words);
        assert_eq!(running.wait().code(), Some(code), "{words:?}");
        running.says(part);
    }
    assert_eq!(stage.asked().len(), begun);
}
