//! The network and its rules are another container's: `deploy/compose.hardened.yaml`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::path::Path;
use std::time::Duration;

use cib_testkit::client::{Frame, said};
use cib_testkit::engine::{Container, Engine, Sniffer, Spec};
use cib_testkit::lab::{BOX, Lab, WORLD_NAME};

const BOOT: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_secs(60);

/// The lines of the list `key: [A, B]` of a service in the hardened compose file.
fn listed(service: &str, key: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/compose.hardened.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let of_service = text
        .lines()
        .skip_while(|line| *line != format!("  {service}:"))
        .skip(1)
        .take_while(|line| line.starts_with("    ") || line.is_empty());
    let found = of_service
        .filter_map(|line| line.trim().strip_prefix(&format!("{key}: [")))
        .map(|rest| rest.trim_end_matches(']').to_owned())
        .next();
    let words = found.unwrap_or_else(|| panic!("{service} has no {key}"));
    words.split(", ").map(str::to_owned).collect()
}

/// With the capabilities that the compose file gives to `service`.
fn as_composed(mut spec: Spec, service: &str) -> Spec {
    for dropped in listed(service, "cap_drop") {
        spec = spec.option("--cap-drop", &dropped);
    }
    for added in listed(service, "cap_add") {
        spec = spec.cap(&added);
    }
    spec.option("--security-opt", "no-new-privileges:true")
}

/// Holds the network of the box in `lab`.
fn holder(lab: &Lab) -> Container {
    let spec = Engine::get()
        .a_box()
        .on(&lab.inside, BOX)
        .on(&lab.clients, BOX)
        .env("CIB_PROXY_MODE", "hold")
        .env("CIB_PROXY_URL", &lab.proxy_url())
        .env("CIB_DNS_SERVERS", &lab.world_addr());
    as_composed(spec, "egress").start()
}

/// The box, in the holder's network.
fn joined(lab: &Lab, holder: &Container) -> Container {
    let network = format!("container:{}", holder.name());
    let spec = lab
        .authorized_alone(Engine::get().a_box())
        .option("--network", &network)
        .env("CIB_PROXY_MODE", "join");
    as_composed(spec, "box").start()
}

/// The rules without what they have counted.
fn rules(holder: &Container) -> String {
    holder.sh("nft -s list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+//'")
}

#[test]
fn root_by_docker_exec_can_change_no_rule() {
    let lab = Lab::new();
    let holder = holder(&lab);
    let cage = joined(&lab, &holder);
    cage.wait_healthy(BOOT);
    let before = rules(&holder);
    assert!(before.contains("table inet cib"), "{before}");

    let attempts = [
        "nft flush ruleset",
        "nft delete table inet cib",
        "nft add rule inet cib out accept",
        "nft insert rule inet cib out accept",
        "nft add table inet stranger",
        "unshare -r nft flush ruleset",
        "nsenter -t 1 -n nft flush ruleset",
    ];
    for attempt in attempts {
        let ran = cage.exec(&["sh", "-c", attempt]);
        assert_ne!(ran.code, 0, "`{attempt}` was let: {}", ran.stdout);
        let privileged = cage.exec(&["sh", "-c", &format!("cib-init exec -u root -- {attempt}")]);
        assert_ne!(privileged.code, 0, "`{attempt}` was let by cib-init exec");
        assert_eq!(rules(&holder), before, "after `{attempt}`");
    }
    // The same words do change a rule where the capability is, so they were the right ones.
    let control = holder.exec(&["sh", "-c", "nft add table inet stranger"]);
    assert_eq!(control.code, 0, "{}", control.stderr);
    assert_ne!(rules(&holder), before);
    assert!(
        !holder.logs().contains("changed the rules"),
        "{}",
        holder.logs()
    );
    // And the box knows neither the proxy nor its password.
    let known = cage.exec(&["sh", "-c", "env; cat /proc/1/environ; ls /run/cib"]);
    assert!(
        !known.stdout.contains("CIB_PROXY_URL") && !known.stdout.contains("redsocks"),
        "{}",
        known.stdout
    );
}

#[test]
fn claude_works_in_a_network_that_another_container_holds() {
    let lab = Lab::new();
    let sniffer = Sniffer::start(Engine::get(), &lab.inside);
    let holder = holder(&lab);
    let cage = joined(&lab, &holder);
    cage.wait_healthy(BOOT);
    let session = lab.api().open(&format!(
        "@bash curl -sS http://{WORLD_NAME}/held && touch /workspace/done\n@text Fetched."
    ));
    let frames = lab
        .api()
        .events(&session, 0)
        .unwrap()
        .until(TURN, Frame::is_stop);
    assert_eq!(said(&frames), "Fetched.");
    assert_eq!(cage.sh("ls /workspace"), "done\n");

    let status = cage.sh("cib-init egress status");
    assert!(status.contains("held by the container"), "{status}");
    let tested = cage.sh("cib-init egress doctor");
    assert!(!tested.contains("failed"), "{tested}");
    let tested = holder.sh("cib-init egress test");
    assert!(!tested.contains("failed"), "{tested}");

    let proxy = lab.proxy_inside();
    let proxy = format!("{}.{}", proxy.ip(), proxy.port());
    let gateway = lab.inside.addr(1).to_string();
    let strays: Vec<_> = sniffer
        .packets_until_now(&lab.proxy, &gateway)
        .into_iter()
        .filter(|packet| packet.is_from(&lab.box_inside()) && !packet.is_tcp_to(&proxy))
        .collect();
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn a_box_ends_when_the_container_that_held_its_network_has() {
    let lab = Lab::new();
    let holder = holder(&lab);
    let cage = joined(&lab, &holder);
    cage.wait_healthy(BOOT);
    holder.stop(Duration::from_secs(10));
    assert_eq!(cage.wait_exit(SOON), 70, "{}", cage.logs());
    assert!(
        cage.logs()
            .contains("the container that held the network has ended"),
        "{}",
        cage.logs()
    );
}

#[test]
fn a_box_that_joins_a_network_that_nobody_holds_is_refused() {
    let lab = Lab::new();
    let cage = lab.an_open_box().env("CIB_PROXY_MODE", "join").start();
    assert_eq!(cage.wait_exit(BOOT), 78, "{}", cage.logs());
    let log = cage.logs();
    assert!(
        log.contains("CIB_PROXY_MODE=join") && log.contains("CIB_PROXY_MODE=hold"),
        "{log}"
    );
}
