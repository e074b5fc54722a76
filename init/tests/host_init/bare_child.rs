//! What the bare init hands to its command, and what it keeps.

use std::os::fd::AsRawFd;

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
    for field in ["SigBlk", "SigIgn"] {
        assert_eq!(field_of(&ended.stdout, field).unwrap(), "0000000000000000");
    }
}

#[test]
fn a_passed_descriptor_reaches_the_command_and_is_not_held() {
    let mut command = unshare();
    command.args([
        "bash",
        "-c",
        "exec 5</etc/hostname 9</etc/hostname; exec \"$@\"",
        "-",
        INIT,
    ]);
    command.args(["sh", "-c", "ls /proc/self/fd; echo end; exec sleep 60"]);
    let mut namespace = Namespace::spawn(command);
    let mut seen = Vec::new();
    loop {
        match namespace.line().as_str() {
            "end" => break,
            fd => seen.push(fd.to_owned()),
        }
    }
    // 3 is the directory that `ls` reads.
    assert_eq!(seen, ["0", "1", "2", "3", "5", "9"]);
    let held: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", namespace.pid))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(held, ["2"], "standard error alone");
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
    let mut poll = [rustix::event::PollFd::new(
        &reader,
        rustix::event::PollFlags::IN,
    )];
    let limit = rustix::time::Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    assert_eq!(rustix::event::poll(&mut poll, Some(&limit)).unwrap(), 1);
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
    let mut poll = [rustix::event::PollFd::from_borrowed_fd(
        std::os::fd::AsFd::as_fd(&reader),
        rustix::event::PollFlags::IN,
    )];
    assert!(reader.as_raw_fd() > 0);
    // Nothing ever arrives: the observation itself takes this long.
    let span = rustix::time::Timespec {
        tv_sec: 3,
        tv_nsec: 0,
    };
    assert_eq!(rustix::event::poll(&mut poll, Some(&span)).unwrap(), 0);
    assert_eq!(switches(), before);
}
