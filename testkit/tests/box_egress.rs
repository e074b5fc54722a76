//! What the way out can carry, and how soon it says that it cannot.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cib_testkit::engine::{Container, Spec};
use cib_testkit::lab::{Lab, PROGRAM, WORLD_NAME};
use cib_testkit::wait::wait_until;

const BOOT: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(120);
/// How soon a proxy that does not answer has to be known.
const KNOWN: Duration = Duration::from_secs(15);

/// A healthy box of `lab` with the kit's program in it.
fn booted(lab: &Lab, with: impl FnOnce(Spec) -> Spec) -> Container {
    let cage = with(lab.a_box()).create();
    cage.copy_from(&lab.client, "/usr/bin/cib-testkit", "/opt");
    cage.start_again();
    cage.wait_healthy(BOOT);
    cage
}

#[test]
fn a_thousand_kept_alive_connections_are_all_answered_under_dockers_usual_limit() {
    let lab = Lab::new();
    // Docker's usual hard limit is 524288; an engine that has less itself cannot give it.
    let hard: u32 = lab
        .client
        .sh("ulimit -H -n")
        .trim()
        .parse()
        .unwrap_or(524_288);
    let limit = format!("nofile=1024:{}", hard.min(524_288));
    let cage = booted(&lab, |spec| spec.option("--ulimit", &limit));
    let page = format!("{}:80", lab.world_addr());
    let hold = format!("ulimit -n 4096; exec {PROGRAM} hold --to {page} --count 1000 --go /tmp/go");
    let holding = Command::new("docker")
        .args(["exec", "--user", "coder", cage.name(), "sh", "-c", &hold])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let held = || lab.pages().iter().filter(|page| *page == "/held").count();
    wait_until(SOON, "a thousand answers", || held() == 1000);
    let page = format!("http://{}/one-more", lab.world_addr());
    let one_more = cage.exec_as("coder", &["curl", "-sS", "--max-time", "8", &page]);
    assert_eq!(one_more.stdout, "page /one-more\n", "{}", one_more.stderr);
    let _ = cage.sh("touch /tmp/go");
    let told = String::from_utf8_lossy(&holding.wait_with_output().unwrap().stdout).into_owned();
    assert_eq!(told, "holding 1000\nanswered again 1000\nclosed\n");
}

#[test]
fn two_hundred_of_two_hundred_names_are_found_with_glibc() {
    let lab = Lab::new();
    let cage = booted(&lab, |spec| spec);
    let look = format!(
        "for n in $(seq 200); do getent ahostsv4 n$n.{WORLD_NAME} | head -n 1; done | wc -l"
    );
    let found = cage.exec_as("coder", &["sh", "-c", &look]);
    assert_eq!(found.stdout.trim(), "200", "{}", found.stderr);
}

#[test]
fn a_name_has_no_ipv6_addresses_so_that_nothing_waits_for_them() {
    let lab = Lab::new();
    let cage = booted(&lab, |spec| spec);
    let look = [
        PROGRAM,
        "lookup",
        "--server",
        "1.1.1.1:53",
        "--v6",
        WORLD_NAME,
    ];
    let found = cage.exec_as("coder", &look);
    assert_eq!(
        (found.code, found.stdout.as_str()),
        (0, ""),
        "{}",
        found.stderr
    );
}

#[test]
fn a_proxy_that_swallows_everything_is_named_and_waiting_clients_are_let_go() {
    let lab = Lab::new();
    let cage = booted(&lab, |spec| spec);
    // A stopped process keeps its sockets: the kernel accepts, and nobody ever answers.
    let _ = lab.proxy.sh("for p in /proc/[0-9]*; do \
                  test \"$(cat $p/comm)\" != danted || kill -STOP ${p#/proc/}; done");
    let began = Instant::now();
    let page = format!("http://{}/waiting", lab.world_addr());
    let ran = cage.exec_as("coder", &["curl", "-sS", "--max-time", "60", &page]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(
        began.elapsed() < KNOWN,
        "the client was held for {:?}",
        began.elapsed()
    );
    cage.wait_for_log(KNOWN, "proxy unreachable");
    let began = Instant::now();
    let ran = cage.exec_as("coder", &["curl", "-sS", "--max-time", "60", &page]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(
        began.elapsed() < KNOWN,
        "a later client was held for {:?}",
        began.elapsed()
    );
    let _ = lab.proxy.sh("for p in /proc/[0-9]*; do \
                  test \"$(cat $p/comm)\" != danted || kill -CONT ${p#/proc/}; done");
    wait_until(KNOWN, "fetches to work again", || {
        cage.exec_as("coder", &["curl", "-sS", "--max-time", "5", &page])
            .code
            == 0
    });
}
