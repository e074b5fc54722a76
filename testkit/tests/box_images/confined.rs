//! However the engine confines the box, it starts, or refuses with a line that names what is
//! missing and the remedy.

use std::time::Duration;

use cib_testkit::engine::{Container, Engine, Spec};
use cib_testkit::lab::TOKEN;

const BOOT: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(10);
const DATA: &str = "/var/lib/claude-in-box";

fn a_box() -> Spec {
    Engine::get().a_box().env("CIB_AUTH_TOKEN", TOKEN)
}

/// The box becomes healthy, and ends when it is asked to.
#[track_caller]
fn works(spec: Spec) -> Container {
    let cage = spec.start();
    cage.wait_healthy(BOOT);
    cage
}

#[track_caller]
fn ends(cage: &Container) {
    cage.stop(STOP);
    let log = cage.logs();
    assert_eq!(cage.wait_exit(STOP), 0, "{log}");
}

/// The box refuses, in one line for each of these, and changes nothing.
#[track_caller]
fn refuses(spec: Spec, lines: &[&[&str]]) {
    let cage = spec.start();
    let code = cage.wait_exit(BOOT);
    let log = cage.logs();
    assert_eq!(code, 78, "{log}");
    for words in lines {
        let told = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(log.lines().any(told), "no line says {words:?}:\n{log}");
    }
    // And one that says that nothing was touched.
    assert_eq!(log.lines().count(), lines.len() + 1, "{log}");
}

#[test]
fn with_a_read_only_root_it_needs_run_and_its_data_and_no_more() {
    let read_only = || a_box().option("--read-only", "--tmpfs=/tmp");
    let cage = works(read_only().tmpfs("/run").volume(DATA));
    ends(&cage);
    refuses(
        read_only(),
        &[
            &["/run/cib cannot be written to", "--tmpfs /run"],
            &[
                "/var/lib/claude-in-box cannot be written to",
                "mount a volume",
            ],
        ],
    );
}

#[test]
fn root_without_capabilities_is_refused_and_with_the_six_that_are_named_it_works() {
    let dropped = || a_box().option("--cap-drop", "ALL");
    let named = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "KILL",
        "SETGID",
        "SETUID",
    ];
    let mut words = vec!["root lacks the capabilities", "--user 1000:1000"];
    words.extend(named);
    refuses(dropped(), &[&words]);
    let cage = works(named.into_iter().fold(dropped(), Spec::cap));
    ends(&cage);
}

#[test]
fn as_coder_without_a_capability_it_works_where_it_may_write() {
    let own = |path: &str| format!("{path}:uid=1000,gid=1000,mode=0755");
    let confined = a_box()
        .option("--user", "1000:1000")
        .option("--cap-drop", "ALL")
        .option("--security-opt", "no-new-privileges")
        .option("--read-only", "--tmpfs=/tmp")
        .tmpfs(&own("/run"))
        .tmpfs(&own(DATA));
    let cage = works(confined);
    let users = cage.exec_as(
        "coder",
        &["sh", "-c", "cat /proc/[0-9]*/status | grep ^Uid: | sort -u"],
    );
    assert_eq!(users.stdout.trim(), "Uid:\t1000\t1000\t1000\t1000");
    ends(&cage);
}

#[test]
fn another_user_is_told_where_it_may_not_write() {
    refuses(
        a_box().option("--user", "12345:12345"),
        &[
            &["/run/cib cannot be written to", "uid 12345"],
            &["/var/lib/claude-in-box cannot be written to", "uid 12345"],
        ],
    );
}

#[test]
fn under_dockers_own_init_it_says_so_and_works() {
    let cage = works(a_box().option("--init", "--security-opt=no-new-privileges"));
    assert_eq!(cage.logs().matches("not PID 1").count(), 1);
    ends(&cage);
}
