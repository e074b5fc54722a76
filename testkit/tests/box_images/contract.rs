//! The image's runtime contract: however a person is used to starting containers, the box
//! starts, Claude works in it, and it ends in order.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cib_testkit::client::{BoxClient, Frame, said};
use cib_testkit::engine::{Container, Engine, Network, Spec};

const BOOT: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_secs(60);
/// What Docker gives a container by default before it kills it.
const GRACE: Duration = Duration::from_secs(10);
const TOKEN: &str = "contract-token-0123456789";
/// The exit code of a configuration that is wrong.
const CONFIG: i32 = 78;

fn a_box() -> Spec {
    Engine::get().a_box().env("CIB_AUTH_TOKEN", TOKEN)
}

/// Starts the box beside a stand-in for the Messages API, has Claude run a command in it, and
/// ends it. Returns what its log holds.
fn works(spec: Spec) -> String {
    let network = Network::private(Engine::get());
    let api = Engine::get()
        .kit("api")
        .on(&network, 2)
        .arguments(["api", "--listen", "0.0.0.0:8000"])
        .start();
    api.wait_for_log(BOOT, "listening on 0.0.0.0:8000");
    let cage = spec
        .on(&network, 3)
        .env(
            "ANTHROPIC_BASE_URL",
            &format!("http://{}:8000", network.addr(2)),
        )
        .env("ANTHROPIC_API_KEY", "sk-ant-contract")
        .publish(8080)
        .start();
    cage.wait_healthy(BOOT);
    takes_a_turn(&cage);
    ends_in_order(&cage)
}

fn takes_a_turn(cage: &Container) {
    let address: SocketAddr = cage.published(8080).parse().unwrap();
    let client = BoxClient::new(address, Some(TOKEN.into()));
    let session = client.open(
        "Keep a word.\n@bash echo kept > /workspace/word && cat /workspace/word\n@text It is kept.",
    );
    let frames = client
        .events(&session, 0)
        .unwrap()
        .until(TURN, Frame::is_stop);
    assert_eq!(said(&frames), "It is kept.");
    let word = cage.exec_as("coder", &["cat", "/workspace/word"]);
    assert_eq!(word.stdout, "kept\n", "{}", word.stderr);
}

fn ends_in_order(cage: &Container) -> String {
    cage.stop(GRACE);
    let log = cage.logs();
    assert_eq!(cage.inspect("{{.State.ExitCode}}"), "0", "{log}");
    log
}

#[test]
fn claude_works_where_the_root_file_system_is_read_only() {
    works(
        a_box()
            .flag("--read-only")
            .tmpfs("/run")
            .tmpfs("/tmp")
            .tmpfs("/home/coder:uid=1000,gid=1000")
            .volume("/var/lib/claude-in-box")
            .volume("/workspace"),
    );
}

#[test]
fn claude_works_for_a_user_without_any_capability() {
    works(
        a_box()
            .option("--user", "1000:1000")
            .option("--cap-drop", "ALL")
            .tmpfs("/run:uid=1000,gid=1000")
            .tmpfs("/var/lib/claude-in-box:uid=1000,gid=1000"),
    );
}

#[test]
fn claude_works_for_root_with_no_more_than_an_init_needs() {
    let needed = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "KILL",
        "SETGID",
        "SETUID",
    ];
    let none = a_box().option("--cap-drop", "ALL");
    works(
        needed
            .iter()
            .fold(none, |spec, capability| spec.cap(capability)),
    );
}

#[test]
fn claude_works_below_another_init() {
    let log = works(a_box().flag("--init"));
    assert!(log.contains("subreaper"), "{log}");
}

#[test]
fn a_box_without_a_network_starts_and_ends() {
    let cage = a_box().option("--network", "none").start();
    cage.wait_healthy(BOOT);
    ends_in_order(&cage);
}

#[test]
fn nothing_in_the_box_gives_a_right_to_whoever_runs_it() {
    let cage = a_box()
        .option("--entrypoint", "sleep")
        .arguments(["infinity"])
        .start();
    let special = cage.sh("find / -xdev -type f -perm /6000");
    assert_eq!(special, "", "setuid or setgid");
    let ways = "for way in sudo doas pkexec; do command -v $way || true; done";
    assert_eq!(cage.sh(ways), "");
}

/// A program in the place of one more version; it only tells its own.
fn another_version() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("claude");
    std::fs::write(&program, "#!/bin/sh\necho '2.1.112 (Claude Code)'\n").unwrap();
    for path in [folder.path(), &program] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    folder
}

#[test]
fn the_version_that_was_asked_for_is_what_runs_and_the_start_says_so() {
    let folder = another_version();
    let place = "/usr/local/lib/claude-code/2.1.112";
    let mount = format!("{}:{place}:ro", folder.path().display());
    for (asked, said) in [
        ("2.1.112", "Claude Code 2.1.112, as CIB_CLAUDE_VERSION says"),
        ("", "Claude Code 2."),
    ] {
        let cage = a_box()
            .volume(&mount)
            .env("CIB_CLAUDE_VERSION", asked)
            .start();
        cage.wait_healthy(BOOT);
        let log = cage.logs();
        assert!(log.contains(said), "{log}");
        let ran = cage.exec(&["cib-init", "exec", "claude", "--version"]);
        let own = cage.sh("cat /usr/local/lib/claude-code/default");
        let version = if asked.is_empty() { own.trim() } else { asked };
        let expected = format!("{version} (Claude Code)\n");
        assert_eq!(ran.stdout, expected, "{}", ran.stderr);
    }
}

#[test]
fn a_version_that_the_image_does_not_carry_is_refused_with_the_one_it_does() {
    let cage = a_box().env("CIB_CLAUDE_VERSION", "9.9.9").start();
    let code = cage.wait_exit(BOOT);
    let log = cage.logs();
    assert_eq!(code, CONFIG, "{log}");
    let told = log
        .lines()
        .find(|line| line.contains("CIB_CLAUDE_VERSION"))
        .unwrap_or_default();
    assert!(told.contains("does not carry 9.9.9 but 2."), "{log}");
}
