//! What the kernel tells: changed rules, devices that come and go, refused packets.

use std::collections::BTreeSet;
use std::future::Future;

use crate::common::lab::{DEADLINE, Lab, ip};
use crate::common::policies::open;
use cib_nft::runner::{Blocking, enforce};
use cib_nft::watch::{Change, Changes, Links, Refusal, Refusals, generation};
use cib_nft::{EgressPolicy, Enforcement, Reports, Ruleset, Table};
use tokio::time::timeout;

/// Runs `f` in the box, on a runtime like init's.
fn inside<F: Future>(lab: &Lab, f: impl FnOnce() -> F + Send) -> F::Output
where
    F::Output: Send,
{
    lab.inside.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(f())
    })
}

/// The value of `future`, which must not keep anybody waiting.
async fn soon<T>(future: impl Future<Output = std::io::Result<T>>) -> T {
    timeout(DEADLINE, future)
        .await
        .expect("the kernel tells in time")
        .expect("the socket works")
}

/// The first change for which `wanted` holds.
async fn change(changes: &mut Changes, wanted: impl Fn(&Change) -> bool) -> Change {
    loop {
        let change = soon(changes.next()).await;
        if wanted(&change) {
            return change;
        }
    }
}

fn policy() -> EgressPolicy {
    EgressPolicy::Open { wiring: open("") }
}

#[test]
fn a_foreign_change_is_told_found_and_repaired() {
    let lab = Lab::under(policy());
    let ruleset = Ruleset::inet(&policy(), Reports::On);
    inside(&lab, async || {
        let mut changes = Changes::open().unwrap();
        lab.inside.nft("insert rule inet cib out accept\n");
        let told = change(&mut changes, |change| change.own_table).await;
        assert_eq!(told.process.as_deref(), Some("nft"));
        assert!(told.generation.is_some() && told.pid.is_some());
        ruleset
            .verify(&lab.inside.listing(Table::Inet))
            .unwrap_err();

        let enforcement = Enforcement::new(policy(), &["eth0".to_owned()].into());
        enforce(enforcement, &mut Blocking).unwrap();
        let repaired = change(&mut changes, |change| change.own_table).await;
        assert!(repaired.generation > told.generation);
        ruleset.verify(&lab.inside.listing(Table::Inet)).unwrap();
    });
}

#[test]
fn a_change_of_ones_own_is_known_by_its_generation() {
    let lab = Lab::new();
    inside(&lab, async || {
        let mut changes = Changes::open().unwrap();
        let enforcement = Enforcement::new(policy(), &["eth0".to_owned()].into());
        enforce(enforcement, &mut Blocking).unwrap();
        let own = soon(generation()).await;
        let told = change(&mut changes, |change| change.generation == Some(own)).await;
        assert!(told.own_table && !told.overrun);
        lab.inside.nft("insert rule inet cib out accept\n");
        let foreign = change(&mut changes, |change| change.own_table).await;
        assert!(foreign.generation > Some(own));
    });
}

#[test]
fn a_flush_of_everything_is_a_change_of_ours() {
    let lab = Lab::under(policy());
    inside(&lab, async || {
        let mut changes = Changes::open().unwrap();
        lab.inside.nft("flush ruleset\n");
        change(&mut changes, |change| change.own_table).await;
    });
}

#[test]
fn a_change_of_another_table_is_told_as_such() {
    let lab = Lab::under(policy());
    inside(&lab, async || {
        let mut changes = Changes::open().unwrap();
        lab.inside.nft("add table ip nat\n");
        assert!(!soon(changes.next()).await.own_table);
    });
}

#[test]
fn a_burst_of_changes_is_told_as_one() {
    let lab = Lab::under(policy());
    inside(&lab, async || {
        let mut changes = Changes::open().unwrap();
        lab.inside.nft("add table ip a\n");
        lab.inside.nft("add table ip b\n");
        let told = soon(changes.next()).await;
        let listed = lab.inside.sh("nft -j list ruleset");
        assert!(listed.contains("\"b\""));
        assert!(
            timeout(std::time::Duration::from_millis(200), changes.next())
                .await
                .is_err()
        );
        assert!(told.generation.is_some());
    });
}

#[test]
fn a_device_that_appears_later_is_told_and_gets_the_egress_hook() {
    let lab = Lab::under(policy());
    inside(&lab, async || {
        let mut links = Links::open().await.unwrap();
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(links.devices(), names(&["eth0"]));

        lab.inside.sh("ip link add eth1 type veth peer name eth2");
        let mut devices = soon(links.next()).await;
        while devices != names(&["eth0", "eth1", "eth2"]) {
            devices = soon(links.next()).await;
        }
        let ruleset = Ruleset::netdev(&policy(), &devices);
        lab.inside.apply(&ruleset);
        ruleset.verify(&lab.inside.listing(Table::Netdev)).unwrap();

        lab.inside.sh("ip link del eth1");
        while devices != names(&["eth0"]) {
            devices = soon(links.next()).await;
        }
    });
}

#[test]
fn a_device_that_is_renamed_is_known_by_its_new_name() {
    let lab = Lab::new();
    inside(&lab, async || {
        let mut links = Links::open().await.unwrap();
        lab.inside
            .sh("ip link set eth0 down; ip link set eth0 name wan0");
        assert_eq!(soon(links.next()).await, ["wan0".to_owned()].into());
    });
}

#[test]
fn a_refused_packet_is_told_with_its_user_and_its_destination() {
    let lab = Lab::under(policy());
    inside(&lab, async || {
        let mut refusals = Refusals::open().await.unwrap();
        let script = "echo hello >/dev/udp/198.51.100.1/443; echo hello >/dev/tcp/10.88.0.1/22";
        let status = lab.inside.as_user(1000, "bash", &["-c", script]).status;
        assert!(!status.success());
        let mut told = Vec::new();
        while told.len() < 2 {
            let more = soon(refusals.next()).await;
            told.extend(more.into_iter().filter(|refusal| refusal.uid == Some(1000)));
        }
        let refusal = |protocol, destination, port| Refusal {
            uid: Some(1000),
            protocol,
            destination: ip(destination),
            port: Some(port),
        };
        assert_eq!(
            told,
            [
                refusal(17, "198.51.100.1", 443),
                refusal(6, "10.88.0.1", 22)
            ]
        );
    });
}

#[test]
fn reports_are_limited_and_counters_are_not() {
    const SENT: u64 = 500;
    let lab = Lab::under(policy());
    inside(&lab, async || {
        let mut refusals = Refusals::open().await.unwrap();
        let socket = lab.inside.udp("0.0.0.0:0");
        for _ in 0..SENT {
            socket.send_to(b"hello", "198.51.100.1:443").unwrap_err();
        }
        let mut told = 0;
        while let Ok(more) = timeout(std::time::Duration::from_millis(50), refusals.next()).await {
            told += more.unwrap().len();
        }
        assert!((20..200).contains(&told), "{told} of {SENT} were reported");
        assert_eq!(lab.counted(cib_nft::Kind::Udp).packets, SENT);
    });
}

#[test]
fn one_reader_at_a_time_has_the_reports() {
    let lab = Lab::new();
    inside(&lab, async || {
        let _first = Refusals::open().await.unwrap();
        assert!(Refusals::open().await.is_err());
    });
}
