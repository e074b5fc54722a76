//! What the program says of itself, without an engine.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn cib(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_cib"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/local/bin")
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn code(arguments: &[&str]) -> i32 {
    cib(arguments).status.code().unwrap()
}

fn said(arguments: &[&str]) -> String {
    let output = cib(arguments);
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_has_help_completions_and_a_manual_page() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let completions = said(&["completion", shell]);
        for word in ["start", "fetch", "detach-keys"] {
            assert!(completions.contains(word), "{shell}: {word}");
        }
    }
    let help = said(&["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        assert!(
            said(&[command, "--help"]).contains("Usage: cib"),
            "{command}"
        );
        assert!(said(&["man", command]).contains(".TH"), "{command}");
    }
}

#[test]
fn the_completions_that_are_kept_are_those_of_this_program() {
    for (shell, name) in [("bash", "cib.bash"), ("zsh", "_cib"), ("fish", "cib.fish")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name);
        let said = said(&["completion", shell]);
        if std::env::var_os("CIB_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &said).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == said,
            "{} is old: CIB_UPDATE_GOLDEN=1 cargo test -p cib-cli --test words",
            path.display()
        );
    }
}

#[test]
fn the_file_of_the_tool_before_becomes_one_of_ours_with_that_tools_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let made = Command::new("git").args(["init", "-q", place]).status();
    assert!(made.unwrap().success());
    assert_eq!(code(&["-C", place, "config", "migrate"]), 78);
    let file = folder.path().join("claude-run.config.json");
    let text = r#"{"dockerImage": "mine", "setupCommands": ["npm ci"], "codexConfigPath": "x"}"#;
    std::fs::write(&file, text).unwrap();
    let told = said(&["-C", place, "config", "--migrate", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["left"], serde_json::json!(["codexConfigPath"]));
    let effective = |folder: &str| -> serde_json::Value {
        serde_json::from_str(&said(&["-C", folder, "config", "--json"])).unwrap()
    };
    let before = effective(place);
    assert_eq!(
        code(&["-C", place, "config", "migrate"]),
        1,
        "it is there already"
    );
    std::fs::remove_file(&file).unwrap();
    let after = effective(place);
    for (key, value) in before.as_object().unwrap() {
        if key != "codexConfigPath" {
            assert_eq!(after[key]["value"], value["value"], "{key}");
        }
    }
    let schema = said(&["config", "--schema"]);
    assert!(schema.contains("allowedTools"));
}

#[test]
fn a_doctor_names_what_is_missing_and_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let words = [
        "-C",
        place,
        "doctor",
        "--json",
        "--engine",
        "/nonexistent/docker.sock",
    ];
    let looked = cib(&words);
    assert_eq!(looked.status.code(), Some(69));
    let looks: serde_json::Value = serde_json::from_slice(&looked.stdout).unwrap();
    let of = |what: &str| {
        let mut all = looks.as_array().unwrap().iter();
        all.find(|look| look["what"] == what).unwrap().clone()
    };
    assert_eq!(of("git")["good"], true);
    for what in ["repository", "engine", "credential"] {
        let look = of(what);
        assert_eq!(look["good"], false, "{look}");
        assert!(!look["remedy"].as_str().unwrap().is_empty(), "{look}");
    }
    std::fs::write(folder.path().join("cib.toml"), "memry = 1\n").unwrap();
    let looked = cib(&["-C", place, "doctor"]);
    let said = String::from_utf8(looked.stdout).unwrap();
    assert!(said.contains("`memory`"), "{said}");
}

#[test]
fn a_wrong_word_ends_with_2_and_no_engine_with_69_in_either_form() {
    assert_eq!(code(&["sart"]), 2);
    assert_eq!(code(&["start", "--nothing"]), 2);
    assert_eq!(code(&["man", "nothing"]), 2);
    let none = cib(&["list", "--json", "--engine", "/nonexistent/docker.sock"]);
    assert_eq!(none.status.code(), Some(69));
    let body: serde_json::Value = serde_json::from_slice(&none.stdout).unwrap();
    assert_eq!(body["exit"], 69);
    assert!(
        body["error"]
            .as_str()
            .unwrap()
            .contains("/nonexistent/docker.sock")
            || body["error"].as_str().unwrap().contains("--engine")
    );
}

#[test]
fn the_configuration_is_told_with_where_each_value_stands() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("cib.toml"),
        "memory = \"2g\"\n[environment]\nTOKEN = \"of the test\"\n",
    )
    .unwrap();
    let place = folder.path().to_str().unwrap();
    let told = said(&["-C", place, "config", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["memory"]["value"], "2g");
    assert!(
        told["memory"]["origin"]
            .as_str()
            .unwrap()
            .ends_with("cib.toml")
    );
    assert_eq!(told["buildImage"]["origin"], "default");
    assert!(
        !told.to_string().contains("of the test"),
        "a variable's value is shown"
    );
    std::fs::write(folder.path().join("cib.toml"), "\n\nmemry = 1\n").unwrap();
    let wrong = cib(&["-C", place, "config", "check"]);
    assert_eq!(wrong.status.code(), Some(78));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        said.contains("cib.toml:3") && said.contains("`memory`"),
        "{said}"
    );
}
