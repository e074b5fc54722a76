//! Keys as real ssh and GnuPG want them.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use cib_init::environment::{GitSettings, KeySettings, Signing};
use cib_init::steps::Outcome;
use cib_init::steps::git::{self, Taken};
use cib_init::steps::keys::{self, Keys};

use crate::support::{MOUNTS, Root, as_coder, bind_read_only, inside, keys as settings, run};

fn prepare(root: &Root, settings: &KeySettings) -> (Keys, Outcome) {
    let users = root.users();
    keys::prepare(&root.paths, settings, &users).unwrap()
}

/// Makes an ssh key pair of ssh-keygen's in a folder of the box.
fn generate(root: &Root, path: &str) {
    let at = root.at(path);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(at));
}

/// Whether ssh takes the private key, as coder.
fn usable(root: &Root, path: &str) -> bool {
    let output = as_coder(root, "ssh-keygen")
        .args(["-y", "-f"])
        .arg(root.at(path))
        .output();
    output.unwrap().status.success()
}

#[test]
fn owners_and_modes_become_what_ssh_and_gnupg_insist_on_with_one_line_each() {
    let root = Root::new();
    generate(&root, "/home/coder/.ssh/id_ed25519");
    root.write("/home/coder/.ssh/config", "Host *\n");
    root.write("/home/coder/.ssh/known_hosts", "");
    root.write("/home/coder/.ssh/config.d/work", "");
    root.write("/home/coder/.gnupg/private-keys-v1.d/k.key", "");
    root.give("/home/coder/.ssh", 0, 0, 0o777);
    root.give("/home/coder/.ssh/id_ed25519", 501, 20, 0o640);
    root.give("/home/coder/.ssh/config", 1000, 1000, 0o664);
    root.give("/home/coder/.ssh/known_hosts", 1000, 1000, 0o644);
    root.give("/home/coder/.gnupg", 1000, 1000, 0o755);
    assert!(!usable(&root, "/home/coder/.ssh/id_ed25519"));

    let (_, outcome) = prepare(&root, &settings());

    for (path, shown) in [
        (".ssh", "1000:1000 0700"),
        (".ssh/id_ed25519", "1000:1000 0600"),
        (".ssh/id_ed25519.pub", "1000:1000 0644"),
        (".ssh/known_hosts", "1000:1000 0644"),
        (".ssh/config", "1000:1000 0600"),
        (".ssh/config.d", "1000:1000 0700"),
        (".ssh/config.d/work", "1000:1000 0600"),
        (".gnupg", "1000:1000 0700"),
        (".gnupg/private-keys-v1.d", "1000:1000 0700"),
        (".gnupg/private-keys-v1.d/k.key", "1000:1000 0600"),
    ] {
        assert_eq!(root.shown(&format!("/home/coder/{path}")), shown, "{path}");
    }
    assert!(usable(&root, "/home/coder/.ssh/id_ed25519"));
    let lines: Vec<_> = outcome.changes.iter().map(ToString::to_string).collect();
    assert!(
        lines.contains(
            &"/home/coder/.ssh/id_ed25519: owner 1000:1000, was 501:20; mode 0600, was 0640"
                .to_owned()
        ),
        "{lines:#?}"
    );
    assert!(
        lines.contains(&"/home/coder/.gnupg: mode 0700, was 0755".to_owned()),
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("known_hosts")),
        "{lines:#?}"
    );
    assert_eq!(
        prepare(&root, &settings()).1,
        Outcome::default(),
        "a second start changes nothing"
    );
}

#[test]
fn links_are_never_followed_out_of_the_home() {
    let root = Root::new();
    root.write("/outside/file", "");
    root.write("/home/coder/.ssh/real", "");
    symlink(root.at("/outside/file"), root.at("/home/coder/.ssh/id_rsa")).unwrap();
    symlink(root.at("/outside"), root.at("/home/coder/.ssh/config.d")).unwrap();
    fs::hard_link(root.at("/outside/file"), root.at("/home/coder/.ssh/hard")).unwrap();
    symlink(root.at("/outside"), root.at("/home/coder/.gnupg")).unwrap();
    root.give("/outside", 0, 0, 0o755);
    root.give("/outside/file", 0, 0, 0o644);
    let (_, outcome) = prepare(&root, &settings());
    assert_eq!(root.shown("/outside"), "0:0 0755");
    assert_eq!(root.shown("/outside/file"), "0:0 0644");
    assert_eq!(root.shown("/home/coder/.ssh/real"), "1000:1000 0600");
    assert_eq!(outcome.warnings.len(), 4, "{:#?}", outcome.warnings);
}

#[test]
fn a_private_key_that_ssh_cannot_read_is_named_with_the_remedy() {
    let root = Root::new();
    generate(&root, "/home/coder/.ssh/windows");
    generate(&root, "/home/coder/.ssh/pasted");
    let windows = fs::read_to_string(root.at("/home/coder/.ssh/windows")).unwrap();
    root.write("/home/coder/.ssh/windows", &windows.replace('\n', "\r\n"));
    let pasted = fs::read_to_string(root.at("/home/coder/.ssh/pasted")).unwrap();
    root.write("/home/coder/.ssh/pasted", pasted.trim_end());
    let (_, outcome) = prepare(&root, &settings());
    assert_eq!(outcome.warnings.len(), 2, "{:#?}", outcome.warnings);
    assert!(outcome.warnings[0].starts_with("/home/coder/.ssh/pasted does not end in a newline"));
    assert!(outcome.warnings[1].starts_with("/home/coder/.ssh/windows has CRLF line ends"));
}

#[test]
fn a_read_only_folder_is_copied_to_memory_and_linked() {
    if !inside(
        "keys::a_read_only_folder_is_copied_to_memory_and_linked",
        MOUNTS,
    ) {
        return;
    }
    let root = Root::new();
    run(Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(root.at("/run")));
    generate(&root, "/mnt/data/..v1/id_ed25519");
    // As Kubernetes lays out a secret, plus a link that leads elsewhere.
    symlink("..v1", root.at("/mnt/data/..data")).unwrap();
    symlink("..data/id_ed25519", root.at("/mnt/data/id_ed25519")).unwrap();
    symlink("/etc/shadow", root.at("/mnt/data/shadow")).unwrap();
    root.give("/mnt/data/..v1/id_ed25519", 4242, 4242, 0o440);
    bind_read_only(&root.at("/mnt/data"), &root.at("/mnt/ssh"));
    // The image's own folder is empty.
    fs::create_dir(root.at("/home/coder/.ssh")).unwrap();
    let settings = KeySettings {
        ssh_dir: Some("/mnt/ssh".into()),
        ..settings()
    };

    for start in ["first", "second"] {
        let (keys, outcome) = prepare(&root, &settings);
        assert_eq!(keys, Keys::default());
        let target = fs::read_link(root.at("/home/coder/.ssh")).unwrap();
        assert_eq!(target.to_str(), Some("/run/cib/keys/ssh"), "{start}");
        assert_eq!(root.shown("/run/cib/keys/ssh"), "1000:1000 0700");
        assert_eq!(root.shown("/run/cib/keys/ssh/id_ed25519"), "1000:1000 0600");
        assert!(usable(&root, "/run/cib/keys/ssh/id_ed25519"));
        assert!(!root.at("/run/cib/keys/ssh/shadow").exists());
        assert!(
            outcome
                .warnings
                .iter()
                .any(|w| w.contains("leads out of its folder")),
            "{outcome:?}"
        );
    }
}

#[test]
fn files_that_are_there_already_win_over_the_mounted_ones() {
    let root = Root::new();
    root.write("/mnt/ssh/config", "mounted");
    root.write("/mnt/ssh/id_rsa", "mounted");
    root.write("/home/coder/.ssh/config", "own");
    let settings = KeySettings {
        ssh_dir: Some("/mnt/ssh".into()),
        ..settings()
    };
    let (_, outcome) = prepare(&root, &settings);
    assert_eq!(
        fs::read_to_string(root.at("/home/coder/.ssh/config")).unwrap(),
        "own"
    );
    let link = fs::read_link(root.at("/home/coder/.ssh/id_rsa")).unwrap();
    assert!(link.ends_with("ssh/id_rsa"), "{}", link.display());
    let said = |part: &str| {
        outcome
            .warnings
            .iter()
            .any(|warning| warning.contains(part))
    };
    assert!(
        said("config is there already") && said("keys are on disk"),
        "{outcome:#?}"
    );
}

#[test]
fn a_read_only_mount_over_the_folder_itself_is_copied_and_ssh_is_told() {
    if !inside(
        "keys::a_read_only_mount_over_the_folder_itself_is_copied_and_ssh_is_told",
        MOUNTS,
    ) {
        return;
    }
    let root = Root::new();
    run(Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(root.at("/run")));
    generate(&root, "/mnt/data/id_ed25519");
    root.write("/mnt/data/config", "Host example\n  User somebody\n");
    root.write("/mnt/gnupg/pubring.kbx", "");
    for folder in ["/mnt/data", "/mnt/gnupg"] {
        root.give(folder, 501, 20, 0o700);
    }
    bind_read_only(&root.at("/mnt/data"), &root.at("/home/coder/.ssh"));
    bind_read_only(&root.at("/mnt/gnupg"), &root.at("/home/coder/.gnupg"));

    let (keys, outcome) = prepare(&root, &settings());

    assert_eq!(root.shown("/home/coder/.ssh"), "501:20 0700");
    assert_eq!(outcome.warnings.len(), 2, "{:#?}", outcome.warnings);
    assert!(outcome.warnings[0].contains("name that place in CIB_SSH_DIR"));
    assert_eq!(
        keys.gnupg_home.as_deref(),
        Some("/run/cib/keys/gnupg".as_ref())
    );
    let none = GitSettings {
        user_name: None,
        user_email: None,
        signing: Signing::Off,
        signing_key: None,
    };
    git::prepare(&root.paths, &none, &settings(), &keys, &Taken::default()).unwrap();
    let main = fs::read_to_string(root.at("/run/cib/ssh/main")).unwrap();
    assert!(
        main.contains("Include \"/run/cib/keys/ssh/config\""),
        "{main}"
    );
    let shown = run(as_coder(&root, "ssh")
        .args(["-G", "-F"])
        .arg(root.at("/run/cib/ssh/config"))
        .arg("x"));
    assert!(
        shown.contains("identityfile /run/cib/keys/ssh/id_ed25519"),
        "{shown}"
    );
    assert!(
        shown.contains("stricthostkeychecking accept-new"),
        "{shown}"
    );
    assert!(usable(&root, "/run/cib/keys/ssh/id_ed25519"));
}

#[test]
fn a_read_only_mount_that_is_right_already_is_used_as_it_is() {
    if !inside(
        "keys::a_read_only_mount_that_is_right_already_is_used_as_it_is",
        MOUNTS,
    ) {
        return;
    }
    let root = Root::new();
    generate(&root, "/mnt/data/id_ed25519");
    for (path, mode) in [
        ("", 0o700),
        ("/id_ed25519", 0o600),
        ("/id_ed25519.pub", 0o644),
    ] {
        root.give(&format!("/mnt/data{path}"), 1000, 1000, mode);
    }
    bind_read_only(&root.at("/mnt/data"), &root.at("/home/coder/.ssh"));
    assert_eq!(
        prepare(&root, &settings()),
        (Keys::default(), Outcome::default())
    );
    assert!(usable(&root, "/home/coder/.ssh/id_ed25519"));
}
