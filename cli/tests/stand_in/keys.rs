//! What keys and flags do to a box: each by what the engine and the box are asked for.

use std::os::unix::net::UnixListener;

use cib_testkit::terminal::Terminal;

use crate::stage::{Stage, json, said};

/// The file of the tool before as its documentation has it, but for the paths.
const WHOLE: &str = r#"{
    "dockerImage": "claude-code-runner:latest",
    "buildImage": true,
    "dockerfile": "./custom.Dockerfile",
    "detached": false,
    "autoPush": true,
    "autoCreatePR": true,
    "autoStartClaude": true,
    "envFile": ".env",
    "environment": {"NODE_ENV": "development"},
    "setupCommands": ["npm install", "npm run build"],
    "volumes": ["HOST/configs:/container/path:ro"],
    "mounts": [
        {"source": "./data", "target": "/workspace/data", "readonly": false},
        {"source": "HOST/configs", "target": "/configs", "readonly": true}
    ],
    "allowedTools": ["*"],
    "maxThinkingTokens": 100000,
    "bashTimeout": 600000,
    "containerPrefix": "my-project",
    "claudeConfigPath": "~/.claude.json",
    "dockerSocketPath": "HOST/engine.sock",
    "forwardSshKeys": true,
    "forwardGpgKeys": true,
    "forwardSshAgent": true,
    "enableGpgSigning": false
}"#;

#[test]
fn each_key_of_the_tool_befores_documentation_has_its_effect() {
    let stage = Stage::new();
    let _engine = UnixListener::bind(stage.at("engine.sock")).unwrap();
    let _agent = UnixListener::bind(stage.at("agent.sock")).unwrap();
    for folder in ["configs", "home/.ssh", "home/.gnupg", "my repo/data"] {
        std::fs::create_dir(stage.at(folder)).unwrap();
    }
    let here = stage.at("").display().to_string();
    let here = here.trim_end_matches('/');
    let write = |name: &str, text: &str| std::fs::write(stage.at(name), text).unwrap();
    write("my repo/.gitignore", ".env\n");
    write("my repo/.env", "# read\nexport FROM_FILE='its value'\n");
    write(
        "home/.claude.json",
        r#"{"api_key": "sk-ant-of-the-file-0123456789"}"#,
    );
    write(
        "my repo/claude-run.config.json",
        &WHOLE.replace("HOST", here),
    );
    let mut start = stage.cib(&["start", "--json"]);
    start
        .env_remove("ANTHROPIC_API_KEY")
        .env("SSH_AUTH_SOCK", stage.at("agent.sock"));
    let started = json(start);
    let (created, variables) = stage.made();
    let log = stage.read("state/log");

    let name = started["name"].as_str().unwrap();
    assert!(name.starts_with("my-project-20"), "{name}");
    assert_eq!(started["session"], "a-session");
    let hosts = stage.read("state/hosts");
    let all = hosts
        .lines()
        .all(|line| line.starts_with(&format!("unix://{here}/engine.sock ")));
    assert!(all, "{hosts}");
    let built = format!(
        "build --quiet --tag cib-local:latest --file {here}/my repo/./custom.Dockerfile {here}/my repo\n"
    );
    assert!(log.contains(&built), "{log}");
    assert!(created.ends_with(" cib-local:latest"), "{created}");
    for volume in [
        "configs:/container/path:ro",
        "my repo/data:/workspace/data:rw",
        "configs:/configs:ro",
        "home/.ssh:/run/host/ssh:ro",
        "home/.gnupg:/run/host/gnupg:ro",
        "agent.sock:/run/host/ssh-agent",
    ] {
        let words = format!("--volume {here}/{volume} ");
        assert!(created.contains(&words), "{words}: {created}");
    }
    for line in [
        "FROM_FILE=its value",
        "NODE_ENV=development",
        r#"CIB_SETUP_COMMANDS=["npm install","npm run build"]"#,
        "MAX_THINKING_TOKENS=100000",
        "BASH_MAX_TIMEOUT_MS=600000",
    ] {
        assert!(variables.lines().any(|l| l == line), "{line}: {variables}");
    }
    assert!(!variables.contains("CIB_GIT_SIGNING"), "{variables}");
    assert!(stage.secrets().contains("sk-ant-of-the-file"));
    let posted = stage.asked("POST /api/sessions ");
    assert!(!posted[0].contains("tools"), "{posted:?}");

    // And the other way round, where that is another thing.
    stage.forget();
    let other = r#"{"dockerImage": "example.org/tools/claude-code-runner:latest", "buildImage": false,
        "autoStartClaude": false, "enableGpgSigning": true, "forwardSshKeys": false,
        "forwardGpgKeys": false, "forwardSshAgent": false, "includeUntracked": false,
        "targetBranch": "feature/named"}"#;
    write("my repo/claude-run.config.json", other);
    let mut start = stage.cib(&["start", "--json"]);
    start.env("SSH_AUTH_SOCK", stage.at("agent.sock"));
    let started = json(start);
    assert_eq!(started["branch"], "feature/named");
    let (created, variables) = stage.made();
    assert!(created.ends_with(" claude-in-box:latest"), "{created}");
    assert!(
        stage
            .read("state/log")
            .contains("pull --quiet claude-in-box:latest")
    );
    assert!(!created.contains("/run/host"), "{created}");
    assert!(variables.contains("CIB_GIT_SIGNING=gpg\n"), "{variables}");
    assert_eq!(stage.asked("POST /api/shells ").len(), 1);
    assert!(stage.asked("POST /api/sessions ").is_empty());
    assert!(!stage.at("state/workspace/.gitignore").exists());

    stage.forget();
    write(
        "my repo/claude-run.config.json",
        r#"{"allowedTools": ["Read", "Bash(npm:*)"]}"#,
    );
    json(stage.cib(&["start", "--json"]));
    let posted = stage.asked("POST /api/sessions ");
    let rules = r#""tools":{"allow":["Read","Bash(npm:*)"]}"#;
    assert!(posted[0].contains(rules), "{posted:?}");
    assert!(posted[0].contains(r#""permission_mode":"default""#));
    assert!(stage.at("state/workspace/.gitignore").exists());
}

#[test]
fn each_flag_of_start_has_its_effect() {
    let stage = Stage::new();
    std::fs::create_dir(stage.at("data")).unwrap();
    std::fs::write(stage.at("my repo/unknown"), "not known to git\n").unwrap();
    std::fs::write(stage.at("variables"), "FIRST=1\nBOTH=file\n").unwrap();
    let data = stage.at("data").display().to_string();
    let file = stage.at("variables").display().to_string();
    let mut start = stage.cib(&["start", "--json", "-n", "a-name", "-b", "feature/x"]);
    start
        .args(["--image", "mine:1", "--driver", "tty", "--model", "opus"])
        .args(["--memory", "4g", "--cpus", "1.5", "--pids", "400"])
        .args(["--env", "BOTH=flag", "-e", "TAKEN", "--env-file", &file])
        .args([
            "--mount",
            &format!("{data}:/data:ro"),
            "--no-include-untracked",
        ])
        .args(["--", "Write", "tests."])
        .env("TAKEN", "from here");
    let started = json(start);
    assert_eq!(started["name"], "a-name");
    assert_eq!(started["branch"], "feature/x");
    assert_eq!(started["driver"], "tty");
    let (created, variables) = stage.made();
    for words in [
        "--name a-name ",
        "--memory=4g ",
        "--cpus=1.5 ",
        "--pids-limit=400 ",
        &format!("--volume {data}:/data:ro "),
    ] {
        assert!(created.contains(words), "{words}: {created}");
    }
    assert!(created.ends_with(" mine:1"), "{created}");
    for line in ["FIRST=1", "BOTH=flag", "TAKEN=from here"] {
        assert!(variables.lines().any(|l| l == line), "{line}: {variables}");
    }
    assert!(!variables.contains("BOTH=file"), "{variables}");
    let posted = stage.asked("POST /api/sessions ");
    for words in [
        r#""driver":"tty""#,
        r#""model":"opus""#,
        r#""prompt":"Write tests.""#,
    ] {
        assert!(posted[0].contains(words), "{posted:?}");
    }
    assert!(!stage.at("state/workspace/unknown").exists());

    // One that runs is told of, unless that is not wanted.
    for (more, told) in [(&[][..], true), (&["--skip-reconnect-check"], false)] {
        let words = [&["start", "--image", "none:1", "--shell"][..], more].concat();
        let mut start = stage.cib(&words);
        let output = start.env("IMAGE_VERSION", "").output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        let is_told = said(&output).contains("the box a-name of this repository runs already");
        assert_eq!(is_told, told, "{}", said(&output));
    }
}

#[test]
fn a_start_begins_at_a_branch_of_the_remote_or_at_a_pull_request() {
    let stage = Stage::new();
    stage.git(&["stash", "--quiet"]);
    stage.git(&["init", "-q", "--bare", "../remote.git"]);
    stage.git(&["remote", "add", "origin", "../remote.git"]);
    let mut commits = Vec::new();
    for (text, reference) in [
        ("theirs", "refs/heads/theirs"),
        ("asked", "refs/pull/7/head"),
    ] {
        std::fs::write(stage.at("my repo/file"), text).unwrap();
        stage.git(&["commit", "-qam", text]);
        stage.git(&["push", "-q", "origin", &format!("HEAD:{reference}")]);
        commits.push(stage.git(&["rev-parse", "HEAD"]).trim().to_owned());
        stage.git(&["reset", "-q", "--hard", "HEAD^"]);
    }
    let workspace = stage.at("state/workspace").display().to_string();
    let cases = [(["--remote-branch", "theirs"], 0), (["--pr", "7"], 1)];
    for (words, at) in cases {
        let started = json(stage.cib(&[&["start", "--json"][..], &words].concat()));
        assert_eq!(started["base"], *commits[at], "{words:?}");
        let head = stage.git(&["-C", &workspace, "rev-parse", "HEAD"]);
        assert_eq!(head.trim(), commits[at], "{words:?}");
        assert!(started["branch"].as_str().unwrap().starts_with("claude/"));
        stage.forget();
    }
    for words in [
        ["--remote-branch", "nowhere"],
        ["--pr", "8"],
        ["--remote-branch", "-x"],
    ] {
        let output = stage
            .cib(&[&["start"][..], &words].concat())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{words:?}");
        assert!(!stage.at("state/box").exists(), "{words:?}");
    }
}

#[test]
fn a_branch_is_merged_boxes_are_seen_from_elsewhere_and_volumes_kept_where_that_is_said() {
    let stage = Stage::new();
    stage.git(&["stash", "--quiet"]);
    let started = json(stage.cib(&["start", "--json"]));
    let name = started["name"].as_str().unwrap();
    let commit = stage.commit_inside("made", "in the box\n", &["Made"]);
    let stat = stage.cib(&["diff", "--stat"]).output().unwrap();
    assert!(said(&stat).contains("made | 1 +"), "{}", said(&stat));
    let merged = json(stage.cib(&["apply", "--merge", "--json"]));
    assert_eq!(merged["merged"], *commit);
    assert_eq!(stage.read("my repo/made"), "in the box\n");
    let named = json(stage.cib(&["apply", "--branch", "taken-over", "--json"]));
    assert_eq!(named["branch"], "taken-over");
    assert_eq!(stage.git(&["rev-parse", "taken-over"]).trim(), commit);

    // Boxes of every repository are seen from anywhere, and stopped if that is said.
    let elsewhere = |words: &[&str]| {
        let mut command = stage.cib(words);
        command.current_dir(stage.at("home"));
        command
    };
    stage.git(&["init", "-q", "../other"]);
    let mut other = stage.cib(&["list", "--json"]);
    other.current_dir(stage.at("other"));
    assert_eq!(json(other), serde_json::json!([]));
    let mut other = stage.cib(&["list", "--all-repos", "--json"]);
    other.current_dir(stage.at("other"));
    assert_eq!(json(other)[0]["name"], name);
    let stopped = json(elsewhere(&["stop", "--all", "-t", "3", "--json"]));
    assert_eq!(stopped["stopped"], serde_json::json!([name]));
    assert!(stage.read("state/log").contains("stop -t 3 "));
    assert_eq!(json(stage.cib(&["list", "--json"])), serde_json::json!([]));
    assert_eq!(
        json(stage.cib(&["list", "-a", "--json"]))[0]["state"],
        "created"
    );

    let volumes = || {
        std::fs::read_dir(stage.at("state/volumes"))
            .unwrap()
            .count()
    };
    assert_eq!(volumes(), 4);
    let words = ["rm", name, "--keep-volumes", "--json"];
    let removed = stage.cib(&words).output().unwrap();
    assert!(removed.status.success(), "{}", said(&removed));
    assert!(!stage.at("state/box").exists());
    assert_eq!(volumes(), 4);
}

#[test]
fn an_editor_is_opened_on_the_configuration_and_what_it_leaves_is_checked() {
    let stage = Stage::new();
    let edit = |text: &str| {
        stage.program(
            "an-editor",
            &format!("#!/bin/sh\ncat >\"$2\" <<'X'\n{text}\nX\n"),
        );
        let mut script = stage.command("script");
        script
            .env("EDITOR", "an-editor --wait")
            .env("NO_COLOR", "1");
        let line = format!("'{}' config edit", env!("CARGO_BIN_EXE_cib"));
        Terminal::running(script, &line)
    };
    edit(r#"{"memory": "2g"}"#).is_done(0);
    let told = json(stage.cib(&["config", "--json"]));
    assert_eq!(told["memory"]["value"], "2g");
    let mut wrong = edit(r#"{"memry": "2g"}"#);
    wrong.is_done(78);
    assert!(wrong.screen().contains("`memory`"), "{}", wrong.screen());
    let alone = stage.cib(&["config", "edit"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2), "{}", said(&alone));
}

#[test]
fn a_login_takes_the_code_that_a_person_types_or_names_and_says_what_became_of_it() {
    let stage = Stage::new();
    json(stage.cib(&["start", "--json"]));
    let mut script = stage.command("script");
    script.env("NO_COLOR", "1");
    let line = format!("'{}' login", env!("CARGO_BIN_EXE_cib"));
    let mut terminal = Terminal::running(script, &line);
    terminal.shows("https://login.example/\\u{1b}[2Jx");
    terminal.shows("Code: ");
    terminal.types(b"the-right-one\r");
    terminal.shows("logged in");
    terminal.is_done(0);
    let named = json(stage.cib(&["login", "--code", "the-right-one", "--json"]));
    assert_eq!(named["logged_in"], true);
    let posted = stage.asked("POST /api/auth/claude/code ");
    let wanted = r#"POST /api/auth/claude/code {"code":"the-right-one"}"#;
    assert_eq!(posted, [wanted, wanted]);
    assert_eq!(stage.asked("POST /api/auth/claude/start ").len(), 1);
    let wrong = stage.cib(&["login", "--code", "another"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(4), "{}", said(&wrong));
    let text = said(&wrong);
    assert!(text.contains("no \\u{1b}[2J such code"), "{text}");
}
