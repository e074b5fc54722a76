//! The kit's own promises, on real namespaces and processes. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use cib_testkit::log::{Request, parse};
use cib_testkit::netns::Netns;
use cib_testkit::pid1::Pid1;
use cib_testkit::process::{Process, run};
use cib_testkit::socks::{Kind, Login, Socks, curl};

const SOON: Duration = Duration::from_secs(60);

/// client 10.9.1.1 - 10.9.1.2 proxy 203.0.113.2 - 203.0.113.10 world
struct Line {
    client: Netns,
    proxy: Netns,
    world: Netns,
}

impl Line {
    fn new() -> Self {
        let line = Self {
            client: Netns::new().unwrap(),
            proxy: Netns::new().unwrap(),
            world: Netns::new().unwrap(),
        };
        line.client
            .join("10.9.1.1/24", &line.proxy, "10.9.1.2/24", "near")
            .unwrap();
        line.proxy
            .join("203.0.113.2/24", &line.world, "203.0.113.10/24", "far")
            .unwrap();
        line
    }

    fn world(&self) -> Process {
        let mut command = self.world.command(env!("CARGO_BIN_EXE_cib-testkit"));
        command.args(["world", "--zone", "world.test=203.0.113.10"]);
        let mut world = Process::spawn(command).unwrap();
        world.wait_for_output(SOON, "listening on 0.0.0.0:53");
        world
    }

    fn socks(kind: Kind, password: &str) -> Socks {
        Socks {
            kind,
            listen: SocketAddr::from(([10, 9, 1, 2], 1080)),
            from: IpAddr::from([203, 0, 113, 2]),
            login: Some(Login {
                user: "box".into(),
                password: password.into(),
            }),
        }
    }
}

fn proxied_fetch(kind: Kind) {
    let line = Line::new();
    let mut world = line.world();
    let socks = Line::socks(kind, "p@ss:w/rd%");
    let _server = socks.start(&line.proxy).unwrap();

    let page = run(curl(&line.client, &socks, "http://203.0.113.10/hello")).unwrap();
    assert_eq!(page, "page /hello\n");
    let stranger = Line::socks(kind, "wrong");
    run(curl(
        &line.client,
        &stranger,
        "http://203.0.113.10/stranger",
    ))
    .unwrap_err();
    run(curl(&line.client, &socks, "http://203.0.113.10/last")).unwrap();

    // The log comes in order: what is not there before the last page never came.
    world.wait_for_output(SOON, "/last");
    let seen: Vec<(IpAddr, Request)> = parse(&world.output())
        .into_iter()
        .map(|seen| (seen.peer.ip(), seen.request))
        .collect();
    let by_proxy = |path: &str| {
        let page = Request::Httpd {
            method: "GET".into(),
            path: path.into(),
        };
        (IpAddr::from([203, 0, 113, 2]), page)
    };
    assert_eq!(seen, [by_proxy("/hello"), by_proxy("/last")]);
}

#[test]
fn dante_lets_only_its_user_through_and_shows_its_own_address() {
    proxied_fetch(Kind::Dante);
}

#[test]
fn microsocks_lets_only_its_user_through_and_shows_its_own_address() {
    proxied_fetch(Kind::Microsocks);
}

#[test]
fn namespaces_reach_each_other_only_by_the_cables_between_them() {
    let line = Line::new();
    let _world = line.world();
    let fetch = |from: &Netns| {
        let mut command = from.command("curl");
        command.args([
            "-sS",
            "--noproxy",
            "*",
            "--max-time",
            "5",
            "http://203.0.113.10/x",
        ]);
        run(command)
    };
    assert_eq!(fetch(&line.proxy).unwrap(), "page /x\n");
    fetch(&line.client).unwrap_err();
}

#[test]
fn the_name_server_answers_over_both_transports() {
    let line = Line::new();
    let mut world = line.world();
    for transport in ["udp", "tcp"] {
        let mut command = line.proxy.command(env!("CARGO_BIN_EXE_cib-testkit"));
        command.args(["lookup", "--server", "203.0.113.10:53", "world.test"]);
        command.args((transport == "tcp").then_some("--tcp"));
        assert_eq!(run(command).unwrap(), "203.0.113.10\n", "{transport}");
    }
    world.wait_for_output(SOON, r#""transport":"udp""#);
    world.wait_for_output(SOON, r#""transport":"tcp""#);
}

#[test]
fn a_pid_1_is_the_first_process_and_takes_the_rest_along() {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "echo I am $$ with $COLOUR; set -- /proc/[0-9]*; echo $#; sleep 600 & wait",
    ]);
    command.env("COLOUR", "blue");
    let mut first = Pid1::spawn(&command, None).unwrap();
    first.wait_for_output(SOON, "I am 1 with blue\n1\n");
    let pid = first.pid();
    drop(first);
    let proc = format!("/proc/{pid}/stat");
    cib_testkit::wait::wait_until(SOON, "the end of PID 1", || {
        std::fs::read_to_string(&proc).map_or(true, |stat| stat.contains(") Z "))
    });
}

#[test]
fn a_pid_1_in_a_namespace_has_its_network_and_ends_with_its_own_status() {
    let netns = Netns::new().unwrap();
    netns.ip("addr add 10.9.9.9/32 dev lo").unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ip -br addr show lo; exit 78"]);
    let mut first = Pid1::spawn(&command, Some(&netns)).unwrap();
    assert_eq!(first.wait(SOON).code(), Some(78));
    assert!(first.output().contains("10.9.9.9/32"), "{}", first.output());
}
