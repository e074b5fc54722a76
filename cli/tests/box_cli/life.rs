//! A box after its start: stopped, started once more, logged, logged in.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use cib_testkit::wait::wait_until;

use crate::SOON;
use crate::stage::Stage;

#[test]
fn a_box_that_was_stopped_is_read_and_comes_back_with_what_was_in_it() {
    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    stage.inside(&name, "echo kept > kept; git add kept; git commit -qm kept");
    let stopped = stage.json(&["stop", &name, "--json"]);
    assert_eq!(stopped["stopped"][0], name.as_str());
    assert_eq!(stage.good(&["list", "--names"]), "");
    assert_eq!(stage.good(&["list", "--names", "--all"]).trim(), name);
    // git reads it all the same; a command needs it to run.
    let fetched = stage.json(&["fetch", &name, "--json"]);
    let new = fetched["branches"][0]["new"].as_str().unwrap();
    assert_eq!(stage.git(&["log", "-1", "--format=%s", new]).trim(), "kept");
    let refused = stage.cib(&["exec", &name, "true"]);
    assert_eq!(refused.code, 1);
    let remedy = format!("cib start --again {name}");
    assert!(refused.stderr.contains(&remedy), "{}", refused.stderr);
    stage.good(&["start", "--again", &name]);
    assert_eq!(stage.inside(&name, "cat kept"), "kept\n");
    assert_eq!(
        stage.json(&["tokens", &name, "--json"]),
        serde_json::json!([])
    );
}

#[test]
fn a_log_is_text_and_as_long_as_was_asked_for() {
    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    let log = stage.good(&["logs", &name]);
    assert!(log.contains("the box is up"), "{log}");
    assert!(!log.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
    assert_eq!(stage.good(&["logs", &name, "-n", "1"]).lines().count(), 1);
    // One that is followed ends with its box.
    let mut follow = stage.command(env!("CARGO_BIN_EXE_cib"));
    follow.args(["logs", &name, "-f"]).stdout(Stdio::piped());
    let mut follow = follow.spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("the box is up")));
    assert!(follow.try_wait().unwrap().is_none(), "it does not follow");
    stage.good(&["stop", &name]);
    assert!(lines.count() > 0, "what it said at its end");
    follow.wait().unwrap();
}

#[test]
fn a_tool_that_the_configuration_does_not_allow_is_asked_about() {
    let stage = Stage::new();
    stage.write("cib.toml", "allowedTools = [\"Bash(touch allowed)\"]\n");
    let name = stage.start(&["--", "@bash touch allowed\n@bash touch asked\n@text Done."]);
    let mut asked = serde_json::Value::Null;
    wait_until(SOON, "the question", || {
        let status = stage.json(&["status", &name, "--json"]);
        asked = status["all_sessions"][0]["open_questions"][0].clone();
        !asked.is_null()
    });
    assert_eq!(asked["tool"], "Bash");
    let there = stage.inside(&name, "test -e allowed && test ! -e asked && echo right");
    assert_eq!(there, "right\n");
}

#[test]
fn a_login_is_begun_with_an_address_and_asks_nobody_who_is_not_there() {
    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    let status = stage.cib(&["login", &name, "--status"]);
    assert_eq!((status.code, status.stdout.trim()), (4, "not logged in"));
    let begun = stage.cib(&["login", &name]);
    assert_eq!(begun.code, 2, "{}", begun.stderr);
    for words in ["/oauth/authorize?", "--code"] {
        assert!(begun.stderr.contains(words), "{}", begun.stderr);
    }
}

#[test]
fn a_token_for_a_device_is_shown_once_and_can_be_revoked() {
    let stage = Stage::new();
    let name = stage.start(&["--shell"]);
    let made = stage.json(&[
        "tokens", &name, "--create", "phone", "--ttl", "60", "--json",
    ]);
    let text = made["plaintext"].as_str().unwrap();
    let listed = stage.good(&["tokens", &name]);
    assert!(
        listed.contains("phone") && !listed.contains(text),
        "{listed}"
    );
    let id = made["token"]["id"].as_str().unwrap();
    stage.good(&["tokens", &name, "--revoke", id]);
    // For what has no TLS it is a key of the sealed envelope.
    let words = [
        "tokens", &name, "--create", "sensor", "--kind", "device", "--json",
    ];
    let key = stage.json(&words);
    let text = key["plaintext"].as_str().unwrap();
    assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(key["token"]["kind"], "device");
    stage.good(&[
        "tokens",
        &name,
        "--revoke",
        key["token"]["id"].as_str().unwrap(),
    ]);
    assert_eq!(
        stage.json(&["tokens", &name, "--json"]),
        serde_json::json!([])
    );
}

#[test]
fn commits_of_a_box_are_signed_by_an_agent_that_stays_here() {
    let stage = Stage::new();
    let keys = stage.home().join("gnupg");
    std::fs::create_dir(&keys).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&keys, mode).unwrap();
    let run = |program: &str, words: &[&str]| {
        let mut command = stage.command(program);
        command.env("GNUPGHOME", &keys).args(words);
        let ran = Stage::finish(command);
        assert_eq!(ran.code, 0, "{program} {words:?}: {}", ran.stderr);
        ran.stdout
    };
    let generate = [
        "--batch",
        "--pinentry-mode=loopback",
        "--passphrase=",
        "--quick-generate-key",
    ];
    let person = "A Person <person@example.com>";
    let kind = [person, "ed25519", "sign", "never"];
    run("gpg", &[&generate[..], &kind].concat());
    let cib = env!("CARGO_BIN_EXE_cib");
    let started = run(cib, &["start", "--json", "--shell", "--with", "gpg"]);
    let started: serde_json::Value = serde_json::from_str(&started).unwrap();
    let name = started["name"].as_str().unwrap();
    stage.inside(name, "echo x > x; git add x; git commit -qm signed");
    // Of the key itself nothing is in there.
    let secret = stage.inside(name, "ls ~/.gnupg/private-keys-v1.d 2>/dev/null || true");
    assert_eq!(secret, "");
    let fetched = stage.json(&["fetch", name, "--json"]);
    let new = fetched["branches"][0]["new"].as_str().unwrap();
    assert_eq!(run("git", &["log", "-1", "--format=%G?", new]), "G\n");
    run("gpgconf", &["--kill", "all"]);
}
