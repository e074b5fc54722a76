//! What the host tests of the steps share: a box's file system in a scratch directory.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cib_init::environment::{
    AgentSettings, ContainerSettings, HostKeyPolicy, KeySettings, LogFormat, LogLevel,
};
use cib_init::steps::Paths;
use cib_init::steps::host::HostFacts;
use cib_init::steps::users::{self, Users};

pub(crate) const CODER: u32 = 1000;

/// A scratch directory with the files of a box.
pub(crate) struct Root {
    /// Removed with everything in it at the end.
    _dir: tempfile::TempDir,
    pub(crate) paths: Paths,
}

impl Root {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let paths = Paths::below(dir.path(), "/var/lib/claude-in-box".into());
        let root = Self { _dir: dir, paths };
        for folder in [
            "/etc/ssh/ssh_config.d",
            "/run",
            "/dev",
            "/home/coder",
            "/workspace",
            "/mnt",
        ] {
            fs::create_dir_all(root.at(folder)).unwrap();
        }
        root.write(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\ncib:x:970:970::/nonexistent:/usr/sbin/nologin\n\
             cib-proxy:x:971:971::/nonexistent:/usr/sbin/nologin\n\
             cib-keeper:x:972:972::/nonexistent:/usr/sbin/nologin\n\
             coder:x:1000:1000::/home/coder:/bin/bash\n",
        );
        // A test that is not root has them already.
        for folder in ["/home/coder", "/workspace"] {
            let _ = chown(root.at(folder), Some(CODER), Some(CODER));
        }
        root.write(
            "/etc/group",
            "root:x:0:\nusers:x:100:\ncib:x:970:\ncib-keeper:x:972:\ncoder:x:1000:\n",
        );
        root
    }

    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.paths.at(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Sets owner, group and mode.
    pub(crate) fn give(&self, path: &str, uid: u32, gid: u32, mode: u32) {
        let path = self.at(path);
        // In this order a set-group-id bit needs no capability, as in a hardened box.
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
    }

    /// Owner, group and mode of the entry itself, as `1000:1000 0600`.
    pub(crate) fn shown(&self, path: &str) -> String {
        let metadata = fs::symlink_metadata(self.at(path)).unwrap();
        format!(
            "{}:{} {:04o}",
            metadata.uid(),
            metadata.gid(),
            metadata.mode() & 0o7777
        )
    }

    /// The users of an image that was started by Docker, with the folders that they need.
    pub(crate) fn users(&self) -> Users {
        let facts = HostFacts::observe(&self.paths);
        users::prepare(&self.paths, &container(), &facts).unwrap().0
    }
}

pub(crate) fn container() -> ContainerSettings {
    ContainerSettings {
        puid: None,
        pgid: None,
        time_zone: None,
        data_dir: "/var/lib/claude-in-box".into(),
        log_format: LogFormat::Text,
        log_level: LogLevel::Info,
        shutdown_timeout: std::time::Duration::from_secs(8),
    }
}

pub(crate) fn keys() -> KeySettings {
    KeySettings {
        ssh_dir: None,
        gnupg_dir: None,
        agents: AgentSettings::default(),
        known_hosts: None,
        host_keys: HostKeyPolicy::AcceptNew,
    }
}

/// Runs a command and returns what it wrote; a failure shows all of it.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", both(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn both(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}: {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

/// A command that runs as coder, with nothing in its environment but `PATH` and `HOME`.
pub(crate) fn as_coder(root: &Root, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=1000",
        "--regid=1000",
        "--clear-groups",
        "--no-new-privs",
        program,
    ]);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("HOME", root.at("/home/coder")).current_dir("/");
    command
}

/// Runs the test of this name again under a wrapper such as `unshare`, and says whether this
/// is that run. The caller returns if it is not.
pub(crate) fn inside(test: &str, wrapper: &[&str]) -> bool {
    const INSIDE: &str = "CIB_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new(wrapper[0]);
    command
        .args(&wrapper[1..])
        .arg(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1");
    run(&mut command);
    false
}

/// A mount namespace of its own.
pub(crate) const MOUNTS: &[&str] = &["unshare", "--mount", "--propagation", "private"];

/// Binds a directory onto another one, read-only, within the test's own mount namespace.
pub(crate) fn bind_read_only(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    run(Command::new("mount").arg("--bind").args([from, to]));
    run(Command::new("mount")
        .args(["-o", "remount,bind,ro"])
        .arg(to));
}
