//! The relay, between real agents and the programs that use them.

use std::cell::RefCell;
use std::fs;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cib_init::environment::AgentSettings;
use cib_init::steps::Outcome;
use cib_init::steps::agent::{self, Notice};
use cib_init::steps::keys::Keys;
use nix::sys::socket::{getsockopt, sockopt};

use crate::support::{Root, as_coder, both, run};

const DEADLINE: Duration = Duration::from_secs(60);

/// An ssh-agent of some user of the machine outside, with one key.
struct Agent(Child);

impl Agent {
    fn start(root: &Root, key: &str) -> Self {
        let socket = root.at("/mnt/agent/socket");
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        root.give("/mnt/agent", 4242, 4242, 0o700);
        let _ = fs::remove_file(&socket);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=4242", "--regid=4242", "--clear-groups"]);
        command.args(["ssh-agent", "-D", "-a"]).arg(&socket);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        wait_for("the agent", || UnixStream::connect(&socket).is_ok());
        if !root.at(key).exists() {
            let at = root.at(key);
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"])
                .arg(at));
        }
        run(Command::new("ssh-add")
            .arg("-q")
            .arg(root.at(key))
            .env("SSH_AUTH_SOCK", &socket));
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Ends whatever GnuPG started by itself for a home.
struct Daemons(PathBuf);

impl Drop for Daemons {
    fn drop(&mut self) {
        let mut kill = Command::new("gpgconf");
        run(kill.args(["--kill", "all"]).env("GNUPGHOME", &self.0));
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::yield_now();
    }
}

fn ssh() -> AgentSettings {
    AgentSettings {
        ssh: Some("/mnt/agent/socket".into()),
        gpg: None,
    }
}

/// Serves the relays of these agents on init's kind of runtime while `test` runs in a thread of
/// its own; what the relays said and what opening them said.
fn relayed(
    root: &Root,
    agents: &AgentSettings,
    keys: &Keys,
    test: impl FnOnce() + Send + 'static,
) -> (Vec<Notice>, Outcome) {
    let users = root.users();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let notices = Rc::new(RefCell::new(Vec::new()));
    let tasks = tokio::task::LocalSet::new();
    let outcome = tasks.block_on(&runtime, async {
        let (relays, outcome) = agent::open(&root.paths, agents, &users, keys);
        for relay in relays {
            let notices = Rc::clone(&notices);
            tokio::task::spawn_local(relay.serve(move |notice| notices.borrow_mut().push(notice)));
        }
        finished(test).await;
        outcome
    });
    let notices = notices.borrow().clone();
    (notices, outcome)
}

/// Completes when the thread has ended; its panic goes on here.
fn finished(test: impl FnOnce() + Send + 'static) -> impl Future<Output = ()> {
    let (done, end) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    async move {
        let ended = tokio::time::timeout(3 * DEADLINE, end)
            .await
            .expect("the test hangs");
        if ended.is_err() {
            std::panic::resume_unwind(thread.join().unwrap_err());
        }
    }
}

fn listed(root: &Root, socket: &Path) -> String {
    let output = as_coder(root, "ssh-add")
        .arg("-l")
        .env("SSH_AUTH_SOCK", socket)
        .output()
        .unwrap();
    both(&output)
}

#[test]
fn coder_uses_an_agent_of_any_owner_and_mode_and_nobody_else_uses_the_relay() {
    let root = Arc::new(Root::new());
    let _agent = Agent::start(&root, "/mnt/first");
    root.give("/mnt/agent/socket", 4242, 4242, 0o600);
    let socket = root.at("/run/cib/ssh-agent.sock");
    let direct = root.at("/mnt/agent/socket");
    let shared = Arc::clone(&root);
    let (notices, outcome) = relayed(&root, &ssh(), &Keys::default(), move || {
        let root = &*shared;
        assert!(
            !listed(root, &direct).contains("ED25519"),
            "the socket itself is out of reach"
        );
        assert!(
            listed(root, &socket).contains("/mnt/first"),
            "{}",
            listed(root, &socket)
        );
        assert_eq!(root.shown("/run/cib/ssh-agent.sock"), "1000:1000 0600");
        let mut other = Command::new("setpriv");
        other.args([
            "--reuid=970",
            "--regid=970",
            "--clear-groups",
            "ssh-add",
            "-l",
        ]);
        let output = other.env("SSH_AUTH_SOCK", &socket).output().unwrap();
        assert!(
            both(&output).contains("Permission denied"),
            "{}",
            both(&output)
        );
    });
    assert_eq!(notices, []);
    assert_eq!(outcome.warnings, [""; 0]);
}

#[test]
fn an_agent_that_is_started_again_is_found_again() {
    let root = Arc::new(Root::new());
    let first = Agent::start(&root, "/mnt/first");
    let socket = root.at("/run/cib/ssh-agent.sock");
    let shared = Arc::clone(&root);
    let (notices, _) = relayed(&root, &ssh(), &Keys::default(), move || {
        let root = &*shared;
        assert!(listed(root, &socket).contains("/mnt/first"));
        drop(first);
        assert!(!listed(root, &socket).contains("ED25519"));
        assert!(!listed(root, &socket).contains("ED25519"));
        let _second = Agent::start(root, "/mnt/second");
        assert!(
            listed(root, &socket).contains("/mnt/second"),
            "{}",
            listed(root, &socket)
        );
    });
    let [Notice::Lost(why), Notice::Back] = notices.as_slice() else {
        panic!("{notices:?}")
    };
    assert!(why.contains("mount the folder that holds it"), "{why}");
}

#[test]
fn two_hundred_silent_connections_delay_nobody_for_longer_than_they_live() {
    let root = Arc::new(Root::new());
    let _agent = Agent::start(&root, "/mnt/first");
    let socket = root.at("/run/cib/ssh-agent.sock");
    let shared = Arc::clone(&root);
    relayed(&root, &ssh(), &Keys::default(), move || {
        // The backlog of the socket takes those that are not accepted.
        let silent: Vec<_> = (0..200)
            .map(|_| UnixStream::connect(&socket))
            .take_while(Result::is_ok)
            .collect();
        assert!(silent.len() >= 64, "{}", silent.len());
        drop(silent);
        assert!(listed(&shared, &socket).contains("/mnt/first"));
    });
}

#[test]
fn bytes_pass_unchanged_in_both_directions_and_an_end_is_passed_on() {
    let root = Arc::new(Root::new());
    fs::create_dir_all(root.at("/mnt/agent")).unwrap();
    let upstream = UnixListener::bind(root.at("/mnt/agent/socket")).unwrap();
    let socket = root.at("/run/cib/ssh-agent.sock");
    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    relayed(&root, &ssh(), &Keys::default(), move || {
        let echo = std::thread::spawn(move || {
            let (mut peer, _) = upstream.accept().unwrap();
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            peer.write_all(&all).unwrap();
        });
        let mut client = UnixStream::connect(&socket).unwrap();
        client.write_all(&sent).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
        echo.join().unwrap();
    });
}

#[test]
fn an_agent_that_is_not_there_yet_is_a_warning() {
    let root = Root::new();
    let (_, outcome) = relayed(&root, &ssh(), &Keys::default(), || ());
    assert_eq!(
        outcome.warnings,
        [
            "SSH_AUTH_SOCK: /mnt/agent/socket is not there yet; mount the agent's socket, or the \
             folder that holds it"
        ]
    );
}

#[test]
fn gpg_in_the_box_speaks_to_the_agent_outside() {
    let root = Arc::new(Root::new());
    let outside = root.at("/mnt/gnupg");
    fs::create_dir_all(&outside).unwrap();
    root.give("/mnt/gnupg", 0, 0, 0o700);
    let _daemons = Daemons(outside.clone());
    let gpg = |arguments: &[&str]| {
        run(Command::new("gpg")
            .args(["--batch", "--quiet"])
            .args(arguments)
            .env("GNUPGHOME", &outside))
    };
    let generate = [
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
        "--quick-gen-key",
        "Me <me@example.org>",
    ];
    gpg(&[&generate[..], &["ed25519", "sign", "never"]].concat());
    let public = gpg(&["--armor", "--export"]);
    let listing = run(Command::new("gpgconf")
        .args(["--list-dirs", "agent-socket"])
        .env("GNUPGHOME", &outside));
    let agent_socket = listing.trim().to_owned();
    fs::create_dir_all(root.at("/mnt/agent")).unwrap();
    // The mounted socket: the box sees it under another path.
    std::os::unix::fs::symlink(&agent_socket, root.at("/mnt/agent/gpg")).unwrap();

    let home = root.at("/home/coder/.gnupg");
    let agents = AgentSettings {
        ssh: None,
        gpg: Some("/mnt/agent/gpg".into()),
    };
    let shared = Arc::clone(&root);
    let (notices, outcome) = relayed(&root, &agents, &Keys::default(), move || {
        let root = &*shared;
        // Outside of the box /run/cib is elsewhere, and so the redirection is written anew.
        let redirection = home.join("S.gpg-agent");
        let text = fs::read_to_string(&redirection).unwrap();
        assert_eq!(text, "%Assuan%\nsocket=/run/cib/gpg-agent.sock\n");
        let here = root.at("/run/cib/gpg-agent.sock");
        fs::write(
            &redirection,
            format!("%Assuan%\nsocket={}\n", here.display()),
        )
        .unwrap();
        root.write("/mnt/key.asc", &public);
        let coder = |arguments: &[&str]| {
            let mut command = as_coder(root, "gpg");
            command
                .args(["--batch", "--quiet", "--no-autostart"])
                .args(arguments);
            run(command.env("GNUPGHOME", &home))
        };
        coder(&["--import", root.at("/mnt/key.asc").to_str().unwrap()]);
        let secret = coder(&["--list-secret-keys"]);
        assert!(secret.contains("me@example.org"), "{secret}");
        root.write("/home/coder/text", "signed");
        let signed = root.at("/home/coder/text.sig");
        coder(&[
            "--trust-model",
            "always",
            "--output",
            signed.to_str().unwrap(),
            "--detach-sign",
            root.at("/home/coder/text").to_str().unwrap(),
        ]);
        assert!(signed.exists());
    });
    assert_eq!(notices, []);
    assert_eq!(outcome.warnings, [""; 0]);
    assert_eq!(root.shown("/home/coder/.gnupg"), "1000:1000 0700");
    assert_eq!(
        root.shown("/home/coder/.gnupg/S.gpg-agent"),
        "1000:1000 0600"
    );
}

/// A folder of coder's own, as a mounted one of the user 1000 outside is.
fn coders_folder(root: &Root) {
    fs::create_dir_all(root.at("/mnt/agent")).unwrap();
    root.give("/mnt/agent", 1000, 1000, 0o755);
}

/// Whether anybody connects to this listener while coder uses the relay.
fn is_reached(root: &Arc<Root>, victim: UnixListener) -> (bool, Vec<Notice>) {
    let socket = root.at("/run/cib/ssh-agent.sock");
    victim.set_nonblocking(true).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let (notices, _) = relayed(root, &ssh(), &Keys::default(), move || {
        for _ in 0..3 {
            let mut client = UnixStream::connect(&socket).unwrap();
            let _ = client.write_all(b"hello\n");
            let _ = client.read_to_end(&mut Vec::new());
        }
        tell.send(victim.accept().is_ok()).unwrap();
    });
    (told.recv().unwrap(), notices)
}

#[test]
fn a_link_in_a_folder_of_coders_is_not_followed() {
    let root = Arc::new(Root::new());
    coders_folder(&root);
    fs::create_dir_all(root.at("/run/other")).unwrap();
    let victim = UnixListener::bind(root.at("/run/other/root.sock")).unwrap();
    root.give("/run/other/root.sock", 0, 0, 0o666);
    let target = root.at("/run/other/root.sock");
    std::os::unix::fs::symlink(target, root.at("/mnt/agent/socket")).unwrap();
    let (reached, notices) = is_reached(&root, victim);
    assert!(!reached);
    let [Notice::Lost(why)] = notices.as_slice() else {
        panic!("{notices:?}")
    };
    assert!(why.contains("symbolic link"), "{why}");
}

#[test]
fn a_socket_that_coder_may_not_use_is_not_used_for_coder() {
    let root = Arc::new(Root::new());
    coders_folder(&root);
    // Moved there by coder, whose folder it is.
    let victim = UnixListener::bind(root.at("/mnt/agent/docker.sock")).unwrap();
    root.give("/mnt/agent/docker.sock", 0, 0, 0o600);
    run(as_coder(&root, "mv").args([
        root.at("/mnt/agent/docker.sock"),
        root.at("/mnt/agent/socket"),
    ]));
    let (reached, notices) = is_reached(&root, victim);
    assert!(!reached, "init lent root's rights");
    let [Notice::Lost(why)] = notices.as_slice() else {
        panic!("{notices:?}")
    };
    assert!(why.contains("with coder's rights alone"), "{why}");
}

#[test]
fn an_agent_in_a_folder_of_coders_sees_coder_and_the_relay_stays_root() {
    let root = Arc::new(Root::new());
    coders_folder(&root);
    let agent = UnixListener::bind(root.at("/mnt/agent/socket")).unwrap();
    root.give("/mnt/agent/socket", 1000, 1000, 0o600);
    let socket = root.at("/run/cib/ssh-agent.sock");
    relayed(&root, &ssh(), &Keys::default(), move || {
        for _ in 0..3 {
            let _client = UnixStream::connect(&socket).unwrap();
            let (peer, _) = agent.accept().unwrap();
            let peer = getsockopt(&peer, sockopt::PeerCredentials).unwrap();
            assert_eq!((peer.uid(), peer.gid()), (1000, 1000));
        }
    });
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for set in ["Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0"] {
        assert!(status.contains(set), "{status}");
    }
}

#[test]
fn the_boxs_own_sockets_are_no_agents() {
    let root = Arc::new(Root::new());
    root.users();
    let victim = UnixListener::bind(root.at("/run/cib/init.sock")).unwrap();
    let socket = root.at("/run/cib/ssh-agent.sock");
    let agents = AgentSettings {
        ssh: Some("/run/cib/init.sock".into()),
        gpg: None,
    };
    victim.set_nonblocking(true).unwrap();
    let (notices, outcome) = relayed(&root, &agents, &Keys::default(), move || {
        let mut client = UnixStream::connect(&socket).unwrap();
        let _ = client.read_to_end(&mut Vec::new());
        assert!(victim.accept().is_err(), "init was asked through its relay");
    });
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(outcome.warnings[0].contains("of the box itself"));
}

#[test]
fn clients_of_a_silent_agent_leave_nothing_behind_and_a_good_one_is_found_in_its_place() {
    let root = Arc::new(Root::new());
    fs::create_dir_all(root.at("/mnt/agent")).unwrap();
    let at = root.at("/mnt/agent/socket");
    let silent = UnixListener::bind(&at).unwrap();
    let socket = root.at("/run/cib/ssh-agent.sock");
    let shared = Arc::clone(&root);
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    relayed(&root, &ssh(), &Keys::default(), move || {
        let before = open();
        let mut held = Vec::new();
        let clients: Vec<_> = (0..80)
            .map(|_| {
                let mut client = UnixStream::connect(&socket).unwrap();
                client.write_all(b"hello").unwrap();
                client
            })
            .collect();
        // Taken and never answered.
        while held.len() < 64 {
            held.push(silent.accept().unwrap());
        }
        drop(clients);
        let (least, kept) = (before + held.len(), held.len());
        wait_for("the places to be free", || open() <= least + 2);
        drop(held);
        assert_eq!(kept, 64, "further ones are turned away");
        fs::remove_file(&at).unwrap();
        drop(silent);
        let _agent = Agent::start(&shared, "/mnt/first");
        assert!(listed(&shared, &socket).contains("/mnt/first"));
    });
}
