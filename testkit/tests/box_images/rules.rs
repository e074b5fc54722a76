//! Who can change the rules of a box, and what becomes of it.

use std::time::Duration;

use cib_testkit::client::{Frame, said};
use cib_testkit::engine::Container;
use cib_testkit::lab::Lab;

const BOOT: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_secs(60);

/// Everything that would let a packet out, if it worked. The word before each result tells the
/// attempts apart.
const ATTEMPTS: &str = "try() { \"$@\" >/dev/null 2>&1; echo \"code $? of $*\"; }; \
    PATH=$PATH:/usr/sbin; \
    try nft flush ruleset; \
    try nft delete table inet cib; \
    try nft delete table netdev cib; \
    try nft insert rule inet cib out accept; \
    try nft add table inet stranger; \
    try unshare --map-root-user nft flush ruleset; \
    try unshare --map-root-user --net true; \
    try nsenter --target 1 --net nft flush ruleset; \
    try kill -9 1";

/// A service of the user's own that runs as root: the most that a process of the box can be.
const VANDAL: &str = "[service.vandal]\nuser = \"root\"\nrestart = \"never\"\n\
    command = [\"/bin/sh\", \"/etc/claude-in-box/vandal\"]\n";

/// The box's own rules without what they have counted. Docker's, which a flush takes along,
/// are not init's to bring back.
fn rules(cage: &Container) -> String {
    cage.sh(
        "for table in 'inet cib' 'netdev cib'; do nft -s list table $table; done \
         | sed -E 's/packets [0-9]+ bytes [0-9]+//'",
    )
}

/// That each of the attempts was made, and that none was let.
#[track_caller]
fn assert_refused(who: &str, said: &str) {
    let tried: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("code "))
        .filter(|line| !line.contains("--net true") && !line.contains("kill -9 1"))
        .collect();
    assert_eq!(tried.len(), 7, "{who}: {said}");
    let let_through: Vec<_> = tried
        .iter()
        .filter(|line| line.contains("code 0 "))
        .collect();
    assert!(let_through.is_empty(), "{who} was let: {let_through:?}");
}

#[test]
fn nobody_in_the_box_can_change_a_rule() {
    let lab = Lab::new();
    let cage = lab.a_box().create();
    let _ = lab.client.sh(&format!(
        "printf '%s' '{VANDAL}' > /tmp/vandal.toml; cat > /tmp/vandal <<'EOF'\n{ATTEMPTS}\nEOF\n\
         chmod 0644 /tmp/vandal"
    ));
    cage.copy_from(&lab.client, "/tmp/vandal.toml", "/etc/claude-in-box/init.d");
    cage.copy_from(&lab.client, "/tmp/vandal", "/etc/claude-in-box");
    cage.start_again();
    cage.wait_healthy(BOOT);

    // Root among the services of the box, before anybody looks at the rules.
    cage.wait_for_log(SOON, "kill -9 1");
    let log = cage.logs();
    let of_service: String = log
        .lines()
        .filter(|line| line.contains("vandal"))
        .collect::<Vec<_>>()
        .join("\n");
    assert_refused("root in a service", &of_service);
    let before = rules(&cage);
    assert!(before.contains("table inet cib"), "{before}");

    let as_root = cage.exec(&["cib-init", "exec", "-u", "root", "--", "sh", "-c", ATTEMPTS]);
    assert_refused("root by cib-init exec", &as_root.stdout);
    let as_coder = cage.exec_as("coder", &["sh", "-c", ATTEMPTS]);
    assert_refused("coder", &as_coder.stdout);
    let api = lab.api();
    let session = api.open("@bash sh /etc/claude-in-box/vandal > /workspace/tried\n@text Tried.");
    let frames = api.events(&session, 0).unwrap().until(TURN, Frame::is_stop);
    assert_eq!(said(&frames), "Tried.");
    assert_refused("Claude", &cage.sh("cat /workspace/tried"));

    assert!(rules(&cage) == before, "{}", rules(&cage));
    assert!(
        !cage.logs().contains("changed the rules"),
        "{}",
        cage.logs()
    );
}

#[test]
fn what_docker_exec_changes_as_root_is_told_and_repaired() {
    let lab = Lab::new();
    let cage = lab.a_box().start();
    cage.wait_healthy(BOOT);
    let before = rules(&cage);
    for change in [
        "nft insert rule inet cib out accept",
        "nft delete table netdev cib",
        "nft flush ruleset",
    ] {
        let repaired = "the rules were repaired";
        let told = cage.logs().matches(repaired).count();
        let _ = cage.sh(change);
        cib_testkit::wait::wait_until(SOON, &format!("`{change}` to be repaired"), || {
            cage.logs().matches(repaired).count() > told
        });
        let now = rules(&cage);
        assert!(now == before, "after `{change}`: {now}");
    }
    assert!(
        cage.logs().contains("nft changed the rules"),
        "{}",
        cage.logs()
    );
}
