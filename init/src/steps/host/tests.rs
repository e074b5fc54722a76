//! Every way of starting the box, judged without starting one.

use std::fs;

use super::*;
use crate::environment::{Environment, FileSettings, SecretFileError};

/// What Docker gives by default (moby `oci/caps/defaults.go`).
const DOCKER: u64 = 0xa804_25fb;

fn given(bits: u64) -> CapsHashSet {
    let all = caps::all().into_iter();
    all.filter(|one| bits & one.bitmask() != 0).collect()
}

fn docker() -> HostFacts {
    HostFacts {
        uid: 0,
        gid: 0,
        capabilities: given(DOCKER),
        uids: IdMap::everything(),
        gids: IdMap::everything(),
        etc_writable: true,
        run_writable: true,
        data_writable: true,
    }
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    let environment: Environment = variables
        .iter()
        .copied()
        .chain([("CIB_AUTH_DISABLED", "1")])
        .collect();
    let read = |_: &Path| Err(SecretFileError::NotText);
    Settings::read(&environment, &FileSettings::new(), &read)
        .settings
        .unwrap()
}

fn judge(facts: &HostFacts, variables: &[(&str, &str)]) -> Vec<String> {
    let settings = settings(variables);
    let accounts = Accounts::parse(
        "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\ncib:x:970:970::/:/bin/false\n\
         coder:x:1000:1000::/home/coder:/bin/bash\n",
        "root:x:0:\ncoder:x:1000:\n",
    );
    let paths = Paths::of_the_box("/var/lib/claude-in-box".into());
    facts
        .judge(&settings, &paths, &accounts)
        .iter()
        .map(ToString::to_string)
        .collect()
}

const PROXY: (&str, &str) = ("CIB_PROXY_URL", "socks5://192.0.2.1:1080");

#[test]
fn docker_gives_enough_without_a_proxy_and_with_net_admin() {
    assert_eq!(judge(&docker(), &[]), [""; 0]);
    let facts = HostFacts {
        capabilities: given(DOCKER | Capability::CAP_NET_ADMIN.bitmask()),
        ..docker()
    };
    assert_eq!(judge(&facts, &[PROXY]), [""; 0]);
    assert_eq!(
        judge(&docker(), &[PROXY, ("CIB_PROXY_MODE", "env")]),
        [""; 0]
    );
}

#[test]
fn a_proxy_without_net_admin_is_refused_with_both_remedies() {
    assert_eq!(
        judge(&docker(), &[PROXY]),
        [
            "CIB_PROXY_URL: is set, and the box lacks the capability NET_ADMIN that closes every \
             other way out; add --cap-add NET_ADMIN, or set CIB_PROXY_MODE=env, which is not \
             leak-proof"
        ]
    );
}

#[test]
fn who_holds_the_network_needs_net_admin_and_who_joins_it_does_not() {
    let faults = judge(&docker(), &[PROXY, ("CIB_PROXY_MODE", "hold")]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].ends_with("add --cap-add NET_ADMIN"), "{faults:?}");
    assert_eq!(judge(&docker(), &[("CIB_PROXY_MODE", "join")]), [""; 0]);
}

#[test]
fn root_without_capabilities_is_refused_in_one_line() {
    let facts = HostFacts {
        capabilities: CapsHashSet::new(),
        ..docker()
    };
    let faults = judge(&facts, &[]);
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].contains("root lacks the capabilities CHOWN, DAC_OVERRIDE"),
        "{}",
        faults[0]
    );
    assert!(faults[0].contains("--user 1000:1000"), "{}", faults[0]);
}

#[test]
fn a_user_without_capabilities_may_start_the_box_without_a_proxy() {
    let facts = HostFacts {
        uid: 1000,
        gid: 1000,
        capabilities: CapsHashSet::new(),
        ..docker()
    };
    assert_eq!(judge(&facts, &[]), [""; 0]);
    assert_eq!(
        judge(&facts, &[("PUID", "1000"), ("PGID", "1000")]),
        [""; 0]
    );
    assert!(judge(&facts, &[PROXY])[0].contains("leave --user out"));
    assert!(judge(&facts, &[("PUID", "1001")])[0].starts_with("PUID: is 1001, and the box"));
}

#[test]
fn a_read_only_root_needs_somewhere_to_write() {
    let facts = HostFacts {
        run_writable: false,
        data_writable: false,
        ..docker()
    };
    let faults = judge(&facts, &[]);
    assert!(
        faults[0].ends_with("/run/cib cannot be written to; add --tmpfs /run"),
        "{faults:?}"
    );
    assert!(faults[1].contains("/var/lib/claude-in-box cannot be written to; mount a volume"));
    let facts = HostFacts {
        etc_writable: false,
        ..docker()
    };
    assert_eq!(judge(&facts, &[]), [""; 0]);
    assert_eq!(judge(&facts, &[("PUID", "1000")]), [""; 0]);
    assert!(judge(&facts, &[("PUID", "1001")])[0].contains("is read-only"));
}

#[test]
fn ids_that_the_namespace_does_not_have_are_refused() {
    let uids = IdMap::parse("         0       1000          1\n         1     100000      65536\n");
    assert!(uids.contains(0) && uids.contains(65536) && !uids.contains(65537));
    let facts = HostFacts {
        uids,
        gids: IdMap::parse("0 1000 1\n"),
        ..docker()
    };
    let faults = judge(&facts, &[("PUID", "70000")]);
    assert!(faults[0].starts_with("PUID: 70000 does not exist in this user namespace"));
    assert!(
        faults[1].starts_with("PGID: 1000 does not exist"),
        "{faults:?}"
    );
}

#[test]
fn the_ids_of_the_boxs_own_users_and_of_others_in_the_image_are_refused() {
    for (id, own) in [("970", "cib"), ("971", "cib-proxy"), ("972", "cib-keeper")] {
        for (name, what) in [("PUID", "user"), ("PGID", "group")] {
            let faults = judge(&docker(), &[(name, id)]);
            assert_eq!(faults.len(), 1, "{name}={id}: {faults:?}");
            let says = format!("{name}: {id} is the {what} {own} of the box");
            assert!(faults[0].starts_with(&says), "{faults:?}");
        }
    }
    assert!(judge(&docker(), &[("PUID", "33")])[0].contains("is the user www-data of the image"));
    assert_eq!(judge(&docker(), &[("PGID", "33")]), [""; 0]);
}

#[test]
fn separate_users_need_root_and_their_ids() {
    let separate = [("CIB_SESSION_USERS", "separate")];
    assert_eq!(judge(&docker(), &separate), [""; 0]);
    let mapped = HostFacts {
        uids: IdMap::parse("0 100000 30000\n"),
        ..docker()
    };
    let faults = judge(&mapped, &separate);
    assert!(
        faults[0].contains("20000 to 59999 do not all exist"),
        "{faults:?}"
    );
    let user = HostFacts {
        uid: 1000,
        gid: 1000,
        capabilities: CapsHashSet::new(),
        ..docker()
    };
    let faults = judge(&user, &separate);
    assert!(faults[0].starts_with("CIB_SESSION_USERS: is `separate`, which only root"));
}

#[test]
fn a_derived_image_that_puts_coder_into_a_group_of_the_boxs_is_refused() {
    let settings = settings(&[]);
    let paths = Paths::of_the_box("/var/lib/claude-in-box".into());
    let accounts = Accounts::parse(
        "cib:x:970:970::/:/bin/false\ncoder:x:1000:1000::/home/coder:/bin/bash\n",
        "cib:x:970:coder\ncoder:x:1000:\n",
    );
    let faults = docker().judge(&settings, &paths, &accounts);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0]
            .to_string()
            .contains("lists coder in the group cib")
    );
}

#[test]
fn what_is_not_mounted_is_missed_by_name() {
    let root = tempfile::tempdir().unwrap();
    let environment: Environment = [
        ("CIB_AUTH_DISABLED", "1"),
        ("CIB_SETUP_FILE", "/mnt/setup.sh"),
        ("CIB_SSH_DIR", "/mnt/ssh"),
        ("CIB_GNUPG_DIR", "/mnt/gnupg"),
    ]
    .into_iter()
    .collect();
    let read = |_: &Path| Err(SecretFileError::NotText);
    let settings = Settings::read(&environment, &FileSettings::new(), &read)
        .settings
        .unwrap();
    fs::create_dir_all(root.path().join("mnt/ssh")).unwrap();
    let faults = not_mounted(&settings, &Paths::below(root.path(), "/data".into()));
    let shown: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].starts_with("CIB_SETUP_FILE: /mnt/setup.sh is no file in the box; mount it"));
    assert!(shown[1].starts_with("CIB_GNUPG_DIR: /mnt/gnupg is no folder"));
}

#[test]
fn a_map_that_cannot_be_read_stands_for_every_id() {
    for text in ["", "0 0", "a b c"] {
        assert!(IdMap::parse(text).contains(4_000_000_000), "{text}");
    }
}

#[test]
fn this_process_is_observed_as_the_kernel_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let facts = HostFacts::observe(&Paths::below(directory.path(), "/data".into()));
    assert_eq!(facts.uid, nix::unistd::geteuid().as_raw());
    assert!(facts.run_writable && facts.data_writable);
}
