//! What a `_FILE` variable names is init's alone, in every way that docs/guides/secrets.md has.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_testkit::engine::{Container, Engine, Spec};
use cib_testkit::lab::{API_KEY, TOKEN};

const BOOT: Duration = Duration::from_secs(60);
const CONFIG: i32 = 78;

/// A folder of this machine with a token and a key in it.
struct Secrets(tempfile::TempDir);

impl Secrets {
    fn new(owner: u32, mode: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let secrets = Self(dir);
        secrets.file("auth_token", TOKEN, owner, mode);
        secrets.file("anthropic_api_key", API_KEY, owner, mode);
        secrets
    }

    fn file(&self, name: &str, value: &str, owner: u32, mode: u32) {
        let path = self.0.path().join(name);
        fs::write(&path, format!("{value}\n")).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A box that is told of both files in this folder of its own.
    fn told(&self, spec: Spec, folder: &str) -> Spec {
        spec.env("CIB_AUTH_TOKEN_FILE", &format!("{folder}/auth_token"))
            .env(
                "ANTHROPIC_API_KEY_FILE",
                &format!("{folder}/anthropic_api_key"),
            )
    }

    /// Each file mounted by itself, as scripts/run, compose and Swarm do.
    fn one_by_one(&self, spec: Spec) -> Spec {
        let spec = self.told(spec, "/run/secrets");
        ["auth_token", "anthropic_api_key"]
            .into_iter()
            .fold(spec, |spec, name| {
                let from = self.at(name);
                spec.volume(&format!("{}:/run/secrets/{name}:ro", from.display()))
            })
    }

    /// The whole folder, as by plain Docker and Kubernetes.
    fn as_folder(&self, spec: Spec) -> Spec {
        let spec = self.told(spec, "/run/secrets/box");
        spec.volume(&format!("{}:/run/secrets/box:ro", self.0.path().display()))
    }
}

fn a_box() -> Spec {
    Engine::get().a_box()
}

/// With what `deploy/compose.hardened.yaml` leaves.
fn hardened(spec: Spec) -> Spec {
    let spec = spec
        .option("--cap-drop", "ALL")
        .option("--security-opt", "no-new-privileges:true");
    [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "KILL",
        "SETGID",
        "SETUID",
    ]
    .into_iter()
    .fold(spec, Spec::cap)
}

/// Root reads both files in the box, and coder neither, nor their values anywhere else.
#[track_caller]
fn are_closed(cage: &Container, way: &str, folder: &str) {
    for (name, value) in [("auth_token", TOKEN), ("anthropic_api_key", API_KEY)] {
        let path = format!("{folder}/{name}");
        let roots = cage.exec(&["cat", &path]);
        assert_eq!(roots.stdout.trim(), value, "{way}: {}", roots.stderr);
        let coders = cage.exec_as("coder", &["cat", &path]);
        assert_ne!(coders.code, 0, "{way}: coder reads {path}");
        assert!(
            coders.stderr.contains("Permission denied"),
            "{way}: code {}, {}",
            coders.code,
            coders.stderr
        );
    }
    let look = "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /run/cib/*/* /etc/claude-in-box/* \
                2>/dev/null; grep -rs . /run/secrets; echo done";
    let seen = cage.exec_as("coder", &["sh", "-c", look]);
    assert!(
        seen.stdout.ends_with("done\n"),
        "{way}: code {}, {}",
        seen.code,
        seen.stderr
    );
    for value in [TOKEN, API_KEY] {
        assert!(!seen.stdout.contains(value), "{way}: coder sees {value}");
        assert!(!cage.logs().contains(value), "{way}: the log tells {value}");
    }
}

#[test]
fn no_documented_way_leaves_a_secret_readable_for_coder() {
    let own = Secrets::new(1000, 0o600);
    let for_all = Secrets::new(0, 0o644);
    let swarms = Secrets::new(0, 0o444);
    let read_only = |spec: Spec| {
        spec.option("--read-only", "--tmpfs=/tmp")
            .tmpfs("/run")
            .volume("/var/lib/claude-in-box")
    };
    let ways = [
        ("scripts/run of user 1000", own.one_by_one(a_box())),
        ("compose", for_all.one_by_one(a_box())),
        ("compose, hardened", for_all.one_by_one(hardened(a_box()))),
        ("Swarm", swarms.one_by_one(a_box())),
        ("a read-only root", own.one_by_one(read_only(a_box()))),
    ];
    for (way, spec) in ways {
        let cage = spec.start();
        cage.wait_healthy(BOOT);
        are_closed(&cage, way, "/run/secrets");
    }
}

#[test]
fn a_folder_of_secrets_is_closed_and_stays_so_when_the_box_is_started_again() {
    let folder = Secrets::new(1000, 0o644);
    let cage = folder.as_folder(a_box()).start();
    cage.wait_healthy(BOOT);
    are_closed(&cage, "a folder", "/run/secrets/box");
    cage.stop(Duration::from_secs(10));
    cage.start_again();
    cage.wait_healthy(BOOT);
    are_closed(&cage, "a folder, again", "/run/secrets/box");
}

#[test]
fn the_links_of_a_volume_of_kubernetes_are_followed_and_closed() {
    let volume = Secrets::new(0, 0o644);
    let now = volume.at("..2026_11_28_10_00_00.1");
    fs::create_dir(&now).unwrap();
    for name in ["auth_token", "anthropic_api_key"] {
        fs::rename(volume.at(name), now.join(name)).unwrap();
        symlink(Path::new("..data").join(name), volume.at(name)).unwrap();
    }
    symlink(now.file_name().unwrap(), volume.at("..data")).unwrap();
    let cage = volume.as_folder(a_box()).start();
    cage.wait_healthy(BOOT);
    are_closed(&cage, "Kubernetes", "/run/secrets/box");
}

#[test]
fn what_init_cannot_close_is_refused_with_the_remedy_and_changes_nothing() {
    let own = Secrets::new(1000, 0o400);
    let places = ["/mnt/auth_token", "/workspace/auth_token"];
    for place in places {
        let mount = format!("{}:{place}:ro", own.at("auth_token").display());
        let spec = || a_box().env("CIB_AUTH_TOKEN_FILE", place).volume(&mount);
        let cage = spec().start();
        let (code, log) = (cage.wait_exit(BOOT), cage.logs());
        assert_eq!(code, CONFIG, "{place}: {log}");
        for word in ["CIB_AUTH_TOKEN_FILE", place, "/run/secrets", "nothing was"] {
            assert!(log.contains(word), "{place}: no {word} in {log}");
        }

        let cage = spec().env("CIB_EXPOSED_SECRETS", "allow").start();
        cage.wait_healthy(BOOT);
        let status = cage.sh("cib-init status");
        assert!(status.contains(place), "{place}: {status}");
    }
}

#[test]
fn a_token_in_quotes_is_refused_and_not_shown() {
    let quoted = Secrets::new(0, 0o400);
    quoted.file("auth_token", &format!("\"{TOKEN}\""), 0, 0o400);
    let variable = a_box().env("CIB_AUTH_TOKEN", &format!("\"{TOKEN}\""));
    for spec in [variable, quoted.one_by_one(a_box())] {
        let cage = spec.start();
        let (code, log) = (cage.wait_exit(BOOT), cage.logs());
        assert_eq!(code, CONFIG, "{log}");
        assert!(log.contains("stands in quotes"), "{log}");
        assert!(!log.contains(TOKEN), "{log}");
    }
}

#[test]
fn a_service_of_kubernetes_that_is_named_like_the_box_does_no_harm() {
    let cage = a_box()
        .env("CIB_AUTH_TOKEN", TOKEN)
        .env("CIB_PORT", "tcp://10.96.0.5:8080")
        .env("CIB_SERVICE_HOST", "10.96.0.5")
        .env("CIB_PORT_8080_TCP_ADDR", "10.96.0.5")
        .start();
    cage.wait_healthy(BOOT);
    let log = cage.logs();
    assert_eq!(log.matches("enableServiceLinks").count(), 1, "{log}");
}
