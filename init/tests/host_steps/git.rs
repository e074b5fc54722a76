//! git and ssh as coder, with the configuration that init writes.

use std::fs;
use std::path::Path;
use std::process::Command;

use cib_init::environment::{GitSettings, HostKeyPolicy, KeySettings, Signing};
use cib_init::steps::git::{self, Taken};
use cib_init::steps::keys::Keys;

use crate::support::{Root, as_coder, both, keys as settings, run};

fn identity() -> GitSettings {
    GitSettings {
        user_name: Some("Ada \"L\" Lovelace".to_owned()),
        user_email: Some("ada@example.org".to_owned()),
        signing: Signing::Off,
        signing_key: None,
    }
}

/// git as coder in the workspace, which finds the box's configuration where the scratch
/// directory has it.
fn as_git(root: &Root, arguments: &[&str]) -> Command {
    let mut command = as_coder(root, "git");
    command.env("GIT_CONFIG_SYSTEM", root.at("/run/cib/git/config"));
    command.current_dir(root.at("/workspace")).args(arguments);
    command
}

/// Writes the configuration, with the paths in it as they are outside of the scratch directory.
fn written(root: &Root, git: &GitSettings) {
    root.users();
    git::prepare(
        &root.paths,
        git,
        &settings(),
        &Keys::default(),
        &Taken::default(),
    )
    .unwrap();
    let config = root.at("/run/cib/git/config");
    let prefix = root.at("/");
    let prefix = prefix.to_str().unwrap().trim_end_matches('/');
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("\"/workspace", &format!("\"{prefix}/workspace"));
    fs::write(&config, text.replace("\"/run", &format!("\"{prefix}/run"))).unwrap();
}

#[test]
fn coder_commits_under_the_given_name_in_a_folder_of_another_owner() {
    let root = Root::new();
    for folder in ["/workspace", "/workspace/nested"] {
        fs::create_dir_all(root.at(folder)).unwrap();
        run(Command::new("git")
            .args(["init", "--quiet"])
            .arg(root.at(folder)));
        run(Command::new("chown")
            .args(["-R", "4242:4242"])
            .arg(root.at(folder)));
        run(Command::new("chmod")
            .args(["-R", "a+rwX"])
            .arg(root.at(folder)));
    }
    written(&root, &identity());
    for folder in ["/workspace", "/workspace/nested"] {
        let at = root.at(folder);
        let commit = ["commit", "--quiet", "--allow-empty", "--message", "x"];
        run(as_git(&root, &commit).current_dir(&at));
        let author = run(as_git(&root, &["log", "-1", "--format=%an <%ae>"]).current_dir(&at));
        assert_eq!(author, "Ada \"L\" Lovelace <ada@example.org>\n");
    }
}

#[test]
fn the_users_own_configuration_wins() {
    let root = Root::new();
    written(&root, &identity());
    root.write("/home/coder/.gitconfig", "[user]\n\tname = Own\n");
    assert_eq!(run(&mut as_git(&root, &["config", "user.name"])), "Own\n");
    assert_eq!(
        run(&mut as_git(&root, &["config", "user.email"])),
        "ada@example.org\n"
    );
}

#[test]
fn commits_are_signed_by_an_ssh_key_and_verified() {
    let root = Root::new();
    let key = root.at("/home/coder/key");
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key));
    for file in ["/home/coder/key", "/home/coder/key.pub"] {
        root.give(file, 1000, 1000, 0o600);
    }
    let public = fs::read_to_string(root.at("/home/coder/key.pub")).unwrap();
    let agent = root.at("/mnt/agent");
    root.give("/mnt", 1000, 1000, 0o700);
    let mut command = as_coder(&root, "ssh-agent");
    let mut child = command
        .args(["-D", "-a"])
        .arg(&agent)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::os::unix::net::UnixStream::connect(&agent).is_err() {
        assert!(std::time::Instant::now() < end, "no agent");
        std::thread::yield_now();
    }
    run(as_coder(&root, "ssh-add")
        .arg("-q")
        .arg(&key)
        .env("SSH_AUTH_SOCK", &agent));
    fs::remove_file(&key).unwrap();

    // With the key given the signature can be verified; without it the agent's first is taken.
    let given = Some(public.trim().to_owned());
    for signing_key in [given, None] {
        let verifiable = signing_key.is_some();
        let git = GitSettings {
            signing: Signing::Ssh,
            signing_key,
            ..identity()
        };
        written(&root, &git);
        run(&mut as_git(&root, &["init", "--quiet", "."]));
        let commit = ["commit", "--quiet", "--allow-empty", "--message", "x"];
        run(as_git(&root, &commit).env("SSH_AUTH_SOCK", &agent));
        let raw = run(&mut as_git(&root, &["cat-file", "commit", "HEAD"]));
        assert!(raw.contains("-----BEGIN SSH SIGNATURE-----"), "{raw}");
        if verifiable {
            run(&mut as_git(&root, &["verify-commit", "HEAD"]));
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn ssh_reads_the_policy_and_the_known_hosts() {
    let root = Root::new();
    root.users();
    for (host_keys, shown) in [
        (HostKeyPolicy::AcceptNew, "stricthostkeychecking accept-new"),
        (HostKeyPolicy::Strict, "stricthostkeychecking true"),
        (HostKeyPolicy::Off, "stricthostkeychecking false"),
    ] {
        let known = "example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB".to_owned();
        let settings = KeySettings {
            host_keys,
            known_hosts: Some(known),
            ..settings()
        };
        git::prepare(
            &root.paths,
            &identity(),
            &settings,
            &Keys::default(),
            &Taken::default(),
        )
        .unwrap();
        let mut ssh = as_coder(&root, "ssh");
        let output = ssh
            .args(["-G", "-F"])
            .arg(root.at("/run/cib/ssh/config"))
            .arg("x")
            .output();
        let output = both(&output.unwrap());
        assert!(output.contains(shown), "{output}");
        assert!(
            output.contains("globalknownhostsfile /run/cib/ssh/known_hosts "),
            "{output}"
        );
    }
    let hosts = fs::read_to_string(root.at("/run/cib/ssh/known_hosts")).unwrap();
    assert!(hosts.starts_with("example.org ") && hosts.ends_with('\n'));
    assert!(Path::new(&root.at("/etc/gitconfig")).exists());
}
