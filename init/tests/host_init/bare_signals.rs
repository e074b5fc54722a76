//! The bare init passes signals on.

use std::time::{Duration, Instant};

use crate::support::{INIT, Namespace, finish, unshare};

/// Says `ready`, then the number of every signal that it gets, and ends at the one given.
fn witness(last: i32) -> String {
    format!(
        "use POSIX; $| = 1; \
         for my $n (1..64) {{ next if $n == 9 || $n == 19 || $n == 32 || $n == 33; \
           POSIX::sigaction($n, POSIX::SigAction->new(sub {{ syswrite STDOUT, \"$n\\n\"; exit 5 if $n == {last} }})) }} \
         syswrite STDOUT, \"ready\\n\"; sleep 1 while 1"
    )
}

#[test]
fn every_signal_is_passed_on_but_chld_and_the_kernels_faults() {
    let mut namespace = Namespace::start(&["perl", "-e", &witness(64)]);
    assert_eq!(namespace.line(), "ready");
    let kept = [
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGSEGV,
        libc::SIGSYS,
        libc::SIGCHLD,
    ];
    for number in (1..=64).filter(|n| ![9, 19, 32, 33].contains(n)) {
        if kept.contains(&number) {
            namespace.signal(number);
        } else {
            namespace.signal(number);
            assert_eq!(namespace.line(), number.to_string());
        }
    }
    let ended = namespace.wait();
    assert_eq!(ended.stdout, "", "nothing twice, and nothing that is kept");
    assert_eq!(ended.code(), 5);
}

#[test]
fn a_stopped_command_is_continued() {
    let mut namespace = Namespace::start(&["bash", "-c", "echo ready; kill -STOP $$; exit 3"]);
    assert_eq!(namespace.line(), "ready");
    let child = crate::support::children(namespace.pid.cast_unsigned())[0];
    crate::support::eventually("it stops", || {
        crate::support::status_field(child, "State")?
            .starts_with('T')
            .then_some(())
    });
    namespace.signal(libc::SIGCONT);
    assert_eq!(namespace.wait().code(), 3);
}

#[test]
fn rewritten_signals_arrive_as_others_and_dropped_ones_do_not() {
    let mut namespace = Namespace::start(&[
        "--rewrite",
        "TERM:USR1",
        "-r",
        "HUP:0",
        "-r",
        "RTMIN+1:40",
        "perl",
        "-e",
        &witness(2),
    ]);
    assert_eq!(namespace.line(), "ready");
    namespace.signal(libc::SIGHUP);
    namespace.signal(libc::SIGTERM);
    assert_eq!(namespace.line(), libc::SIGUSR1.to_string());
    namespace.signal(35);
    assert_eq!(namespace.line(), "40");
    namespace.signal(libc::SIGINT);
    assert_eq!(namespace.line(), "2");
    assert_eq!(namespace.wait().code(), 5);
}

#[test]
fn each_signal_that_is_sent_is_said_if_asked() {
    let mut namespace = Namespace::start(&[
        "-v",
        "-r",
        "HUP:RTMIN+2",
        "-r",
        "INT:0",
        "perl",
        "-e",
        &witness(15),
    ]);
    assert_eq!(namespace.line(), "ready");
    for signal in [libc::SIGINT, libc::SIGHUP] {
        namespace.signal(signal);
    }
    assert_eq!(namespace.line(), "36");
    namespace.signal(libc::SIGTERM);
    let said = namespace.wait().stderr.clone();
    let lines: Vec<&str> = said.lines().collect();
    let [first, second] = lines[..] else {
        panic!("{said}");
    };
    assert!(first.starts_with("cib-init: sent RTMIN+2 to "), "{said}");
    assert!(second.starts_with("cib-init: sent TERM to "), "{said}");
}

#[test]
fn the_group_hears_signals_if_asked_and_else_the_command_alone() {
    let family = "$| = 1; my $name = fork ? 'parent' : 'child'; \
        $SIG{USR1} = sub { syswrite STDOUT, \"$name\\n\" }; $SIG{TERM} = sub { exit 0 }; \
        syswrite STDOUT, \"ready\\n\"; sleep 1 while 1";
    for (options, expected) in [
        (&["-g"][..], vec!["child", "parent"]),
        (&["-c"], vec!["parent"]),
    ] {
        let mut arguments = options.to_vec();
        arguments.extend(["perl", "-e", family]);
        let mut namespace = Namespace::start(&arguments);
        assert_eq!([namespace.line(), namespace.line()], ["ready", "ready"]);
        namespace.signal(libc::SIGUSR1);
        let mut heard: Vec<String> = expected.iter().map(|_| namespace.line()).collect();
        heard.sort();
        assert_eq!(heard, expected);
        namespace.signal(libc::SIGTERM);
        assert_eq!(namespace.wait().stdout, "");
    }
}

#[test]
fn a_signal_that_came_before_init_began_is_not_lost() {
    // TERM is pending when init is executed: it must neither act on init nor vanish.
    let before = "use POSIX; POSIX::sigprocmask(SIG_BLOCK, POSIX::SigSet->new(15)); \
        kill 15, $$; exec @ARGV";
    let command_line = "use POSIX; $SIG{TERM} = sub { exit 6 }; \
        POSIX::sigprocmask(SIG_UNBLOCK, POSIX::SigSet->new(15)); sleep 20; exit 1";
    let mut command = unshare();
    command.args(["perl", "-e", before, INIT, "perl", "-e", command_line]);
    assert_eq!(finish(command).code(), 6);
}

#[test]
fn a_storm_of_orphans_does_not_hold_up_a_signal() {
    let storm = "$| = 1; $SIG{TERM} = sub { exit 11 }; print \"ready\\n\"; \
        while (1) { if (!fork) { if (!fork) { exit } exit } wait }";
    let mut namespace = Namespace::start(&["perl", "-e", storm]);
    assert_eq!(namespace.line(), "ready");
    let asked = Instant::now();
    namespace.signal(libc::SIGTERM);
    assert_eq!(namespace.wait().code(), 11);
    // Not for as long as it rages, which is without an end.
    assert!(asked.elapsed() < Duration::from_secs(20));
}

#[test]
fn every_signal_is_blocked_before_anything_else_is_done() {
    let mut command = std::process::Command::new("strace");
    command.args(["-f", INIT, "true"]);
    let ended = finish(command);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let calls: Vec<&str> = ended.stderr.lines().collect();
    // The C library keeps 32 and 33 for itself.
    let blocks =
        |call: &&str| call.starts_with("rt_sigprocmask(SIG_SETMASK, ~[RTMIN RT_1], [], 8)");
    let place = calls.iter().position(blocks);
    // What the program is for: to see who it is, to ask for orphans, to start the command.
    let own = [
        "getpid(",
        "prctl(PR_SET_CHILD_SUBREAPER",
        "clone",
        "fork(",
        "vfork(",
    ];
    let first = calls
        .iter()
        .position(|call| own.iter().any(|begin| call.starts_with(begin)));
    assert!(
        place.is_some() && first.is_some() && place < first,
        "{}",
        ended.stderr
    );
}

#[test]
fn what_tini_and_dumb_init_take_is_taken() {
    let family = "$| = 1; $SIG{QUIT} = sub { exit 0 }; my $n = fork ? 'parent' : 'child'; \
        $SIG{USR1} = sub { syswrite STDOUT, \"$n\\n\" }; syswrite STDOUT, \"ready\\n\"; sleep 1 while 1";
    let variables = [("TINI_KILL_PROCESS_GROUP", "1"), ("DUMB_INIT_SETSID", "1")];
    for (name, value) in variables {
        let mut command = unshare();
        command.env(name, value).arg(INIT);
        command.args(["-s", "--rewrite", "15:3", "--", "perl", "-e", family]);
        let mut namespace = Namespace::spawn(command);
        assert_eq!([namespace.line(), namespace.line()], ["ready", "ready"]);
        namespace.signal(libc::SIGUSR1);
        let mut heard = [namespace.line(), namespace.line()];
        heard.sort();
        assert_eq!(heard, ["child", "parent"], "{name}");
        namespace.signal(libc::SIGTERM);
        assert_eq!(namespace.wait().code(), 0);
    }
}
