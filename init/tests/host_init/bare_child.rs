//! What the bare init hands to its command, and what it keeps.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, poll};

use crate::support::{
    INIT, Namespace, children, eventually, field_of, finish, run, status_field, unshare,
};

/// Blocks and ignores signals of every kind before it executes the rest.
const PREPARED: &str = "use POSIX; \
    POSIX::sigprocmask(SIG_BLOCK, POSIX::SigSet->new(10, 15, 20, 21, 22, 35, 64)); \
    $SIG{PIPE} = $SIG{HUP} = $SIG{TTIN} = $SIG{CHLD} = 'IGNORE'; exec @ARGV";

#[test]
fn mask_and_dispositions_are_exactly_those_that_init_was_given() {
    let state = |words: &[&str]| {
        let mut command = unshare();
        command.args(["perl", "-e", PREPARED]).args(words);
        let ended = finish(command);
        ["SigBlk", "SigIgn", "SigCgt"].map(|field| field_of(&ended.stdout, field).unwrap())
    };
    let direct = state(&["cat", "/proc/self/status"]);
    let through = state(&[INIT, "cat", "/proc/self/status"]);
    assert_eq!(through, direct);
    assert_ne!(direct[0], "0000000000000000", "the test blocked something");
}

#[test]
fn nothing_is_blocked_or_ignored_where_nothing_was() {
    let ended = run(&["cat", "/proc/self/status"]);
    let word = |field| u64::from_str_radix(&field_of(&ended.stdout, field).unwrap(), 16).unwrap();
    assert_eq!(word("SigBlk"), 0);
    // 32 and 33 are the C library's own, which `env` cannot reset; whoever started the tests
    // may have left them ignored.
    assert_eq!(word("SigIgn") & !0x1_8000_0000, 0);
}

/// Executes the rest with two descriptors more than it was given.
const PASSING: [&str; 4] = [
    "bash",
    "-c",
    "exec 5</etc/hostname 9</etc/hostname; exec \"$@\"",
    "-",
];

#[test]
fn a_passed_descriptor_reaches_the_command_and_none_of_ours_does() {
    let seen = |words: &[&str]| {
        let mut command = unshare();
        command.args(PASSING).args(words);
        finish(command).stdout.clone()
    };
    let direct = seen(&["ls", "/proc/self/fd"]);
    assert!(direct.contains("5\n") && direct.contains("9\n"), "{direct}");
    assert_eq!(seen(&[INIT, "ls", "/proc/self/fd"]), direct);
}

#[test]
fn a_passed_descriptor_is_not_held() {
    let mut command = unshare();
    command.args(PASSING).args([INIT, "sleep", "60"]);
    let namespace = Namespace::spawn(command);
    eventually("standard error alone is held", || {
        let dir = std::fs::read_dir(format!("/proc/{}/fd", namespace.pid)).ok()?;
        let held: Vec<_> = dir.flatten().map(|entry| entry.file_name()).collect();
        (held == ["2"]).then_some(())
    });
}

#[test]
fn a_pipe_that_the_command_closes_ends_for_its_reader() {
    // Not as PID 1: `unshare` would hold the pipe as well.
    let mut command = std::process::Command::new(INIT);
    command.args(["sh", "-c", "exec >&-; exec sleep 60"]);
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer).stdin(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut ends = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ends, 20_000_u16).unwrap(), 1);
    crate::support::signal(child.id().cast_signed(), libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn init_sits_in_the_root_and_the_command_where_init_was() {
    let mut command = unshare();
    command
        .current_dir("/usr/share")
        .arg(INIT)
        .args(["sh", "-c", "pwd; exec sleep 60"]);
    let mut namespace = Namespace::spawn(command);
    assert_eq!(namespace.line(), "/usr/share");
    let sits = || std::fs::read_link(format!("/proc/{}/cwd", namespace.pid)).unwrap();
    eventually("init is in /", || (sits().as_os_str() == "/").then_some(()));
}

#[test]
fn listen_pid_names_the_command_if_it_named_init() {
    let mut command = unshare();
    command
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDS", "1")
        .arg(INIT);
    command.args(["sh", "-c", "echo $LISTEN_PID $$ $LISTEN_FDS"]);
    let words: Vec<String> = finish(command)
        .stdout
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(words[0], words[1]);
    assert_ne!(words[0], "1");
    assert_eq!(words[2], "1");

    let mut command = unshare();
    command
        .env("LISTEN_PID", "4242")
        .arg(INIT)
        .args(["printenv", "LISTEN_PID"]);
    assert_eq!(finish(command).stdout, "4242\n", "not meant for init");
}

#[test]
fn environment_and_arguments_arrive_unchanged() {
    let mut command = unshare();
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("ODD", "a=b \n\t")
        .env("EMPTY", "");
    command.arg(INIT).args([
        "--",
        "perl",
        "-e",
        "print join('|', @ARGV), $ENV{ODD}, exists $ENV{EMPTY}",
        "",
        "a b",
        "--x",
    ]);
    assert_eq!(finish(command).stdout, "|a b|--xa=b \n\t1");
}

#[test]
fn the_command_leads_a_process_group_of_its_own() {
    let namespace = Namespace::start(&["sleep", "60"]);
    let child = eventually("the command", || {
        children(namespace.pid.cast_unsigned()).first().copied()
    });
    eventually("its group", || {
        let inner = status_field(child, "NSpgid")?;
        (inner == status_field(child, "NSpid")?).then_some(())
    });
}

#[test]
fn init_sleeps_without_a_single_wakeup() {
    let namespace = Namespace::start(&["sleep", "60"]);
    let switches = || status_field(namespace.pid, "voluntary_ctxt_switches").unwrap();
    eventually("init waits for signals", || {
        let wchan = std::fs::read_to_string(format!("/proc/{}/syscall", namespace.pid)).ok()?;
        wchan
            .starts_with(&libc::SYS_rt_sigtimedwait.to_string())
            .then_some(())
    });
    let before = switches();
    let (reader, _writer) = std::io::pipe().unwrap();
    // Nothing ever arrives: the observation itself takes this long.
    let mut ends = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ends, 3_000_u16).unwrap(), 0);
    assert_eq!(switches(), before);
}
