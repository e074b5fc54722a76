//! The bare init ends as its command did.

use std::process::Command;

use crate::support::{INIT, finish, run, unshare};

#[test]
fn the_exit_code_is_the_commands() {
    for code in [0, 1, 2, 42, 126, 127, 128, 143, 255] {
        assert_eq!(run(&["sh", "-c", &format!("exit {code}")]).code(), code);
    }
}

#[test]
fn a_command_that_a_signal_ended_is_128_and_the_signal() {
    for signal in [1, 2, 3, 6, 9, 11, 15, 34, 64] {
        let ended = run(&["perl", "-e", &format!("kill {signal}, $$")]);
        assert_eq!(ended.code(), 128 + signal);
    }
}

#[test]
fn a_command_that_does_not_exist_is_127_and_named() {
    for name in ["no-such-command", "/nonexistent/x", "/etc/passwd/x"] {
        let ended = run(&[name]);
        assert_eq!(ended.code(), 127);
        assert_eq!(ended.stderr, format!("cib-init: {name}: no such command\n"));
    }
}

#[test]
fn a_file_that_is_not_executable_is_126_and_named() {
    for name in ["/etc/passwd", "/etc"] {
        let ended = run(&[name]);
        assert_eq!(ended.code(), 126);
        assert_eq!(ended.stderr, format!("cib-init: {name}: not executable\n"));
    }
}

#[test]
fn a_script_without_an_interpreter_line_runs() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "exit 7\n").unwrap();
    let mut chmod = Command::new("chmod");
    chmod.arg("755").arg(&script);
    assert_eq!(finish(chmod).code(), 0);
    let script = script.to_str().unwrap();
    assert_eq!(run(&[script]).code(), 7);
    // The C library copies their addresses to the stack that it has.
    let many = [&[script][..], &["x"; 100_000]].concat();
    assert_eq!(run(&many).code(), 7);
}

#[test]
fn remapped_codes_become_0() {
    assert_eq!(run(&["-e", "143", "bash", "-c", "kill $$"]).code(), 0);
    assert_eq!(
        run(&["--remap-exit=3", "-e", "4", "sh", "-c", "exit 4"]).code(),
        0
    );
    assert_eq!(run(&["-e", "3", "sh", "-c", "exit 4"]).code(), 4);
}

#[test]
fn no_command_is_an_error_with_usage() {
    for arguments in [&[][..], &["-g"], &["--"], &["--nonsense", "true"]] {
        let ended = run(arguments);
        assert_eq!(ended.code(), 64, "{arguments:?}");
        assert!(ended.stderr.contains("usage: cib-init"), "{}", ended.stderr);
    }
}

#[test]
fn help_and_version_are_printed_to_standard_output() {
    assert!(run(&["--help"]).stdout.contains("--rewrite FROM:TO"));
    assert_eq!(
        run(&["--version"]).stdout,
        format!("cib-init {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn two_dashes_make_a_command_of_a_subcommands_name() {
    let ended = run(&["--", "status"]);
    assert_eq!(ended.code(), 127, "{}", ended.stderr);
}

#[test]
fn called_as_init_every_word_is_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("init");
    std::os::unix::fs::symlink(INIT, &link).unwrap();
    let mut command = unshare();
    command.arg(&link).arg("status");
    assert_eq!(finish(command).code(), 127);
}

#[test]
fn a_main_child_that_dies_in_a_storm_of_orphans_keeps_its_status() {
    let storm = "for (1..2000) { if (!fork) { if (!fork) { exit 0 } exit 0 } } exit 42";
    for _ in 0..5 {
        assert_eq!(run(&["perl", "-e", storm]).code(), 42);
    }
}

#[test]
fn an_ignored_sigchld_does_not_cost_the_status() {
    let mut command = unshare();
    command.args([
        "perl",
        "-e",
        "$SIG{CHLD} = 'IGNORE'; exec @ARGV",
        INIT,
        "sh",
        "-c",
        "exit 9",
    ]);
    assert_eq!(finish(command).code(), 9);
}

#[test]
fn it_says_nothing_unless_it_is_asked() {
    let orphans = "(sleep 0.1 &) & exit 3";
    let quiet = run(&["bash", "-c", orphans]);
    assert_eq!((quiet.code(), quiet.stderr.as_str()), (3, ""));
    let mut command = Command::new(INIT);
    command.args(["bash", "-c", orphans]);
    let quiet = finish(command);
    assert_eq!((quiet.code(), quiet.stderr.as_str()), (3, ""));
    // It outlives who started it, and then none is left but init and the shell.
    let gone = "(sleep 0.3 &); until set -- /proc/[0-9]*; [ $# = 2 ]; do :; done; exit 3";
    let asked = run(&["-w", "bash", "-c", gone]);
    assert_eq!(asked.code(), 3);
    assert!(
        asked.stderr.contains("cib-init: reaped orphan "),
        "{asked:?}"
    );
}

#[test]
fn the_licence_is_printed_if_asked() {
    assert!(run(&["-l"]).stdout.starts_with("MIT License"));
}
