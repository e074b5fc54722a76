//! The lab's own promises, without a box in it: what the box tests take for granted.

use std::net::IpAddr;
use std::time::Duration;

use cib_testkit::engine::{Container, Engine, Sniffer};
use cib_testkit::lab::{Lab, WORLD_NAME};
use cib_testkit::socks::Kind;

const SOON: Duration = Duration::from_secs(30);

/// A container in the box's place, which does nothing by itself.
fn stranger(lab: &Lab) -> Container {
    Engine::get()
        .kit("stranger")
        .on(&lab.inside, 3)
        .option("--entrypoint", "sleep")
        .arguments(["infinity"])
        .start()
}

fn proxied(lab: &Lab, from: &Container) {
    let page = format!("http://{}/through", lab.world_addr());
    let proxy = lab.proxy_url();
    let curl = [
        "curl",
        "-sS",
        "--fail",
        "--max-time",
        "10",
        "--proxy",
        &proxy,
        &page,
    ];
    let ran = from.exec(&curl);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "page /through\n"),
        "{}",
        ran.stderr
    );
    let peers: Vec<IpAddr> = lab
        .world_log()
        .iter()
        .map(|entry| entry.peer.ip())
        .collect();
    assert_eq!(peers, [lab.proxy_outside()]);
}

#[test]
fn both_proxies_let_their_user_through_and_show_their_own_address() {
    for kind in [Kind::Dante, Kind::Microsocks] {
        let lab = Lab::with(kind);
        proxied(&lab, &stranger(&lab));
    }
}

#[test]
fn a_proxy_can_stand_at_an_ipv6_address() {
    for kind in [Kind::Dante, Kind::Microsocks] {
        let lab = Lab::with_ipv6(kind);
        let proxy = lab.proxy_inside();
        assert!(proxy.is_ipv6(), "{proxy}");
        proxied(&lab, &stranger(&lab));
    }
}

#[test]
fn nothing_but_the_proxy_reaches_the_world() {
    let lab = Lab::new();
    let stranger = stranger(&lab);
    let page = format!("http://{}/direct", lab.world_addr());
    let ran = stranger.exec(&["curl", "-sS", "--max-time", "3", &page]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    let server = format!("{}:53", lab.world_addr());
    let lookup = [
        "cib-testkit",
        "lookup",
        "--deadline",
        "2",
        "--server",
        &server,
        WORLD_NAME,
    ];
    assert_ne!(stranger.exec(&lookup).code, 0);
    assert!(lab.world_log().is_empty(), "{:?}", lab.world_log());
}

#[test]
fn the_sniffer_sees_what_a_container_sends_and_where() {
    let lab = Lab::new();
    let sniffer = Sniffer::start(Engine::get(), &lab.inside);
    let stranger = stranger(&lab);
    let page = format!("http://{}/leak", lab.world_addr());
    assert_ne!(
        stranger
            .exec(&["curl", "-sS", "--max-time", "2", &page])
            .code,
        0
    );
    let packets = sniffer.packets_until_now(&lab.proxy, &lab.inside.addr(1).to_string());
    let leaked = |packet: &cib_testkit::engine::Packet| {
        packet.is_from(&lab.box_inside()) && packet.is_to(&lab.world_addr())
    };
    assert!(
        packets.iter().any(leaked),
        "a leak would not have been seen: {packets:#?}"
    );
}

#[test]
fn a_container_is_gone_with_its_variable() {
    let lab = Lab::new();
    let stranger = stranger(&lab);
    let name = stranger.name().to_owned();
    stranger.stop(Duration::from_secs(1));
    assert_eq!(stranger.wait_exit(SOON), 137);
    drop(stranger);
    let found = Engine::get().docker(&[
        "ps",
        "--all",
        "--quiet",
        "--filter",
        &format!("name={name}"),
    ]);
    assert_eq!(found, "");
}
