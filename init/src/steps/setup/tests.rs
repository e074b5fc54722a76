//! Order, time limits, markers and the policy on failure, without running anything.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::exit::Exit;

/// Remembers what ran, and answers for commands by their last word.
#[derive(Default)]
struct Recorder {
    ran: RefCell<Vec<String>>,
}

impl Runner for Recorder {
    async fn run(&self, job: &Job, _limit: Duration) -> Ended {
        self.ran.borrow_mut().push(job.command.join(" "));
        match job.command.last().map(String::as_str) {
            Some("fail") => Ended::Exit(Exit::Code(3)),
            Some("hang") => Ended::TooLong,
            Some("gone") => Ended::NotStarted("no such file".to_owned()),
            _ => Ended::Exit(Exit::Code(0)),
        }
    }
}

fn settings(commands: &[&str]) -> SetupSettings {
    SetupSettings {
        commands: commands
            .iter()
            .map(|command| (*command).to_owned())
            .collect(),
        file: None,
        run: SetupRun::Always,
        on_failure: OnSetupFailure::Stop,
        await_copy: false,
        timeout: Duration::from_secs(5),
    }
}

fn carry_out(root: &Path, settings: &SetupSettings) -> (Vec<String>, Result<Outcome, SetupError>) {
    let paths = Paths::below(root, "/data".into());
    fs::create_dir_all(root.join("data")).unwrap();
    let (jobs, _) = jobs(settings, &paths).unwrap();
    let recorder = Recorder::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let result = runtime.block_on(run(&jobs, settings, &paths, &recorder));
    (recorder.ran.into_inner(), result)
}

fn script(path: &Path, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "echo\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_images_scripts_come_first_then_the_file_then_the_commands() {
    let root = tempfile::tempdir().unwrap();
    let setup = root.path().join("etc/claude-in-box/setup.d");
    script(&setup.join("20-b"), 0o755);
    script(&setup.join("10-a"), 0o755);
    script(&setup.join("30-c"), 0o644);
    script(&root.path().join("mnt/setup.sh"), 0o644);
    let settings = SetupSettings {
        file: Some("/mnt/setup.sh".into()),
        ..settings(&["x", "y"])
    };
    let (ran, result) = carry_out(root.path(), &settings);
    assert_eq!(
        ran,
        [
            "/etc/claude-in-box/setup.d/10-a",
            "/etc/claude-in-box/setup.d/20-b",
            "bash /mnt/setup.sh",
            "bash -c x",
            "bash -c y",
        ]
    );
    assert_eq!(result.unwrap().changes.len(), 5);
    let paths = Paths::below(root.path(), "/data".into());
    let warnings = jobs(&settings, &paths).unwrap().1.warnings;
    assert_eq!(
        warnings,
        ["/etc/claude-in-box/setup.d/30-c is not executable, and was not run"]
    );
}

#[test]
fn a_failure_stops_with_where_how_and_what_to_do_and_never_with_the_command() {
    let root = tempfile::tempdir().unwrap();
    for (command, how) in [
        ("s3cr3t fail", None),
        ("fail", Some("ended with exit 3")),
        (
            "hang",
            Some("was still running after 5 s (CIB_SETUP_TIMEOUT)"),
        ),
        ("gone", Some("could not be started: no such file")),
    ] {
        let (ran, result) = carry_out(root.path(), &settings(&["ok", command, "after"]));
        let Some(how) = how else {
            assert_eq!(ran.len(), 3);
            continue;
        };
        let shown = result.unwrap_err().to_string();
        assert_eq!(ran.len(), 2, "what comes after a failure does not run");
        assert!(
            shown.starts_with("CIB_SETUP_COMMANDS, command 2 ") && shown.contains(how),
            "{shown}"
        );
        assert!(shown.contains("CIB_SETUP_ON_FAILURE=continue"));
    }
}

#[test]
fn a_failure_is_a_warning_where_setup_is_to_continue() {
    let root = tempfile::tempdir().unwrap();
    let settings = SetupSettings {
        on_failure: OnSetupFailure::Continue,
        ..settings(&["fail", "hang", "ok"])
    };
    let (ran, result) = carry_out(root.path(), &settings);
    assert_eq!(ran.len(), 3);
    assert_eq!(result.unwrap().warnings.len(), 2);
}

#[test]
fn once_means_once_for_each_volume_and_text_and_only_after_success() {
    let root = tempfile::tempdir().unwrap();
    let once = |commands| SetupSettings {
        run: SetupRun::Once,
        on_failure: OnSetupFailure::Continue,
        ..settings(commands)
    };
    assert_eq!(
        carry_out(root.path(), &once(&["a", "fail"])).0,
        ["bash -c a", "bash -c fail"]
    );
    assert_eq!(
        carry_out(root.path(), &once(&["a", "fail"])).0,
        ["bash -c fail"]
    );
    assert_eq!(carry_out(root.path(), &once(&["b", "a"])).0, ["bash -c b"]);
    fs::remove_dir_all(root.path().join("data")).unwrap();
    assert_eq!(carry_out(root.path(), &once(&["a"])).0, ["bash -c a"]);
}

#[test]
fn a_file_that_is_not_there_is_an_error_before_anything_ran() {
    let root = tempfile::tempdir().unwrap();
    let settings = SetupSettings {
        file: Some("/nowhere".into()),
        ..settings(&[])
    };
    let error = jobs(&settings, &Paths::below(root.path(), "/data".into())).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nowhere");
}
