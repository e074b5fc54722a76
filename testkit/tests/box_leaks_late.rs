//! Packets of connections that outlive their redirector: the leak that rules without a drop
//! policy have had since 2014.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::process::{Command, Stdio};
use std::time::Duration;

use cib_testkit::engine::{Container, Engine, Packet, Spec, until};
use cib_testkit::lab::{PROGRAM, PROXY_PASSWORD, PROXY_USER, Trap};
use cib_testkit::wait::wait_until;

const BOOT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(60);

/// Lets every TCP connection that the box's network namespace tracks be forgotten within a
/// second. The kernel's own limits are minutes and days.
const FORGET: &str = "for t in established fin_wait close_wait last_ack time_wait close \
                      unacknowledged max_retrans; do \
                      echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_$t; done";

/// The kernel has forgotten them.
const FORGOTTEN: &str = "test $(cat /proc/sys/net/netfilter/nf_conntrack_count) -lt 10";

/// Kills redsocks. The image has no pkill.
const KILL: &str = "for p in /proc/[0-9]*; do \
                    test \"$(cat $p/comm 2>/dev/null)\" != redsocks || kill -9 ${p#/proc/}; done";

/// What redirects and does nothing else, as every guide to redsocks has it.
const REDIRECT_ONLY: &str = "table ip plain { chain out { \
                             type nat hook output priority -100; \
                             ip daddr { 10.0.0.0/8, 127.0.0.0/8 } return; \
                             meta l4proto tcp redirect to :12345\n}\n}";

/// A container in the trap, beside the one that is tested.
fn beside(trap: &Trap, spec: Spec) -> Spec {
    spec.option("--network", &format!("container:{}", trap.holder.name()))
}

/// Opens ten connections through redsocks, kills it, waits until the kernel has forgotten
/// them, and then has each send data and FIN. What of that was seen on the network.
fn late_packets(trap: &Trap, cage: &Container) -> Vec<Packet> {
    let page = format!("{}:80", trap.aim().target(100).v4);
    let holding = Command::new("docker")
        .args(["exec", "--user", "coder", cage.name(), PROGRAM])
        .args([
            "hold", "--to", &page, "--count", "10", "--late", "--go", "/tmp/go",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let held = || {
        trap.lab
            .pages()
            .iter()
            .filter(|page| *page == "/held")
            .count()
    };
    wait_until(SOON, "ten connections through redsocks", || held() == 10);

    // A container of its own, since a box may not change the kernel's settings.
    let forget = beside(trap, Engine::get().kit("forget")).option("--entrypoint", "sh");
    let forget = forget.privileged().arguments(["-c", FORGET]).start();
    assert_eq!(forget.wait_exit(SOON), 0, "{}", forget.logs());
    // The proxy goes as well, so that no new redsocks carries anything.
    trap.lab.proxy.stop(Duration::ZERO);
    let ((), packets) = trap.leaks_during(|| {
        let _ = cage.sh(KILL);
        // From beside, so that nothing that looks is a process of the container itself.
        let watch = beside(trap, Engine::get().kit("watch")).option("--entrypoint", "sh");
        let watch = watch.arguments(["-c", &until(SOON, FORGOTTEN)]).start();
        assert_eq!(watch.wait_exit(SOON), 0, "the connections are still known");
        let _ = cage.sh("touch /tmp/go");
        let ended = holding.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(told.ends_with("closed\n"), "{told}");
    });
    packets
}

#[test]
fn data_and_fin_of_connections_that_nobody_tracks_any_more_stay_inside() {
    let trap = Trap::new();
    let cage = trap.a_box(|spec| spec);
    cage.start_again();
    cage.wait_healthy(BOOT);
    let packets = late_packets(&trap, &cage);
    assert!(packets.is_empty(), "the late packets left: {packets:#?}");
}

#[test]
fn the_same_packets_leave_a_container_whose_rules_only_redirect() {
    let trap = Trap::new();
    let proxy = trap.lab.proxy_inside();
    let conf = format!(
        "base {{ log_info = on; log = \"stderr\"; daemon = off; redirector = iptables; }}\n\
         redsocks {{ local_ip = 127.0.0.1; local_port = 12345; ip = {}; port = {}; \
         type = socks5; login = \"{PROXY_USER}\"; password = \"{PROXY_PASSWORD}\"; }}\n",
        proxy.ip(),
        proxy.port()
    );
    let start = "printf '%s' \"$RULES\" | nft -f - && printf '%s' \"$CONF\" > /tmp/conf && \
                 redsocks -c /tmp/conf; sleep infinity";
    let plain = beside(&trap, Engine::get().a_box())
        .privileged()
        .option("--entrypoint", "sh")
        .env("RULES", REDIRECT_ONLY)
        .env("CONF", &conf)
        .arguments(["-c", start])
        .create();
    plain.copy_from(&trap.holder, "/usr/bin/cib-testkit", "/opt");
    plain.start_again();
    plain.wait_for_log(SOON, "redsocks started");
    let packets = late_packets(&trap, &plain);
    let target = trap.aim().target(100).v4.to_string();
    let leaked = |bytes: &str| {
        let is_it = |packet: &&Packet| packet.is_to(&target) && packet.what == bytes;
        packets.iter().filter(is_it).count()
    };
    // Five bare FINs, and five with ten bytes in clear; some are sent again.
    assert!(
        leaked("tcp 0") >= 5 && leaked("tcp 10") >= 5,
        "{packets:#?}"
    );
}
