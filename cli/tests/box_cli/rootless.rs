//! Boxes of a Podman that needs no root, of a user who has none.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cib_testkit::wait::wait_until;

use crate::stage::{self, Person, Stage};
use crate::{Beyond, SOON};

/// Where the ids begin that the user's containers have, and how many there are.
const IDS: (u32, u32) = (2_000_000, 65_536);

/// A stage of a user with rootless Podman. If this process is root, the user is known in a view
/// of the machine that ends with the test: nothing of the machine's own files is changed.
struct Rootless {
    stage: Stage,
    view: Option<Child>,
}

impl Rootless {
    fn new() -> Self {
        let here = Command::new("podman").arg("--version").output();
        assert!(
            here.is_ok_and(|ran| ran.status.success()),
            "there is no podman; install podman, uidmap, slirp4netns and runc"
        );
        let mut all = Self {
            stage: Stage::new(),
            view: None,
        };
        all.stage.make_dirty();
        let home = all.stage.home().to_owned();
        all.configure(&home);
        let mut wrapper = Vec::new();
        if nix::unistd::geteuid().is_root() {
            // Not shared with another run: Podman has locks of each user's.
            let id = 100_000 + std::process::id() % 100_000;
            let view = view(&home, id);
            let of = format!("--mount=/proc/{}/ns/mnt", view.id());
            all.view = Some(view);
            wrapper = ["nsenter", &of, "setpriv"].map(str::to_owned).into();
            wrapper.extend([format!("--reuid={id}"), format!("--regid={id}")]);
            wrapper.push("--clear-groups".to_owned());
            let owner = format!("{id}:{id}");
            all.stage
                .run("chown", &["-R", &owner, home.to_str().unwrap()]);
        } else {
            wrapper.push("env".to_owned());
        }
        let runtime = home.join("run").display().to_string();
        all.stage.person = Some(Person {
            wrapper,
            cib: home.join("cib"),
            variables: vec![
                ("USER", "person".to_owned()),
                ("XDG_RUNTIME_DIR", runtime),
                ("CIB_ENGINE", "podman".to_owned()),
            ],
        });
        all.load();
        all
    }

    /// The user's files before there is the user: the program under test, and how Podman works.
    fn configure(&self, home: &Path) {
        std::fs::copy(env!("CARGO_BIN_EXE_cib"), home.join("cib")).unwrap();
        std::fs::create_dir(home.join("run")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(home.join("run"), mode).unwrap();
        let folder = home.join(".config/containers");
        std::fs::create_dir_all(&folder).unwrap();
        // With the driver that Podman falls back to, each layer has a copy of all below it.
        let storage = "[storage]\ndriver = \"overlay\"\n";
        std::fs::write(folder.join("storage.conf"), storage).unwrap();
        let mut engine = "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nlock_type = \"file\"\n".to_owned();
        if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            // The other runtime refuses groups of the first version.
            engine.push_str("runtime = \"runc\"\n");
        }
        std::fs::write(folder.join("containers.conf"), engine).unwrap();
    }

    /// Takes the image over from the engine that the other tests use.
    fn load(&self) {
        let mut save = Command::new("docker")
            .args(["save", &stage::image()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut load = self.stage.command("podman");
        load.args(["load", "--quiet"]);
        load.stdin(save.stdout.take().unwrap());
        let loaded = Stage::finish(load);
        assert!(save.wait().unwrap().success(), "docker save");
        assert_eq!(loaded.code, 0, "podman load: {}", loaded.stderr);
    }

    #[track_caller]
    fn podman(&self, arguments: &[&str]) -> String {
        self.stage.run("podman", arguments)
    }
}

/// A view of the machine in which there is a user `person` with this id, as long as it lives.
fn view(home: &Path, id: u32) -> Child {
    let files: Vec<(PathBuf, PathBuf)> = [
        (
            "passwd",
            format!("person:x:{id}:{id}::{}:/bin/sh", home.display()),
        ),
        ("group", format!("person:x:{id}:")),
        ("subuid", format!("person:{}:{}", IDS.0, IDS.1)),
        ("subgid", format!("person:{}:{}", IDS.0, IDS.1)),
    ]
    .into_iter()
    .map(|(name, line)| {
        let (real, ours) = (Path::new("/etc").join(name), home.join(name));
        let old = std::fs::read_to_string(&real).unwrap_or_default();
        std::fs::write(&ours, format!("{old}{line}\n")).unwrap();
        (real, ours)
    })
    .collect();
    let script = r#"set -e
while [ "$#" -gt 0 ]; do mount --bind "$1" "$2"; shift 2; done
echo there
exec cat"#;
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    for (real, ours) in &files {
        command.args([ours, real]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
    assert_eq!(said, "there\n", "no view of the machine of its own");
    child
}

impl Drop for Rootless {
    fn drop(&mut self) {
        let storage = self.stage.home().join(".local/share/containers");
        let storage = storage.to_str().unwrap_or_default();
        if self.stage.person.is_some() {
            // What is in the storage has ids of which this process can be none.
            let empty = ["unshare", "rm", "-rf", storage];
            let is_root = self.view.is_some();
            for words in [
                &["rm", "--all", "--force", "--time", "0"][..],
                if is_root { &["version"] } else { &empty },
                // Ends the process that holds the user's ids.
                &["system", "migrate"],
            ] {
                let mut command = self.stage.command("podman");
                command.args(words);
                let _ = command.output();
            }
        }
        if let Some(view) = &mut self.view {
            drop(view.stdin.take());
            let _ = view.wait();
        }
    }
}

#[test]
fn a_box_of_rootless_podman_has_the_copy_keeps_its_secrets_and_lets_nothing_past_the_proxy() {
    let rootless = Rootless::new();
    let stage = &rootless.stage;
    let before = stage.status();
    let prompt = "@bash cd /workspace && printf 'made\\n' > made.txt && git add made.txt && git commit -qm 'From the box' made.txt\n@text Done.";
    let started = stage.json(&["start", "--json", "--", prompt]);
    let name = started["name"].as_str().unwrap();
    let branch = started["branch"].as_str().unwrap();
    wait_until(SOON, "Claude's commit", || {
        stage.inside(name, "git log -1 --format=%s").trim() == "From the box"
    });
    let inside = stage.inside(name, "git status --porcelain=v2 --untracked-files=all");
    assert_eq!(inside, before);
    assert_eq!(stage.status(), before, "the repository outside has changed");
    let listed = stage.json(&["list", "--json"]);
    assert_eq!(listed[0]["name"], name);
    assert_eq!(listed[0]["branch"], branch);
    assert_eq!(listed[0]["commits"], 1, "{listed}");

    let token = std::fs::read_to_string(stage.state(name).join("token")).unwrap();
    let told = rootless.podman(&["inspect", name]);
    for secret in [token.as_str(), stage::API_KEY] {
        assert!(!told.contains(secret), "Podman tells a secret");
    }
    let path = "/run/secrets/auth_token";
    let there = rootless.podman(&["exec", name, "stat", "-c", "%U %a", path]);
    assert_eq!(there.trim(), "root 400");
    let read = stage.cib(&["exec", name, "cat", path]);
    assert_ne!(read.code, 0, "{}", read.stdout);

    // Its end is in order, its volumes stay, and what is no box of cib's is left alone.
    rootless.podman(&[
        "run",
        "--detach",
        "--name",
        "other",
        "--entrypoint",
        "sleep",
        &stage::image(),
        "600",
    ]);
    stage.good(&["stop", "--all"]);
    let state = "{{.State.Status}} {{.State.ExitCode}}";
    let ended = rootless.podman(&["container", "inspect", "--format", state, name]);
    assert_eq!(ended.trim(), "exited 0");
    let other = rootless.podman(&["container", "inspect", "--format", state, "other"]);
    assert_eq!(other.trim(), "running 0");
    rootless.podman(&["rm", "--force", "--time", "0", "--volumes", "other"]);
    assert_eq!(
        rootless
            .podman(&["volume", "ls", "--quiet"])
            .lines()
            .count(),
        4
    );
    let listed = stage.json(&["list", "--all", "--json"]);
    assert_eq!(listed[0]["state"], "exited");
    let applied = stage.json(&["apply", name, "--json"]);
    let commit = applied["commit"].as_str().unwrap();
    assert_eq!(stage.git(&["rev-parse", branch]).trim(), commit);
    stage.good(&["start", "--again", name]);
    assert_eq!(stage.inside(name, "cat made.txt"), "made\n");
    stage.good(&["rm", "--force", name]);
    assert_eq!(rootless.podman(&["ps", "--all", "--quiet"]), "");
    assert_eq!(rootless.podman(&["volume", "ls", "--quiet"]), "");

    // An image of an older box is refused, and goes with those that nobody uses.
    rootless.podman(&["create", "--name", "older", &stage::image()]);
    let label = "LABEL claude-in-box.image=0.0.1";
    rootless.podman(&["commit", "--quiet", "--change", label, "older", "older-box"]);
    rootless.podman(&["rm", "older"]);
    let refused = stage.cib(&["start", "--image", "older-box"]);
    assert_eq!(refused.code, 78, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("older than this cib"),
        "{}",
        refused.stderr
    );
    let cleaned = stage.json(&["clean", "--images", "--json"]);
    assert_eq!(
        cleaned["images"],
        serde_json::json!(["localhost/older-box:latest"])
    );

    // From this machine what is behind the proxy is reached without it, too.
    let beyond = Beyond::of(stage, crate::LOGIN);
    wait_until(SOON, "what is behind the proxy", || {
        let mut direct = stage.command("curl");
        direct.args(["-sS", "--max-time", "20", &beyond.api]);
        Stage::finish(direct).code == 0
    });
    // With a container that holds the proxy not even root in the box changes the rules.
    let curl = ["curl", "-sS", "--max-time", "20", &beyond.api];
    let name = stage.start(&["--shell", "--proxy-file", &beyond.file]);
    let as_root =
        |words: &[&str]| stage.cib(&[&["exec", "--root", name.as_str()][..], words].concat());
    assert_eq!(as_root(&curl).code, 0);
    for attempt in [
        &["nft", "flush", "ruleset"][..],
        &["cat", "/run/secrets/proxy_url"],
    ] {
        let ran = as_root(attempt);
        assert_ne!(ran.code, 0, "{attempt:?}: {}", ran.stdout);
    }
    stage.good(&["stop", &name]);
    stage.good(&["start", "--again", &name]);
    assert_eq!(as_root(&curl).code, 0);
    stage.good(&["rm", "--force", &name]);
    assert_eq!(rootless.podman(&["ps", "--all", "--quiet"]), "");
    assert_eq!(rootless.podman(&["volume", "ls", "--quiet"]), "");

    // From this machine what is behind the proxy could be reached without it, too.
    let name = stage.start(&["--shell", "--single", "--proxy-file", &beyond.file]);
    let ask = [&["exec", name.as_str()][..], &curl].concat();
    stage.good(&ask);
    drop(beyond.proxy);
    let past = stage.cib(&ask);
    assert_ne!(past.code, 0, "{}", past.stdout);
    let told = rootless.podman(&["inspect", &name]);
    assert!(!told.contains("secret-of-the-proxy"));
    let rules = stage.cib(&["exec", &name, "nft", "flush", "ruleset"]);
    assert_ne!(rules.code, 0, "{}", rules.stdout);
    assert!(rules.stderr.contains("not permitted"), "{}", rules.stderr);
}
