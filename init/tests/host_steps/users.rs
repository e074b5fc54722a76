//! `coder`'s ids and files, on a real file system as root, as another user and in a user
//! namespace.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use cib_init::environment::{
    ContainerSettings, Environment, FileSettings, SecretFileError, Settings,
};
use cib_init::steps::accounts::Accounts;
use cib_init::steps::host::HostFacts;
use cib_init::steps::users::{self, Users};
use cib_init::steps::{Outcome, Paths};

use crate::support::{CODER, MOUNTS, Root, bind_read_only, container, inside, run};

fn prepare(root: &Root, puid: Option<u32>, pgid: Option<u32>) -> (Users, Outcome) {
    let settings = ContainerSettings {
        puid,
        pgid,
        ..container()
    };
    users::prepare(&root.paths, &settings, &HostFacts::observe(&root.paths)).unwrap()
}

#[test]
fn only_files_of_the_home_with_another_owner_are_changed_and_links_are_not_followed() {
    let root = Root::new();
    root.write("/outside/secret", "root's");
    root.write("/home/coder/mine", "");
    root.write("/home/coder/deep/down/old", "");
    root.write("/home/coder/roots", "");
    symlink(root.at("/outside/secret"), root.at("/home/coder/link")).unwrap();
    fs::hard_link(root.at("/outside/secret"), root.at("/home/coder/hard")).unwrap();
    for (path, uid) in [
        ("mine", 1234),
        ("deep/down/old", CODER),
        ("deep", CODER),
        ("", CODER),
    ] {
        root.give(&format!("/home/coder/{path}"), uid, uid, 0o700);
    }
    let untouched = fs::metadata(root.at("/home/coder/mine"))
        .unwrap()
        .ctime_nsec();

    let (users, outcome) = prepare(&root, Some(1234), Some(1234));

    assert_eq!((users.coder.uid, users.coder.gid), (1234, 1234));
    for path in ["", "deep", "deep/down/old"] {
        assert_eq!(root.shown(&format!("/home/coder/{path}")), "1234:1234 0700");
    }
    assert!(root.shown("/home/coder/roots").starts_with("1234:1234"));
    assert!(
        root.shown("/home/coder/link").starts_with("1234:1234"),
        "the link itself"
    );
    assert!(
        root.shown("/outside/secret").starts_with("0:0"),
        "not what it leads to"
    );
    let mine = fs::metadata(root.at("/home/coder/mine")).unwrap();
    assert_eq!(
        mine.ctime_nsec(),
        untouched,
        "a file with the right owner is not touched"
    );
    assert!(
        outcome.warnings.iter().any(|w| w.contains("several names")),
        "{outcome:?}"
    );
    let passwd = fs::read_to_string(root.at("/etc/passwd")).unwrap();
    assert!(
        passwd.contains("\ncoder:x:1234:1234::/home/coder"),
        "{passwd}"
    );
    assert!(
        fs::read_to_string(root.at("/etc/group"))
            .unwrap()
            .contains("\ncoder:x:1234:")
    );
}

#[test]
fn a_second_start_changes_nothing() {
    let root = Root::new();
    prepare(&root, Some(1234), Some(100));
    let (users, outcome) = prepare(&root, Some(1234), Some(100));
    assert_eq!(outcome, Outcome::default());
    assert_eq!((users.coder.uid, users.coder.gid), (1234, 100));
    let group = fs::read_to_string(root.at("/etc/group")).unwrap();
    assert!(
        group.contains("users:x:100:\n") && group.contains("coder:x:1000:\n"),
        "{group}"
    );
}

#[test]
fn the_workspace_is_given_to_coder_at_its_top_alone_and_a_strangers_is_left() {
    let root = Root::new();
    root.write("/workspace/project/file", "");
    root.give("/workspace", 0, 0, 0o755);
    let (_, outcome) = prepare(&root, None, None);
    assert!(root.shown("/workspace").starts_with("1000:1000"));
    assert!(root.shown("/workspace/project").starts_with("0:0"));
    assert!(
        outcome
            .changes
            .iter()
            .any(|change| change.subject == Path::new("/workspace"))
    );

    root.give("/workspace", 1234, 1234, 0o755);
    let (_, outcome) = prepare(&root, None, None);
    assert!(root.shown("/workspace").starts_with("1234:1234"));
    assert_eq!(
        outcome.warnings,
        [
            "/workspace belongs to 1234:1234, and coder (1000:1000) cannot write there; set \
             PUID=1234 PGID=1234"
        ]
    );
}

#[test]
fn sessions_follow_coder_and_keep_controls_group() {
    let root = Root::new();
    prepare(&root, None, None);
    let session = "/var/lib/claude-in-box/sessions/4b1c";
    root.write(&format!("{session}/transcript.jsonl"), "");
    root.give(session, CODER, 970, 0o2750);
    root.give(&format!("{session}/transcript.jsonl"), CODER, 970, 0o640);
    prepare(&root, Some(1234), None);
    assert_eq!(root.shown(session), "1234:970 2750");
    assert_eq!(
        root.shown(&format!("{session}/transcript.jsonl")),
        "1234:970 0640"
    );
    assert_eq!(root.shown("/var/lib/claude-in-box/locks"), "1234:970 0750");
    assert_eq!(root.shown("/var/lib/claude-in-box/control"), "970:970 0700");
    assert_eq!(root.shown("/var/lib/claude-in-box/sessions"), "0:970 0755");
}

#[test]
fn what_is_mounted_in_the_home_is_left_alone() {
    if !inside("users::what_is_mounted_in_the_home_is_left_alone", MOUNTS) {
        return;
    }
    let root = Root::new();
    root.write("/mnt/photos/1.jpg", "");
    root.write("/home/coder/own", "");
    fs::create_dir_all(root.at("/home/coder/photos")).unwrap();
    fs::create_dir_all(root.at("/home/coder/disk")).unwrap();
    run(Command::new("mount")
        .arg("--bind")
        .args([root.at("/mnt/photos"), root.at("/home/coder/photos")]));
    run(Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(root.at("/home/coder/disk")));
    prepare(&root, Some(1234), Some(1234));
    assert!(root.shown("/home/coder/own").starts_with("1234:1234"));
    assert!(root.shown("/home/coder/photos/1.jpg").starts_with("0:0"));
    assert!(root.shown("/home/coder/disk").starts_with("0:0"));
}

#[test]
fn a_read_only_etc_is_one_clear_fault_and_no_half_written_file() {
    if !inside(
        "users::a_read_only_etc_is_one_clear_fault_and_no_half_written_file",
        MOUNTS,
    ) {
        return;
    }
    let root = Root::new();
    bind_read_only(&root.at("/etc"), &root.at("/etc"));
    let faults = judged(&root.paths, &[("PUID", "1234")]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0]
            .contains("PUID: is 1234, and /etc/passwd, where it would be written, is read-only")
    );
    assert_eq!(
        judged(&root.paths, &[]),
        [""; 0],
        "without PUID it does not matter"
    );
    let settings = ContainerSettings {
        puid: Some(1234),
        ..container()
    };
    let error =
        users::prepare(&root.paths, &settings, &HostFacts::observe(&root.paths)).unwrap_err();
    assert!(error.to_string().contains("etc/passwd"), "{error}");
    assert!(
        fs::read_to_string(root.at("/etc/passwd"))
            .unwrap()
            .contains("coder:x:1000:1000")
    );
}

#[test]
fn started_with_user_everything_is_that_user_and_nothing_needs_root() {
    const AS_CODER: &[&str] = &["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
    if !inside(
        "users::started_with_user_everything_is_that_user_and_nothing_needs_root",
        AS_CODER,
    ) {
        return;
    }
    let root = Root::new();
    assert_eq!(judged(&root.paths, &[]), [""; 0]);
    assert!(judged(&root.paths, &[("PUID", "1001")])[0].contains("started with --user as 1000"));
    let (users, outcome) = prepare(&root, None, None);
    assert!(!users.switch);
    assert_eq!(
        [&users.coder, &users.control, &users.proxy].map(|user| user.uid),
        [1000; 3]
    );
    assert_eq!(outcome.warnings, [""; 0]);
    assert!(root.at("/var/lib/claude-in-box/sessions").is_dir());
    let (_, again) = prepare(&root, None, None);
    assert_eq!(again, Outcome::default());
}

#[test]
fn started_as_a_user_without_a_name_that_is_said() {
    const STRANGER: &[&str] = &["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"];
    if !inside(
        "users::started_as_a_user_without_a_name_that_is_said",
        STRANGER,
    ) {
        return;
    }
    let (_, outcome) = prepare(&Root::new(), None, None);
    assert!(
        outcome.warnings[0].starts_with("uid 4321 has no name in /etc/passwd"),
        "{outcome:?}"
    );
}

#[test]
fn a_user_namespace_without_coders_id_is_refused_with_the_variable() {
    const ROOT_ALONE: &[&str] = &["unshare", "--user", "--map-root-user"];
    if !inside(
        "users::a_user_namespace_without_coders_id_is_refused_with_the_variable",
        ROOT_ALONE,
    ) {
        return;
    }
    let faults = judged(&Root::new().paths, &[("PUID", "1000")]);
    assert!(
        faults[0].starts_with("PUID: 1000 does not exist in this user namespace"),
        "{faults:?}"
    );
}

fn judged(paths: &Paths, variables: &[(&str, &str)]) -> Vec<String> {
    let environment: Environment = variables
        .iter()
        .copied()
        .chain([("CIB_AUTH_DISABLED", "1")])
        .collect();
    let read = |_: &Path| Err(SecretFileError::NotText);
    let settings = Settings::read(&environment, &FileSettings::new(), &read)
        .settings
        .unwrap();
    let accounts = Accounts::read(paths).unwrap();
    let faults = HostFacts::observe(paths).judge(&settings, paths, &accounts);
    faults.iter().map(ToString::to_string).collect()
}
