//! The box of a repository that stays.

use crate::stage::Stage;

#[test]
fn a_runner_is_one_for_its_repository_and_keeps_what_is_in_it() {
    let stage = Stage::new();
    let none = stage.cib(&["runner", "shell"]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("cib runner start"), "{}", none.stderr);
    let started = stage
        .without("ANTHROPIC_API_KEY")
        .cib(&["runner", "start", "--json"]);
    assert_eq!(started.code, 0, "{}", started.stderr);
    let started: serde_json::Value = serde_json::from_str(&started.stdout).unwrap();
    let name = started["name"].as_str().unwrap();
    assert!(name.ends_with("-runner"), "{name}");
    // Without a terminal a shell reads what it is told, as the agent and nobody else.
    let mut shell = stage.command("sh");
    let cib = env!("CARGO_BIN_EXE_cib");
    shell.args(["-c", &format!("echo 'id -un; cd /workspace; echo kept > kept; command -v claude' | '{cib}' runner shell")]);
    let ran = Stage::finish(shell);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("coder\n/"), "{}", ran.stdout);
    stage.good(&["runner", "stop"]);
    assert_eq!(stage.good(&["list", "--names"]), "");
    let again = stage.json(&["runner", "start", "--json"]);
    assert_eq!(again["name"], name);
    assert_eq!(stage.inside(name, "cat kept"), "kept\n");
    assert_eq!(stage.good(&["list", "--all", "--names"]).lines().count(), 1);
}
