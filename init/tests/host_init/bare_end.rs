//! The bare init leaves nobody behind.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{INIT, Namespace, children, eventually, finish, run, status_field};

/// A shell that starts something in a session of its own, waits until that writes a line to its
/// descriptor 9, and ends with this code.
fn leaves(what: &str, code: i32) -> String {
    format!(
        "pipe=$(mktemp -u); mkfifo $pipe; exec 9<>$pipe; rm $pipe; \
         setsid {what} & read <&9; exit {code}"
    )
}

/// A daemon that needs a while to end, and says so.
const DAEMON: &str = "bash -c 'trap \"sleep 0.4; echo cleaned up; exit\" TERM; echo up; echo >&9; \
    while :; do sleep 0.05; done'";

#[test]
fn descendants_are_asked_and_awaited() {
    let asked = Instant::now();
    // Much longer than the daemon takes.
    let ended = run(&["--grace", "50", "bash", "-c", &leaves(DAEMON, 3)]);
    assert_eq!(ended.code(), 3);
    assert_eq!(ended.stdout, "up\ncleaned up\n");
    assert!(asked.elapsed() < Duration::from_secs(40), "no fixed sleep");
}

#[test]
fn who_does_not_listen_is_killed_when_the_grace_is_over() {
    let stubborn = "bash -c 'trap \"\" TERM; echo up; echo >&9; while :; do sleep 1; done'";
    let started = Instant::now();
    let ended = run(&["--grace", "1", "bash", "-c", &leaves(stubborn, 4)]);
    let took = started.elapsed();
    assert_eq!(ended.code(), 4);
    assert!(took >= Duration::from_millis(1000), "{took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_second_term_ends_the_grace() {
    let stubborn = "(trap '' TERM; echo up; while :; do sleep 1; done) & exec sleep 60";
    let mut namespace = Namespace::start(&["--grace", "600", "bash", "-c", stubborn]);
    assert_eq!(namespace.line(), "up");
    let main = children(namespace.pid.cast_unsigned())[0];
    eventually("the shell has become sleep", || {
        let name = status_field(main, "Name")?;
        (name == "sleep").then_some(())
    });
    namespace.signal(libc::SIGTERM);
    eventually("the command is gone", || {
        (!std::path::Path::new(&format!("/proc/{main}")).exists()).then_some(())
    });
    namespace.signal(libc::SIGTERM);
    assert_eq!(namespace.wait().code(), 143);
}

#[test]
fn descendants_hear_term_before_cont() {
    // Handlers that run in the middle of whatever is going on, as a C program's do: of two
    // signals that arrive together the second one's would run first.
    let order = "use POSIX; $| = 1; my $cont; \
        sub on { my ($number, $do) = @_; \
            POSIX::sigaction($number, POSIX::SigAction->new($do, POSIX::SigSet->new)) } \
        on(SIGTERM, sub { syswrite STDOUT, \"TERM\\n\" }); \
        on(SIGCONT, sub { syswrite STDOUT, \"CONT\\n\"; $cont = 1 }); \
        syswrite STDOUT, \"up\\n\"; open my $nine, \">&=9\"; syswrite $nine, \"\\n\"; \
        select(undef, undef, undef, 5) until $cont;";
    let command = leaves(&format!("perl -e '{order}'"), 0);
    let ended = run(&["bash", "-c", &command]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!(ended.stdout, "up\nTERM\nCONT\n");
}

#[test]
fn a_stopped_descendant_is_woken_to_end() {
    let stopped =
        "(kill -STOP $BASHPID) & until grep -q '^State:.T' /proc/$!/status; do :; done; exit 0";
    let started = Instant::now();
    assert_eq!(run(&["--grace", "30", "bash", "-c", stopped]).code(), 0);
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn ten_thousand_orphans_are_reaped() {
    let storm = "for (1..10000) { if (!fork) { exit 0 if fork; exit 0 } wait } \
        $| = 1; print \"done\\n\"; sleep 60";
    let mut namespace = Namespace::start(&["perl", "-e", storm]);
    assert_eq!(namespace.line(), "done");
    let pid = namespace.pid.cast_unsigned();
    eventually("only the command is left", || {
        (children(pid).len() == 1).then_some(())
    });
}

#[test]
fn orphans_that_die_at_once_are_reaped() {
    let storm = "pipe(my $r, my $w); for (1..1000) { if (!fork) { if (!fork) { close $w; <$r>; exit 0 } \
        exit 0 } wait } $| = 1; close $w; print \"done\\n\"; sleep 60";
    let mut namespace = Namespace::start(&["perl", "-e", storm]);
    assert_eq!(namespace.line(), "done");
    let pid = namespace.pid.cast_unsigned();
    eventually("only the command is left", || {
        (children(pid).len() == 1).then_some(())
    });
}

#[test]
fn under_another_init_it_is_a_subreaper_says_so_if_asked_and_leaves_nobody_behind() {
    let marker = format!("cib-init-test-{}", std::process::id());
    let daemon = format!(
        "setsid bash -c 'exec -a {marker} sleep 300' & \
         until grep -q {marker} /proc/$!/cmdline; do :; done; exit 8"
    );
    for (options, lines) in [(&[][..], 0), (&["-v"], 1)] {
        let mut command = Command::new(INIT);
        command.args(options).args(["bash", "-c", &daemon]);
        let ended = finish(command);
        assert_eq!(ended.code(), 8);
        let said = &ended.stderr;
        assert_eq!(said.matches("subreaper").count(), lines, "{said}");
        assert_eq!(said.lines().count(), lines, "{said}");
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let is_left = line.starts_with(marker.as_bytes());
            assert!(!is_left, "{:?} lives", entry.path());
        }
    }
}

#[test]
fn as_a_subreaper_it_kills_who_does_not_listen() {
    let stubborn = "bash -c 'trap \"\" TERM; echo $$; echo >&9; while :; do sleep 1; done'";
    let mut command = Command::new(INIT);
    command.args(["--grace", "0.5", "bash", "-c", &leaves(stubborn, 4)]);
    let ended = finish(command);
    assert_eq!(ended.code(), 4);
    let pid = ended.stdout.trim();
    assert!(!pid.is_empty() && !std::path::Path::new(&format!("/proc/{pid}")).exists());
}
