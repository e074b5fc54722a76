//! The three ways out that are compared.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use cib_nft::runner::{Blocking, enforce};
use cib_nft::{EgressPolicy, Enforcement, Upstreams as Pinned, Wiring};
use cib_testkit::process::Process;
use cib_testkit::socks::{Kind, Socks};
use cib_testkit::wait::wait_until;
use cib_upstream::Upstream;
use nix::sched::{CloneFlags, setns};

use super::lab::{FROM, LISTEN, Lab, PROXY, PROXY_PORT, SOON, listens, nft};

/// The ends of the slow cable.
pub(crate) const FAR_BOX: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 130);
pub(crate) const FAR_WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 129);

/// As many descriptors as everybody gets.
const FILES: u64 = 16_384;

/// `USER_HZ`, in which `/proc/PID/stat` counts (proc(5)): the same on every architecture that
/// there is a box for.
const TICKS_A_SECOND: u64 = 100;

/// How packets leave.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Straight, without a proxy and without a rule.
    Direct,
    /// redsocks with Debian's configuration, and rules that redirect and do nothing else.
    Bare,
    /// The rules of the box, and redsocks as init configures it.
    Own,
}

/// A way that is in force.
pub(crate) struct Running(Option<Process>);

/// The proxy, near and far.
pub(crate) struct Upstreams {
    near: Upstream,
    far: Upstream,
    _servers: [Process; 2],
}

impl Upstreams {
    /// Starts dante at both addresses. Without a password: to check one against the system's
    /// takes it longer than everything measured here.
    pub(crate) fn start(lab: &Lab) -> Self {
        let start = |listen: SocketAddr| {
            let socks = Socks {
                kind: Kind::Dante,
                listen,
                from: FROM.into(),
                login: None,
            };
            let upstream = Upstream::parse(&socks.url()).unwrap();
            (socks.start(&lab.far).unwrap(), upstream)
        };
        let (near_server, near) = start((PROXY, PROXY_PORT).into());
        // A port of its own, for a server is awaited by its port.
        let (far_server, far) = start((FAR_WORLD, PROXY_PORT + 1).into());
        Self {
            near,
            far,
            _servers: [near_server, far_server],
        }
    }
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Bare, Self::Own];

    /// Brings the way into force in place of whatever was, towards the far proxy or the near.
    pub(crate) fn start(self, lab: &Lab, upstreams: &Upstreams, far: bool) -> Running {
        let (upstream, at) = if far {
            (&upstreams.far, (FAR_WORLD, PROXY_PORT + 1))
        } else {
            (&upstreams.near, (PROXY, PROXY_PORT))
        };
        let at = SocketAddr::from(at);
        // Only in the lab's own namespace.
        nft(&lab.inside, "flush ruleset\n");
        match self {
            Self::Direct => Running(None),
            Self::Bare => {
                nft(
                    &lab.inside,
                    &format!(
                        "table ip plain {{\n chain out {{\n \
                         type nat hook output priority -100;\n ip daddr {} return\n \
                         ip daddr 127.0.0.0/8 return\n \
                         meta l4proto tcp redirect to :{}\n }}\n}}\n",
                        at.ip(),
                        LISTEN.port()
                    ),
                );
                // What Debian's package comes with, but for the address.
                let conf = format!(
                    "base {{ log_debug = off; log_info = off; log = stderr; daemon = off; \
                     redirector = iptables; rlimit_nofile = {FILES}; }}\n\
                     redsocks {{ local_ip = {}; local_port = {}; ip = {}; port = {}; \
                     type = socks5; }}\n",
                    LISTEN.ip(),
                    LISTEN.port(),
                    at.ip(),
                    at.port(),
                );
                let path = lab.file("bare.conf", conf.as_bytes());
                let mut command = lab.inside.command("prlimit");
                command.arg(format!("--nofile={FILES}:{FILES}"));
                command.arg("redsocks").arg("-c").arg(path);
                let mut process = Process::spawn(command).unwrap();
                wait_until(SOON, "redsocks", || {
                    assert!(process.exited().is_none(), "{}", process.output());
                    listens(&lab.inside, LISTEN.port())
                });
                Running(Some(process))
            }
            Self::Own => {
                let namespace = File::open(lab.inside.path()).unwrap();
                let mut wiring = Wiring::through(Pinned::new([at]).unwrap());
                // Whoever runs the measurements runs redsocks too.
                wiring.redirector = 0;
                let policy = EgressPolicy::Open { wiring };
                let devices = BTreeSet::from(["eth0".to_owned(), "slow0".to_owned()]);
                let standing = std::thread::spawn(move || {
                    setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
                    enforce(Enforcement::new(policy, &devices), &mut Blocking).unwrap()
                });
                let enforced = standing.join().unwrap();
                assert!(enforced.warnings.is_empty(), "{:?}", enforced.warnings);
                Running(Some(lab.redsocks_limited(upstream, at, FILES, FILES)))
            }
        }
    }
}

impl Running {
    /// What the redirector has used of the processor, itself and in the kernel for it.
    pub(crate) fn processor_time(&self) -> Duration {
        let Some(process) = &self.0 else {
            return Duration::ZERO;
        };
        let pid = process.pid();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The name, in brackets, may hold anything.
        let fields = stat.rsplit_once(") ").unwrap().1;
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The next way listens on the same port.
        drop(self.0.take());
    }
}
