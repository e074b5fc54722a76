//! Starts and ends of boxes with a stand-in for the engine's program, which can be held and made to
//! fail at each step: what a real engine does only now and then.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod before;
mod forge;
mod keys;
mod parts;
#[path = "../release/mod.rs"]
mod release;
mod remote;
#[path = "../schema/mod.rs"]
mod schema;
mod stage;
mod starts;
mod tasks;
mod watched;

use std::time::Duration;

use cib_testkit::wait::wait_until;
use nix::sys::signal::Signal;

use stage::{Stage, json, said, spawn, there};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_box_is_started_and_its_repository_is_as_the_one_here() {
    let stage = Stage::new();
    let output = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["session"], "a-session");
    let url = format!("http://127.0.0.1:{}", stage.read("state/port"));
    assert_eq!(result["url"], url);
    assert_eq!(stage.read("state/workspace/file"), "changed\n");
    assert!(stage.read("state/log").contains("start "));
}

#[test]
fn a_boxs_page_is_opened_with_a_token_that_no_server_sees() {
    let stage = Stage::new();
    let started = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(started.status.success(), "{}", said(&started));
    let page = format!(
        "http://127.0.0.1:{}/#token=a%2Dtoken",
        stage.read("state/port")
    );
    let printed = stage.cib(&["open", "--print"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&printed.stdout).trim(), page);
    let mut command = stage.cib(&["open"]);
    command.env("BROWSER", stage.browser());
    let opened = command.output().unwrap();
    assert!(opened.status.success(), "{}", said(&opened));
    assert!(!said(&opened).contains("token"), "{}", said(&opened));
    assert_eq!(stage.opened(), page);
    // The token has an end.
    for asked in stage.asked("POST /api/tokens ") {
        assert!(asked.contains(r#""ttl":43200"#), "{asked}");
    }
    let told = stage.read("state/log");
    assert!(
        told.contains("container inspect"),
        "the engine was asked nothing: {told}"
    );
    for token in ["a-token", "a%2Dtoken"] {
        assert!(!told.contains(token), "{told}");
    }
}

/// Interrupts a start when the stand-in is held at a step; what is left.
fn interrupted(
    stage: &Stage,
    step: &str,
    signal: Signal,
    (more, variables): (&[&str], &[(&str, &str)]),
) -> Vec<String> {
    let mut command = stage.cib(&[&["start", "--json"][..], more].concat());
    command.env("HOLD", step).envs(variables.iter().copied());
    let start = spawn(&mut command);
    wait_until(SOON, "the step", || there(&stage.at("state/held")));
    start.signal(signal);
    let output = start.finish();
    assert_eq!(output.status.code(), Some(130), "{step}: {}", said(&output));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("interrupted"), "{step}: {text}");
    stage.left()
}

const PROXY: [&str; 2] = ["--proxy", "socks5://127.0.0.1:9"];

#[test]
fn ctrl_c_at_each_step_leaves_no_container_volume_branch_or_file() {
    // With a proxy there are two containers, and the first start is that of the other one.
    for more in [&[][..], &PROXY] {
        for step in ["image", "cp", "start", "exec"] {
            let stage = Stage::new();
            let left = interrupted(&stage, step, Signal::SIGINT, (more, &[]));
            assert!(left.is_empty(), "{step} {more:?}: {left:?}");
        }
        // What the engine is making nobody breaks off: it is made, and removed.
        let stage = Stage::new();
        let slowly = (more, &[("HOLD_FOR", "1")][..]);
        let left = interrupted(&stage, "create", Signal::SIGTERM, slowly);
        assert!(left.is_empty(), "{more:?}: {left:?}");
        let log = stage.read("state/log");
        assert!(log.contains("rm --force"), "{log}");
    }
}

#[test]
fn ctrl_c_while_a_box_is_waited_for_removes_it() {
    let stage = Stage::new();
    stage.sicken();
    let start = spawn(&mut stage.cib(&["start", "--json"]));
    wait_until(SOON, "the box", || there(&stage.at("state/started")));
    start.signal(Signal::SIGINT);
    let output = start.finish();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(stage.left().is_empty(), "{:?}", stage.left());
}

#[test]
fn what_an_engine_refuses_is_told_with_its_words_and_nothing_is_left() {
    for (step, words, remedy) in [
        ("create", "no space left on device", "cib clean"),
        ("start", "bind: address already in use", "port"),
        ("exec", "permission denied", ""),
        ("cp", "no space left on device", "cib clean"),
    ] {
        let stage = Stage::new();
        let mut command = stage.cib(&["start"]);
        let output = command
            .env("FAIL", step)
            .env("FAIL_WORDS", words)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            text.contains(words) && text.contains(remedy),
            "{step}: {text}"
        );
        assert!(stage.left().is_empty(), "{step}: {:?}", stage.left());
    }
}

#[test]
fn an_engine_that_is_not_running_or_not_permitted_ends_with_69_and_what_helps() {
    for (words, remedy) in [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock",
            "start docker",
        ),
        (
            "permission denied while trying to connect",
            "usermod -aG docker",
        ),
    ] {
        let stage = Stage::new();
        let mut command = stage.cib(&["start", "--engine", "docker"]);
        let output = command
            .env("FAIL", "version")
            .env("FAIL_WORDS", words)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(69), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(words) && text.contains(remedy), "{text}");
    }
}

#[test]
fn what_list_says_in_json_is_as_its_schema_has_it() {
    let stage = Stage::new();
    let schema = json(stage.cib(&["list", "--schema"]));
    let list = || json(stage.cib(&["list", "--all", "--json"]));
    assert_eq!(list(), serde_json::json!([]));
    json(stage.cib(&["start", "--json"]));
    let running = list();
    assert_eq!(running[0]["state"], "running");
    stage.commit_inside("x", "x", &["x"]);
    let worked_on = list();
    assert_eq!(worked_on[0]["commits"], 1, "{worked_on}");
    assert!(stage.cib(&["stop"]).output().unwrap().status.success());
    let stopped = list();
    assert_eq!(stopped[0]["commits"], serde_json::Value::Null);
    for listed in [&running, &worked_on, &stopped] {
        assert_eq!(schema::faults(&schema, listed), [""; 0], "{listed}");
    }
    // And it says no where something is otherwise.
    let mut other = running;
    other[0]["port"] = "8080".into();
    other[0]["more"] = true.into();
    other[0].as_object_mut().unwrap().remove("branch");
    assert_eq!(schema::faults(&schema, &other).len(), 3);
}

#[test]
fn a_dry_run_says_what_would_go_in_and_makes_nothing() {
    let stage = Stage::new();
    let output = stage
        .cib(&["start", "--dry-run", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["secrets"], serde_json::json!(["anthropic_api_key"]));
    assert_eq!(result["uncommitted"], true);
    assert!(!said(&output).contains("sk-ant-stand-in"));
    let log = stage.read("state/log");
    let steps: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(steps, ["version"]);
    assert!(stage.left().is_empty(), "{:?}", stage.left());
    let none = stage.cib(&["start", "--dry-run", "--credential", "none", "--json"]);
    let none = { none }.output().unwrap();
    let result: serde_json::Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!(result["secrets"], serde_json::json!([]));
}

#[test]
fn a_credential_for_bedrock_goes_in_as_a_file_and_its_region_as_a_variable() {
    let stage = Stage::new();
    let mut command = stage.cib(&["start", "--json", "--credential", "bedrock"]);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIAOFTHETEST")
        .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
        .env("AWS_REGION", "eu-central-1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let variables = stage.read("state/variables");
    assert!(
        variables.contains("CLAUDE_CODE_USE_BEDROCK=1\n"),
        "{variables}"
    );
    assert!(
        variables.contains("AWS_REGION=eu-central-1\n"),
        "{variables}"
    );
    let log = stage.read("state/log");
    assert!(
        log.contains("CIB_AWS_CREDENTIALS_FILE=/run/secrets/aws_credentials"),
        "{log}"
    );
    for text in [&variables, &log, &said(&output)] {
        assert!(!text.contains("secret-of-the-test"), "{text}");
    }
    let secrets = std::fs::read(stage.at("state/secrets.tar")).unwrap();
    let secrets = String::from_utf8_lossy(&secrets).into_owned();
    assert!(
        secrets.contains("secret-of-the-test") && !secrets.contains("sk-ant"),
        "{secrets}"
    );
}

#[test]
fn a_key_that_ends_is_told_before_it_does_and_given_anew() {
    let stage = Stage::new();
    std::fs::create_dir(stage.at("home/.aws")).unwrap();
    let profile = "[default]\nsso_session = my\nregion = us-east-1\n";
    std::fs::write(stage.at("home/.aws/config"), profile).unwrap();
    let key = |id: &str, minutes: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        let key = format!(
            r#"{{"AccessKeyId": "{id}", "SecretAccessKey": "secret-of-{id}", "Expiration": "{at}"}}"#
        );
        stage.program("aws", &format!("#!/bin/sh\necho '{key}'\n"));
    };
    let secrets = || {
        let archive = std::fs::read(stage.at("state/secrets.tar")).unwrap();
        String::from_utf8_lossy(&archive).into_owned()
    };
    // One that has ended already is of no use to a box.
    key("AKIAPAST", -5);
    let start = ["start", "--json", "--credential", "bedrock"];
    let refused = stage.cib(&start).output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    assert!(
        said(&refused).contains("aws sso login"),
        "{}",
        said(&refused)
    );
    assert!(stage.left().is_empty(), "{:?}", stage.left());

    key("AKIAFIRST", 10);
    let started = stage.cib(&start).output().unwrap();
    assert!(started.status.success(), "{}", said(&started));
    assert!(secrets().contains("secret-of-AKIAFIRST"));
    let listed = stage.cib(&["list"]).output().unwrap();
    assert!(said(&listed).contains("--renew"), "{}", said(&listed));

    key("AKIASECOND", 120);
    let renewed = stage.cib(&["login", "--renew", "--json"]).output().unwrap();
    assert!(renewed.status.success(), "{}", said(&renewed));
    let now = secrets();
    assert!(now.contains("secret-of-AKIASECOND") && !now.contains("AKIAFIRST"));
    let log = stage.read("state/log");
    assert!(
        log.contains("stop -t 15") && !log.contains("secret-of"),
        "{log}"
    );
    let listed = stage.cib(&["list"]).output().unwrap();
    assert!(!said(&listed).contains("--renew"), "{}", said(&listed));

    // What was stopped over night gets another one when it is started once more.
    key("AKIATHIRD", 120);
    let about = std::fs::read_dir(stage.at("home/.local/state/cib/boxes"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("credential.json");
    std::fs::write(about, r#"{"ends": 1}"#).unwrap();
    let name = serde_json::from_slice::<serde_json::Value>(&started.stdout).unwrap();
    let name = name["name"].as_str().unwrap();
    assert!(stage.cib(&["stop"]).output().unwrap().status.success());
    let again = stage.cib(&["start", "--again", name]).output().unwrap();
    assert!(again.status.success(), "{}", said(&again));
    assert!(secrets().contains("secret-of-AKIATHIRD"));
}

#[test]
fn an_image_of_an_older_box_is_refused_with_what_helps() {
    for (version, words) in [("0.0.1", "older than this cib"), ("", "does not say which")] {
        let stage = Stage::new();
        let mut command = stage.cib(&["start"]);
        let output = command.env("IMAGE_VERSION", version).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        for words in [words, "docker buildx bake"] {
            assert!(said(&output).contains(words), "{}", said(&output));
        }
        assert!(stage.left().is_empty(), "{:?}", stage.left());
    }
}

#[test]
fn a_persons_instructions_and_agents_go_in_and_nothing_that_runs_or_is_secret() {
    let stage = Stage::new();
    let claude = stage.at("home/.claude");
    std::fs::create_dir_all(claude.join("agents")).unwrap();
    std::fs::create_dir_all(claude.join("projects/-x")).unwrap();
    for (name, text) in [
        ("CLAUDE.md", "Be brief."),
        ("agents/reviewer.md", "Review."),
        ("projects/-x/a.jsonl", "a conversation"),
        (
            "settings.json",
            r#"{"model": "opus", "env": {"KEY": "a-secret"}}"#,
        ),
    ] {
        std::fs::write(claude.join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", claude.join("agents/link.md")).unwrap();
    let output = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let inside = |name: &str| stage.read(&format!("state/coder/.claude/{name}"));
    assert_eq!(inside("CLAUDE.md"), "Be brief.");
    assert_eq!(inside("agents/reviewer.md"), "Review.");
    assert_eq!(inside("settings.json"), r#"{"model":"opus"}"#);
    for name in ["projects", "agents/link.md", ".credentials.json"] {
        assert!(
            !there(&stage.at("state/coder/.claude").join(name)),
            "{name}"
        );
    }
    assert!(said(&output).contains("of ~/.claude"), "{}", said(&output));
    let kept = stage.cib(&["start", "--dry-run", "--no-claude-settings", "--json"]);
    let kept = { kept }.output().unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&kept.stdout).unwrap();
    assert_eq!(kept["habits"], serde_json::Value::Null);
}

#[test]
fn a_repository_whose_only_commit_has_no_file_goes_in_with_what_is_new_in_it() {
    let stage = Stage::new();
    stage.git(&["rm", "-q", "--cached", "file"]);
    stage.git(&["commit", "-q", "--amend", "--allow-empty", "-m", "Empty"]);
    let output = stage.cib(&["start", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(stage.read("state/workspace/file"), "changed\n");
}

#[test]
fn a_repository_without_a_commit_and_a_folder_without_one_are_told() {
    let stage = Stage::new();
    std::fs::create_dir(stage.at("empty")).unwrap();
    let run = |stage: &Stage| {
        let mut command = stage.cib(&["start"]);
        command.current_dir(stage.at("empty")).output().unwrap()
    };
    let output = run(&stage);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("git init"), "{}", said(&output));
    stage.git(&["init", "-q", "../empty"]);
    let output = run(&stage);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("commit"), "{}", said(&output));
    assert!(stage.left().is_empty(), "{:?}", stage.left());
}
