//! Two namespaces on a cable: the box, and everything else. The tests of `cib-resolver` use this
//! file as well.
//!
//! ```text
//! box 198.51.100.2 --- 198.51.100.1 the upstream   203.0.113.1  comes from here
//!                                   name server    203.0.113.53
//!                                   web server     203.0.113.80
//! ```
//!
//! The far side has the documentation networks, because the firewall and the resolver treat
//! private addresses in their own way.

use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use cib_redsocks::{Redirector as _, Redsocks, Settings};
use cib_testkit::netns::Netns;
use cib_testkit::process::{Process, run};
use cib_testkit::socks::{Kind, Login, Socks};
use cib_testkit::wait::wait_until;
use cib_upstream::Upstream;
use nix::sched::{CloneFlags, setns};
use tempfile::{NamedTempFile, TempDir};

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const PROXY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const PROXY_PORT: u16 = 1080;
/// Where what the upstream carries seems to come from.
pub(crate) const FROM: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const LISTEN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 12345);
pub(crate) const WEB: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 80), 80);
/// Every character that the URL or redsocks.conf treats in its own way.
pub(crate) const PASSWORD: &str = "p@ss:w/rd?#% \"\\};='é//";

const RULES: &str = "table inet lab {
  chain out {
    type nat hook output priority -110; policy accept;
    ip daddr 198.51.100.1 return
    ip6 daddr 2001:db8:1::1 return
    ip daddr 127.0.0.11 meta l4proto { tcp, udp } th dport 53 redirect to :5301
    fib daddr type local return
    meta l4proto { tcp, udp } th dport 53 redirect to :5302
    meta nfproto ipv4 meta l4proto tcp redirect to :12345
  }
}
";

/// The namespaces. Processes inside end with them.
pub(crate) struct Lab {
    pub(crate) inside: Netns,
    pub(crate) far: Netns,
    files: TempDir,
}

impl Lab {
    /// Joined, addressed and redirecting, with nothing running.
    pub(crate) fn new() -> Self {
        let (inside, far) = (Netns::new().unwrap(), Netns::new().unwrap());
        inside
            .join("198.51.100.2/24", &far, "198.51.100.1/24", "eth0")
            .unwrap();
        for address in ["203.0.113.1", "203.0.113.53", "203.0.113.80"] {
            far.ip(&format!("addr add {address}/32 dev lo")).unwrap();
        }
        inside
            .ip("addr add 2001:db8:1::2/64 dev eth0 nodad")
            .unwrap();
        far.ip("addr add 2001:db8:1::1/64 dev eth0 nodad").unwrap();
        inside.ip("route add default via 198.51.100.1").unwrap();
        nft(&inside, RULES);
        Self {
            inside,
            far,
            files: TempDir::new().unwrap(),
        }
    }

    /// A file that lives as long as the lab.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> std::path::PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Starts a real SOCKS server at [`PROXY`].
    pub(crate) fn socks(&self, kind: Kind, password: Option<&str>) -> (Process, Upstream) {
        let login = password.map(|password| Login {
            user: "box".into(),
            password: password.into(),
        });
        let listen = (PROXY, PROXY_PORT).into();
        let socks = Socks {
            kind,
            listen,
            from: FROM.into(),
            login,
        };
        (
            socks.start(&self.far).unwrap(),
            Upstream::parse(&socks.url()).unwrap(),
        )
    }

    /// Starts redsocks in the box, and waits until it listens.
    pub(crate) fn redsocks(&self, upstream: &Upstream, next_hop: SocketAddr) -> Process {
        self.redsocks_limited(upstream, next_hop, 1024, 16_384)
    }

    /// The same with a soft and a hard limit of open files.
    pub(crate) fn redsocks_limited(
        &self,
        upstream: &Upstream,
        next_hop: SocketAddr,
        soft: u64,
        hard: u64,
    ) -> Process {
        let redsocks = Redsocks::default();
        let settings = Settings {
            upstream,
            next_hop,
            listen: LISTEN,
            nofile: hard,
        };
        let path = self.file("redsocks.conf", &redsocks.configuration(&settings).unwrap());
        let mut command = self.inside.command("prlimit");
        command
            .arg(format!("--nofile={soft}:{hard}"))
            .args(redsocks.argv(&path));
        let mut process = Process::spawn(command).unwrap();
        wait_until(SOON, "redsocks", || {
            assert!(process.exited().is_none(), "{}", process.output());
            listens(&self.inside, LISTEN.port())
        });
        process
    }

    /// Fetches a page of the web server's from inside the box.
    pub(crate) fn fetch(&self) -> Result<String, String> {
        let mut command = self.inside.command("curl");
        command.args(["-sS", "--fail", "--max-time", "15", "--noproxy", "*"]);
        command.arg(format!("http://{WEB}/"));
        run(command).map_err(|error| error.to_string())
    }
}

/// Loads rules into a namespace that is none of the machine's own.
pub(crate) fn nft(netns: &Netns, rules: &str) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(rules.as_bytes()).unwrap();
    let mut command = netns.command("nft");
    command.arg("-f").arg(file.path());
    run(command).unwrap();
}

pub(crate) fn listens(netns: &Netns, port: u16) -> bool {
    let mut command = netns.command("ss");
    command.args(["-Hltn", &format!("sport = :{port}")]);
    run(command).is_ok_and(|found| !found.trim().is_empty())
}

/// Does async work on a thread of its own inside a namespace, and waits for its end.
pub(crate) fn within<T: Send + 'static, F: Future<Output = T>>(
    netns: &Netns,
    work: impl FnOnce() -> F + Send + 'static,
) -> T {
    spawn_within(netns, work).join().unwrap()
}

/// The same without waiting. A server's thread ends with the test's process.
pub(crate) fn spawn_within<T: Send + 'static, F: Future<Output = T>>(
    netns: &Netns,
    work: impl FnOnce() -> F + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let namespace = File::open(netns.path()).unwrap();
    std::thread::spawn(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work())
    })
}

/// The pinned address of most tests.
pub(crate) fn pinned() -> IpAddr {
    PROXY.into()
}
