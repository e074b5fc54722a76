//! A box as PID 1: init itself is real, control and keepers are small scripts, and the root
//! file system is this machine's with a layer on top that goes away.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cib_init::socket::client::ask;
use cib_protocol::init::{BoxStatus, InitReply, InitRequest, ServiceStatus};

use crate::support::{INIT, PATIENCE, children, eventually, signal};

/// The token of every box here.
pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

/// Says that it is ready, and stays until it is asked to go.
const CONTROL: &str = "#!/bin/bash\n/opt/box/answers &\ntrap 'exit 0' TERM\necho >&3\nexec 3>&-\n\
    while :; do sleep 0.05; done\n";

/// Answers the health check for the script that starts it, where init gave that a socket.
const ANSWERS: &str = r#"#!/usr/bin/perl
my $parent = getppid;
close STDOUT; close STDERR; open(my $ready, '>&=', 3) and close $ready;
open(my $health, '+<&=', 5) or exit;
$health->blocking(0);
while (getppid == $parent) {
    if (accept(my $asks, $health)) { syswrite($asks, qq({"ok":true,"detail":"fine"}\n)) }
    else { select(undef, undef, undef, 0.05) }
}
"#;

/// Lays the root file system and starts PID 1 in it. `$1` is the test's directory, `$2` what a
/// user namespace of its own has as `uid_map`: who writes that has to be outside of it.
const LAY: &str = r#"
set -e
mount --make-rprivate /
mkdir -p "$1/layer" "$1/data" "$1/workspace"
mount -t tmpfs tmpfs "$1/layer"
mkdir "$1/layer/upper" "$1/layer/work" "$1/layer/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/layer/upper,workdir=$1/layer/work" "$1/layer/root"
cd "$1/layer/root"
mkdir -p workspace home/coder var/lib/claude-in-box etc/claude-in-box/init.d run tmp opt/box
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount --rbind /dev dev
mount --bind "$1/bin" opt/box
mount --bind "$1/init.d" etc/claude-in-box/init.d
mount --bind "$1/data" var/lib/claude-in-box
mount --bind "$1/workspace" workspace
if [ -e "$1/home" ]; then mkdir -p home/coder/.claude; mount --bind "$1/home" home/coder/.claude; fi
printf 'root:x:0:0::/root:/bin/bash\ncib:x:970:970::/nonexistent:/usr/sbin/nologin\ncib-proxy:x:971:971::/nonexistent:/usr/sbin/nologin\ncib-keeper:x:972:972::/nonexistent:/usr/sbin/nologin\ncoder:x:1000:1000::/home/coder:/bin/bash\n' > etc/passwd
printf 'root:x:0:\ncib:x:970:\ncib-proxy:x:971:\ncib-keeper:x:972:\ncoder:x:1000:\n' > etc/group
chown 1000:1000 home/coder workspace
while read -r from to; do
  if [ -d "$1/$from" ]; then mkdir -p "$to"; else mkdir -p "${to%/*}" && : >"$to"; fi
  mount --bind "$1/$from" "$to"
  mount -o remount,bind,ro "$to"
done <"$1/mounts"
ip link set lo up
root="$PWD" ids="$2"
shift 2
set -- unshare --pid --fork --kill-child --mount --mount-proc --root="$root" -- "$@"
[ -n "$ids" ] || exec "$@"
own=$$ outside=$(readlink /proc/self/ns/user)
(until [ "$(readlink /proc/$own/ns/user)" != "$outside" ]; do :; done
 echo "$ids" >/proc/$own/gid_map
 echo "$ids" >/proc/$own/uid_map) &
exec unshare --user -- bash -c 'until grep -q . /proc/self/uid_map; do :; done; exec "$@"' mapped "$@"
"#;

/// What a box is started with.
pub(crate) struct Recipe {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
    ids: String,
    stdout: Option<Stdio>,
}

impl Recipe {
    /// A box with a control that is always well and a keeper that is ready at once.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "init.d"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        // Not a link: init looks for the other programs where it is itself.
        std::fs::copy(INIT, dir.path().join("bin/cib-init")).unwrap();
        std::fs::write(dir.path().join("mounts"), "").unwrap();
        let world = PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), world).unwrap();
        let mut recipe = Self {
            dir,
            variables: Vec::new(),
            ids: String::new(),
            stdout: None,
        };
        recipe.set("CIB_AUTH_TOKEN", TOKEN);
        recipe.set("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        recipe.program("cib-control", CONTROL);
        recipe.program("answers", ANSWERS);
        recipe
    }

    /// Sets a variable of the container.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the box a user namespace with these ids, as `uid_map` has them.
    pub(crate) fn user_namespace(&mut self, ids: &str) -> &mut Self {
        self.ids = ids.to_owned();
        self
    }

    /// Puts a script beside init.
    pub(crate) fn program(&mut self, name: &str, script: &str) -> &mut Self {
        let path = self.dir.path().join("bin").join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        self
    }

    /// Writes a file of the test's directory, with an owner and a mode.
    pub(crate) fn file(&mut self, path: &str, text: &str, owner: u32, mode: u32) -> &mut Self {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    /// Mounts a file or folder of the test's directory read-only, as an engine does.
    pub(crate) fn mount(&mut self, from: &str, to: &str) -> &mut Self {
        let list = self.dir.path().join("mounts");
        let mut lines = std::fs::read_to_string(&list).unwrap();
        lines.push_str(&format!("{from} {}\n", to.trim_start_matches('/')));
        std::fs::write(&list, lines).unwrap();
        self
    }

    /// Puts a file into `init.d`.
    pub(crate) fn configure(&mut self, text: &str) -> &mut Self {
        std::fs::write(self.dir.path().join("init.d/test.toml"), text).unwrap();
        self
    }

    /// Sends the box's stream there instead of collecting it.
    pub(crate) fn stdout(&mut self, stdout: Stdio) -> &mut Self {
        self.stdout = Some(stdout);
        self
    }

    /// One of the directories that the box sees: `data`, `workspace`, `init.d` or `bin`.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the box; the recipe can be used again afterwards, for the same volumes.
    pub(crate) fn start(&mut self) -> Running {
        self.start_with(&["/opt/box/cib-init", "box"])
    }

    /// Starts something else as PID 1.
    pub(crate) fn start_with(&mut self, words: &[&str]) -> Running {
        self.start_in(&["unshare", "--net"], words)
    }

    /// The same in the network namespace that the first words enter.
    pub(crate) fn start_in(&mut self, network: &[&str], words: &[&str]) -> Running {
        let captured = self.stdout.is_none();
        let mut child = Command::new("env")
            .arg("--default-signal")
            .args(network)
            .args(["unshare", "--mount", "--kill-child", "--fork"])
            .args(["bash", "-c", LAY, "lay"])
            .arg(self.dir.path())
            .arg(&self.ids)
            .args(words)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(self.stdout.take().unwrap_or_else(Stdio::piped))
            .stderr(Stdio::piped())
            .spawn()
            .expect("env is there");
        let said: Arc<Mutex<String>> = Arc::default();
        let mut heard = Vec::new();
        if captured {
            heard.push(collect(child.stdout.take().unwrap(), Arc::clone(&said)));
        }
        heard.push(collect(child.stderr.take().unwrap(), Arc::clone(&said)));
        Running {
            outer: child,
            pid: None,
            said,
            heard,
        }
    }
}

/// Keeps what is said; what comes back is told of when that is all.
fn collect(from: impl std::io::Read + Send + 'static, to: Arc<Mutex<String>>) -> Receiver<()> {
    let (done, heard) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
        // Who waits for it may be gone.
        let _ = done.send(());
    });
    heard
}

/// A box that was started.
pub(crate) struct Running {
    outer: Child,
    pid: Option<i32>,
    said: Arc<Mutex<String>>,
    heard: Vec<Receiver<()>>,
}

impl Running {
    /// PID 1's number out here.
    pub(crate) fn pid(&mut self) -> i32 {
        if let Some(pid) = self.pid {
            return pid;
        }
        let pid = eventually("PID 1 runs", || self.find());
        self.pid = Some(pid);
        pid
    }

    /// Looks for PID 1 behind unshare, the script and the inner unshare.
    fn find(&self) -> Option<i32> {
        let mut pid = self.outer.id();
        loop {
            pid = children(pid).first()?.cast_unsigned();
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            if words.starts_with(b"/opt/box/") {
                return Some(pid.cast_signed());
            }
        }
    }

    /// A path of the box, from out here.
    pub(crate) fn inside(&mut self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.pid())).join(path.trim_start_matches('/'))
    }

    /// Asks the box over its socket.
    pub(crate) fn ask(&mut self, request: &InitRequest) -> Option<InitReply> {
        let socket = self.inside("/run/cib/init.sock");
        ask(&socket, request, Duration::from_secs(30)).ok()
    }

    /// What `cib-init status` would show.
    pub(crate) fn status(&mut self) -> Option<BoxStatus> {
        match self.ask(&InitRequest::Status {})? {
            InitReply::Status(status) => Some(*status),
            other => panic!("{other:?}"),
        }
    }

    /// One service as `status` shows it.
    #[track_caller]
    pub(crate) fn service(&mut self, name: &str) -> ServiceStatus {
        let status = self.status().expect("the box answers");
        let found = status
            .services
            .into_iter()
            .find(|service| service.name == name);
        found.unwrap_or_else(|| panic!("no service {name}"))
    }

    /// Runs a line of shell in the box as coder, with nothing but its rights; what it printed.
    #[track_caller]
    pub(crate) fn as_coder(&mut self, script: &str) -> String {
        let pid = self.pid().to_string();
        let words = ["-t", &pid, "-p", "-m", "-n", "-r", "-w", "--", "setpriv"];
        let rights = [
            "--reuid=1000",
            "--regid=1000",
            "--clear-groups",
            "--no-new-privs",
        ];
        let output = Command::new("nsenter")
            .args(words)
            .args(rights)
            .args([
                "--bounding-set=-all",
                "--inh-caps=-all",
                "bash",
                "-c",
                script,
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Processes of the box whose command line holds this, by their numbers in the box.
    pub(crate) fn processes(&mut self, text: &str) -> Vec<u32> {
        let proc = self.inside("/proc");
        let entries = std::fs::read_dir(proc).unwrap().flatten();
        let found = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let words = std::fs::read(entry.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            words.contains(text).then_some(pid)
        });
        found.collect()
    }

    /// Waits until the box is healthy.
    #[track_caller]
    pub(crate) fn wait_until_up(&mut self) -> &mut Self {
        let said = Arc::clone(&self.said);
        let up = || match self.ask(&InitRequest::Healthcheck {}) {
            Some(InitReply::Health { healthy: true, .. }) => Some(()),
            _ => None,
        };
        let up = std::panic::AssertUnwindSafe(up);
        let waited = std::panic::catch_unwind(move || {
            let up = up;
            eventually("the box is up", up.0);
        });
        assert!(waited.is_ok(), "{}", said.lock().unwrap());
        self
    }

    /// Everything said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until this was said.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        let said = || self.said.lock().unwrap().contains(text).then_some(());
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually(text, said)))
            .is_err()
        {
            panic!("never said {text:?}, but: {}", self.said());
        }
    }

    /// Sends a signal to PID 1.
    pub(crate) fn signal(&mut self, number: i32) {
        signal(self.pid(), number);
    }

    /// Waits until the box is over, and until all that it said is heard.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let outer = &mut self.outer;
        let status = eventually("the box ends", || outer.try_wait().unwrap());
        for heard in self.heard.drain(..) {
            // Of something that holds on to the pipe the test itself has to tell.
            let _ = heard.recv_timeout(PATIENCE);
        }
        status
    }

    /// Asks the box to end, as `docker stop` does; its exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(libc::SIGTERM);
        self.wait().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The namespaces end with PID 1. It does not always end with its parent: the kernel forgets
        // that wish when a process takes another user's rights for a moment, as it does to look at
        // secrets.
        if let Ok(None) = self.outer.try_wait()
            && let Some(pid) = self.find()
        {
            // It may be over by now.
            let _ = cib_init::sys::signal::send(pid, libc::SIGKILL);
        }
        let _ = self.outer.kill();
        let _ = self.outer.wait();
        if std::thread::panicking() {
            // Collected with the failed test's own output.
            print!("--- the box said:\n{}", self.said());
        }
    }
}
