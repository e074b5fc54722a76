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
fn the_folders_of_the_record_are_nobodys_whom_coder_could_be() {
    let root = Root::new();
    let data = "/var/lib/claude-in-box";
    root.write(&format!("{data}/sessions/kept"), "");
    for folder in ["", "/sessions"] {
        root.give(&format!("{data}{folder}"), CODER, CODER, 0o777);
    }
    prepare(&root, Some(1234), None);
    assert_eq!(root.shown(data), "0:0 0755");
    assert_eq!(root.shown(&format!("{data}/control")), "970:970 0700");
    assert_eq!(root.shown(&format!("{data}/sessions")), "0:970 0755");
}

#[test]
fn a_record_in_a_folder_of_coders_is_warned_about() {
    let mut root = Root::new();
    root.paths.data = "/home/coder/data".into();
    let (_, outcome) = prepare(&root, None, None);
    let told = outcome.warnings.iter().any(|warning| {
        warning.starts_with("/home/coder is coder's to change") && warning.contains("CIB_DATA_DIR")
    });
    assert!(told, "{outcome:?}");
}

#[test]
fn claudes_folder_follows_puid_though_it_is_a_mount_and_a_strangers_is_left() {
    if !inside(
        "users::claudes_folder_follows_puid_though_it_is_a_mount_and_a_strangers_is_left",
        MOUNTS,
    ) {
        return;
    }
    let root = Root::new();
    let claude = "/home/coder/.claude";
    fs::create_dir_all(root.at("/mnt/home")).unwrap();
    fs::create_dir_all(root.at(claude)).unwrap();
    run(Command::new("mount")
        .arg("--bind")
        .args([root.at("/mnt/home"), root.at(claude)]));
    // As an engine makes it, empty and root's.
    prepare(&root, Some(1001), Some(1001));
    assert!(root.shown(claude).starts_with("1001:1001"));
    // From before a change of PUID, here and on another volume.
    root.write(&format!("{claude}/projects/a.jsonl"), "");
    for path in ["/projects/a.jsonl", "/projects"] {
        root.give(&format!("{claude}{path}"), 1001, 1001, 0o700);
    }
    let (_, outcome) = prepare(&root, Some(1500), None);
    for path in ["", "/projects", "/projects/a.jsonl"] {
        assert!(
            root.shown(&format!("{claude}{path}"))
                .starts_with("1500:1001"),
            "{path}: {outcome:?}"
        );
    }
    let (_, again) = prepare(&root, Some(1500), None);
    assert_eq!(again, Outcome::default());
    // Somebody's own, which may be in use outside.
    root.give(claude, 4321, 4321, 0o700);
    let (users, _) = prepare(&root, Some(1500), None);
    assert!(root.shown(claude).starts_with("4321:4321"));
    let tried = [
        ("/home/coder/.claude", Some("permission denied")),
        (
            "/home/coder/.claude/settings.json",
            Some("permission denied"),
        ),
        ("/workspace", None),
    ];
    let tried = tried.map(|(path, fault)| (path.into(), fault.map(str::to_owned)));
    assert_eq!(
        users::judge(&root.paths, &users, &tried, &[]),
        [
            "/home/coder/.claude (owner 4321:4321, mode 0700) cannot be written to by coder \
             (1500:1001): permission denied: Claude keeps its login and its conversations there; \
             set PUID=4321 PGID=4321, or give it to 1500:1001 outside"
        ]
    );
}

#[test]
fn a_mount_that_cannot_be_written_to_is_told_of_once_with_its_remedy() {
    let root = Root::new();
    let (users, _) = prepare(&root, None, None);
    root.write("/home/coder/.claude/settings.json", "{}");
    let settings = "/home/coder/.claude/settings.json";
    root.give(settings, 0, 0, 0o644);
    let tried = |path: &str, fault: &str| [(path.into(), Some(fault.to_owned()))];
    let judge = |tried: &[_], said: &[String]| users::judge(&root.paths, &users, tried, said);
    let told = judge(&tried(settings, "read-only file system"), &[]);
    assert_eq!(
        told,
        [
            "/home/coder/.claude/settings.json (owner 0:0, mode 0644) is mounted read-only: \
             Claude's settings cannot be completed, and it may ask its first questions; mount it \
             writable"
        ]
    );
    let told = judge(&tried(settings, "permission denied"), &[]);
    assert!(
        told[0].ends_with("give it to 1000:1000 outside"),
        "{told:?}"
    );
    let said = ["/workspace belongs to somebody".to_owned()];
    let told = judge(&tried("/workspace", "permission denied"), &said);
    assert_eq!(told, [""; 0], "it was said before");
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
        [&users.coder, &users.keeper, &users.control, &users.proxy].map(|user| user.uid),
        [1000; 4]
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
