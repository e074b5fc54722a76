//! What the way out can carry, and how soon it says that it cannot.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cib_testkit::client::{Frame, said};
use cib_testkit::engine::{Container, Engine, Network, Sniffer, Spec};
use cib_testkit::lab::{BOX, Lab, PROGRAM, PROXY_PASSWORD, PROXY_USER, WORLD_NAME};
use cib_testkit::socks::{Kind, Login, Socks};
use cib_testkit::wait::wait_until;

const BOOT: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(120);
const TURN: Duration = Duration::from_secs(60);
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

/// 0.6 MB, in the KiB of `Pss_Anon` in proc(5): what no page cache holds in any case.
const PID_1: u64 = 600_000 / 1024;

#[test]
fn pid_1_of_a_quiet_box_holds_at_most_0_6_mb_of_its_own_with_every_service_running() {
    let lab = Lab::new();
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let services = cage.exec(&["cib-init", "status"]).stdout;
    for name in ["control", "redsocks", "resolver"] {
        let line = services.lines().find(|line| line.contains(name));
        assert!(
            line.is_some_and(|line| line.contains("ready")),
            "{services}"
        );
    }
    wait_until(SOON, "PID 1 holds at most 0.6 MB of its own", || {
        let script = "sed -n 's/^Pss_Anon: *\\([0-9]*\\) kB/\\1/p' /proc/1/smaps_rollup";
        let held = cage.exec_privileged(&["sh", "-c", script]).stdout;
        held.trim().parse::<u64>().is_ok_and(|held| held <= PID_1)
    });
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
fn a_killed_resolver_comes_back_by_itself() {
    let lab = Lab::new();
    let cage = booted(&lab, |spec| spec);
    let look = |name: &str| format!("getent ahostsv4 {name}.{WORLD_NAME} >/dev/null");
    for round in 1..=3 {
        cage.wait_inside(KNOWN, "a name", &look(&format!("before{round}")));
        let killed = cage.sh(
            "for p in /proc/[0-9]*; do test \"$(cat $p/comm 2>/dev/null)\" != cib-resolver || \
             { kill -9 ${p#/proc/} && echo ${p#/proc/}; }; done",
        );
        assert!(
            !killed.trim().is_empty(),
            "no resolver ran in round {round}"
        );
        cage.wait_inside(KNOWN, "the resolver", &look(&format!("after{round}")));
    }
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

/// Looks up 200 names as a program that was linked against musl does.
const LOOK_UPS: &str = "#include <netdb.h>\n#include <stdio.h>\nint main(void) {\n\
    int found = 0;\n  for (int n = 1; n <= 200; n++) {\n    char name[64];\n    \
    struct addrinfo *list;\n    snprintf(name, sizeof name, \"m%d.world.test\", n);\n    \
    if (getaddrinfo(name, \"80\", 0, &list) == 0) found++;\n  }\n  \
    printf(\"%d\\n\", found);\n  return 0;\n}\n";

#[test]
fn two_hundred_of_two_hundred_names_are_found_with_musl() {
    let lab = Lab::new();
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("look.c"), folder.path().join("look"));
    std::fs::write(&source, LOOK_UPS).unwrap();
    let mut compile = Command::new("musl-gcc");
    compile.arg("-static").arg("-o").arg(&program).arg(&source);
    cib_testkit::process::run(compile).expect("musl-gcc of Debian's musl-tools");
    let cage = booted(&lab, |spec| spec);
    cage.copy_in(&program, "/opt");
    let found = cage.exec_as("coder", &["/opt/look"]);
    assert_eq!(found.stdout.trim(), "200", "{}", found.stderr);
}

#[test]
fn a_network_that_is_connected_to_a_running_box_is_no_way_out() {
    let engine = Engine::get();
    let lab = Lab::new();
    // Before the box, which is connected to it later: it can only go when the box has.
    let other = Network::public(engine);
    let cage = booted(&lab, |spec| spec);
    let idle = |role: &str, n: u8| {
        let spec = engine.kit(role).on(&other, n);
        spec.option("--entrypoint", "sleep")
            .arguments(["infinity"])
            .start()
    };
    let (neighbour, plain) = (idle("neighbour", 2), idle("plain", 3));
    let sniffer = Sniffer::start(engine, &other);
    let place = other.addr(4).to_string();
    let _ = engine.docker(&[
        "network",
        "connect",
        "--ip",
        &place,
        other.name(),
        cage.name(),
    ]);
    cage.wait_for_log(SOON, "the box's devices are now");

    // Everything that is far away would go over the new network, if it went.
    let everything = |who: &Container| {
        let beside = engine
            .kit("route")
            .option("--network", &format!("container:{}", who.name()))
            .option("--entrypoint", "ip")
            .privileged();
        let via = other.addr(2).to_string();
        let route = beside.arguments(["route", "add", "198.51.100.0/24", "via", &via]);
        let route = route.start();
        assert_eq!(route.wait_exit(SOON), 0, "{}", route.logs());
        // 203.0.113 as /proc/net/route has it, backwards.
        let find = "grep 7100CB /proc/net/route | head -n 1 | cut -f 1";
        let device = who.sh(find).trim().to_owned();
        assert!(!device.is_empty(), "no device leads to the new network");
        [
            "probe".to_owned(),
            "all".to_owned(),
            "--v4".to_owned(),
            "198.51.100.0".to_owned(),
            "--neighbour".to_owned(),
            via,
            "--device".to_owned(),
            device,
        ]
    };
    let from = |n: u8| {
        let addr = other.addr(n).to_string();
        let packets = sniffer.packets_until_now(&neighbour, &addr);
        packets
            .into_iter()
            .filter(|packet| packet.is_from(&addr))
            .collect::<Vec<_>>()
    };
    let words = everything(&cage);
    for user in ["coder", "root"] {
        let mut command = vec!["setpriv", "--bounding-set", "-net_admin", PROGRAM];
        command.extend(words.iter().map(String::as_str));
        let command = if user == "root" {
            &command[..]
        } else {
            &command[3..]
        };
        let ran = cage.exec_as(user, command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let leaked = from(4);
        assert!(leaked.is_empty(), "as {user}: {leaked:#?}");
    }
    // The same from a container without rules, to show that it would have been seen.
    let words = everything(&plain);
    let mut command = vec!["cib-testkit"];
    command.extend(words.iter().map(String::as_str));
    let ran = plain.exec(&command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let seen = from(3).len();
    assert!(
        seen > 20,
        "only {seen} packets of a plain container were seen"
    );
}

#[test]
fn without_the_kernels_help_claude_works_through_the_bridge_and_every_status_says_not_leak_proof() {
    let lab = Lab::new();
    let cage = lab
        .authorized_alone(Engine::get().a_box())
        .on(&lab.inside, BOX)
        .on(&lab.clients, BOX)
        .env("CIB_PROXY_MODE", "env")
        .env("CIB_PROXY_URL", &lab.proxy_url())
        .start();
    cage.wait_healthy(BOOT);
    let api = lab.api();
    let session = api.open(&format!(
        "@bash curl -sS http://{}/asked && touch /workspace/done\n@text Fetched.",
        lab.world_addr()
    ));
    let frames = api.events(&session, 0).unwrap().until(TURN, Frame::is_stop);
    assert_eq!(said(&frames), "Fetched.");
    assert_eq!(cage.sh("ls /workspace"), "done\n");
    let peers: Vec<_> = lab.world_log().iter().map(|e| e.peer.ip()).collect();
    assert!(!peers.is_empty(), "the world was asked for nothing");
    assert!(
        peers.iter().all(|peer| *peer == lab.proxy_outside()),
        "{peers:?}"
    );
    for command in ["cib-init status", "cib-init egress status"] {
        let told = cage.sh(command);
        assert!(told.contains("not leak-proof"), "{command}: {told}");
    }
    let doctor = cage.exec(&["cib-init", "egress", "doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("not leak-proof"),
        "{}",
        doctor.stdout
    );
}

#[test]
fn status_test_and_doctor_tell_a_person_what_was_blocked_and_what_is_wrong() {
    let lab = Lab::new();
    let cage = booted(&lab, |spec| spec);
    let tested = cage.sh("cib-init egress test");
    for claim in [
        "passed  tcp is redirected",
        "passed  udp is refused at once",
        "passed  icmp is refused at once",
        "passed  ipv6 is refused at once",
        "passed  private addresses are refused at once",
        "passed  the rules stand as they were applied",
        "passed  the upstream lets the box through",
    ] {
        assert!(tested.contains(claim), "no `{claim}` in {tested}");
    }
    // Somebody tries, and it is told who, where to and how often.
    let _ = cage.exec_as(
        "coder",
        &[PROGRAM, "probe", "quic", "--v4", "203.0.113.200"],
    );
    cage.wait_for_log(SOON, "refused: uid 1000 to 203.0.113.");
    let status = cage.sh("cib-init egress status");
    assert!(
        status.contains("open through the proxy alone")
            && status.contains("reachable")
            && status.contains("blocked_udp"),
        "{status}"
    );

    lab.proxy.stop(Duration::ZERO);
    let proxy = lab.proxy_inside().to_string();
    let doctor = cage.exec(&["cib-init", "egress", "doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    let failed = doctor
        .stdout
        .split_once("failed  the upstream lets the box through\n")
        .map(|(_, detail)| detail.lines().next().unwrap_or_default())
        .unwrap_or_default();
    assert!(
        failed.contains("proxy unreachable") && failed.contains(&proxy),
        "{}",
        doctor.stdout
    );
    assert!(failed.contains("is it running"), "{failed}");
    cage.wait_for_log(KNOWN, "proxy unreachable");
}

#[test]
fn a_proxy_that_has_another_address_is_followed_there_when_the_first_one_dies() {
    let lab = Lab::new();
    let engine = Engine::get();
    let name = format!("proxy.{WORLD_NAME}");
    let second = Socks {
        kind: Kind::Microsocks,
        listen: SocketAddr::new(lab.inside.addr(6).into(), lab.proxy_inside().port()),
        from: lab.outside.addr(6).into(),
        login: Some(Login {
            user: PROXY_USER.into(),
            password: PROXY_PASSWORD.into(),
        }),
    };
    let spec = engine.kit("second").on(&lab.inside, 6).on(&lab.outside, 6);
    let spec = second
        .environment()
        .iter()
        .fold(spec, |spec, (name, value)| spec.env(name, value));
    let _second = spec
        .option("--entrypoint", "sh")
        .arguments(["-c", &second.script()])
        .start();
    // What the world says of the proxy's name: its second address, and one where nobody is.
    let names = engine
        .kit("names")
        .on(&lab.outside, 7)
        .arguments(["dns", "--listen", "0.0.0.0:53", "--zone"])
        .arguments([format!(
            "{name}={},{}",
            lab.inside.addr(9),
            lab.inside.addr(6)
        )])
        .start();
    names.wait_for_log(SOON, "listening on");
    // What the system says at boot: the first.
    let first = lab.proxy_inside();
    let cage = booted(&lab, |spec| {
        let url = lab.proxy_url().replace(&first.ip().to_string(), &name);
        spec.option("--add-host", &format!("{name}:{}", first.ip()))
            .env("CIB_PROXY_URL", &url)
            .env("CIB_DNS_SERVERS", &lab.outside.addr(7).to_string())
    });
    let pinned = format!("has the address {} as well", lab.inside.addr(6));
    cage.wait_for_log(SOON, &pinned);
    cage.wait_for_log(SOON, &format!("does not answer at {}", lab.inside.addr(9)));
    let rules = cage.sh("nft list set inet cib upstream4");
    assert!(
        rules.contains(&lab.inside.addr(6).to_string())
            && rules.contains(&first.ip().to_string())
            && !rules.contains(&format!("{} ", lab.inside.addr(9))),
        "{rules}"
    );

    lab.proxy.stop(Duration::ZERO);
    let page = format!("http://{}/followed", lab.world_addr());
    let fetch = format!("curl -sS --fail --max-time 5 {page} >/dev/null 2>&1");
    cage.wait_inside(SOON, "a page by way of the second address", &fetch);
    let peers: Vec<_> = lab.world_log().iter().map(|e| e.peer.ip()).collect();
    assert!(peers.contains(&second.from), "{peers:?}");
}
