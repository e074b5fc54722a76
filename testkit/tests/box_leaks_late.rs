//! Packets of connections that outlive their redirector: the leak that rules without a drop
//! policy have had since 2014.

use std::process::{Command, Stdio};
use std::time::Duration;

use cib_testkit::engine::Engine;
use cib_testkit::lab::{PROGRAM, Trap};
use cib_testkit::wait::wait_until;

const BOOT: Duration = Duration::from_secs(120);
const SOON: Duration = Duration::from_secs(60);

/// Lets every TCP connection that the box's network namespace tracks be forgotten within a
/// second. The kernel's own limits are minutes and days.
const FORGET: &str = "for t in established fin_wait close_wait last_ack time_wait close \
                      unacknowledged max_retrans; do \
                      echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_$t; done";

#[test]
fn data_and_fin_of_connections_that_nobody_tracks_any_more_stay_inside() {
    let trap = Trap::new();
    let cage = trap.a_box(|spec| spec);
    cage.start_again();
    cage.wait_healthy(BOOT);
    let page = format!("{}:80", trap.aim().v4);
    let hold = ["hold", "--to", &page, "--count", "10", "--go", "/tmp/go"];
    let holding = Command::new("docker")
        .args(["exec", "--user", "coder", cage.name(), PROGRAM])
        .args(hold)
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

    // A container of its own, since those in the trap may not change the kernel's settings.
    let network = format!("container:{}", trap.holder.name());
    let forget = Engine::get()
        .kit("forget")
        .option("--network", &network)
        .option("--entrypoint", "sh")
        .privileged()
        .arguments(["-c", FORGET])
        .start();
    assert_eq!(forget.wait_exit(SOON), 0, "{}", forget.logs());
    // Stopped as well as killed, so that no new one answers for the old one's connections.
    trap.lab.proxy.stop(Duration::ZERO);
    let kill = "for p in /proc/[0-9]*; do \
                test \"$(cat $p/comm 2>/dev/null)\" != redsocks || kill -9 ${p#/proc/}; done";
    let ((), packets) = trap.leaks_during(|| {
        let _ = cage.sh(kill);
        wait_until(SOON, "the kernel to forget the connections", || {
            let tracked = cage.sh("cat /proc/sys/net/netfilter/nf_conntrack_count");
            tracked
                .trim()
                .parse::<u32>()
                .is_ok_and(|tracked| tracked < 10)
        });
        let _ = cage.sh("touch /tmp/go");
        let ended = holding.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(told.contains("answered again 0\nclosed"), "{told}");
    });
    assert!(packets.is_empty(), "the late packets left: {packets:#?}");
}
