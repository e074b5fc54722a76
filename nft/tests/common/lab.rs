//! A box and the world around it: two network namespaces and a wire between them.
//!
//! A namespace is held by a descriptor, so it is gone when the test is, however it ends. The
//! root namespace is never touched. Needs root, `ip` and `nft`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cib_nft::runner::{Blocking, Runner as _, enforce};
use cib_nft::{
    Count, Counters, EgressPolicy, Enforced, Enforcement, Finished, Invocation, Kind, Listing,
    Ruleset, Table,
};
use nix::sched::{CloneFlags, setns, unshare};

use super::sniffer::Sniffer;

/// How long anything may take before it counts as never.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// The addresses of the world: a proxy, the public, a private service, the metadata service, a
/// LAN, and their like in IPv6.
pub(crate) const WORLD: &str = "198.51.100.1";
pub(crate) const WORLD6: &str = "2001:db8::1";
pub(crate) const PRIVATE: &str = "10.88.0.1";
pub(crate) const METADATA: &str = "169.254.169.254";
pub(crate) const LAN: &str = "10.77.0.1";
pub(crate) const BOX: &str = "10.99.0.2";
pub(crate) const BOX6: &str = "fd99::2";
/// Where the fence frame goes, which ends a look at the wire.
const FENCE: &str = "198.51.100.99";

/// A network namespace.
pub(crate) struct Netns(File);

/// A namespace for the box, one for the world, and the wire.
pub(crate) struct Lab {
    pub(crate) inside: Netns,
    pub(crate) world: Netns,
}

impl Netns {
    /// Makes one, with the loopback up.
    pub(crate) fn new() -> Self {
        let new = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let namespace = Self(new.join().unwrap());
        namespace.sh("ip link set lo up");
        namespace
    }

    /// Runs `f` in the namespace. Sockets that it opens stay there.
    pub(crate) fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let within = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
            f()
        };
        std::thread::scope(|scope| match scope.spawn(within).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Runs a shell command in the namespace, which must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.run(|| Command::new("sh").args(["-ec", script]).output().unwrap());
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Feeds `nft -f -`, which must succeed.
    pub(crate) fn nft(&self, rules: &str) {
        let mut invocation = Invocation {
            program: "nft",
            args: vec!["-f".into(), "-".into()],
            stdin: None,
        };
        invocation.stdin = Some(rules.to_owned());
        let finished = self.invoke(&invocation);
        assert_eq!(finished.code, 0, "{rules}: {}", finished.stderr);
    }

    pub(crate) fn invoke(&self, invocation: &Invocation) -> Finished {
        self.run(|| Blocking.run(invocation).expect("nft is installed"))
    }

    pub(crate) fn listing(&self, table: Table) -> Listing {
        Listing::read(&self.invoke(&table.list())).unwrap()
    }

    /// Applies a ruleset, and nothing else.
    pub(crate) fn apply(&self, ruleset: &Ruleset) {
        let finished = self.invoke(&ruleset.apply());
        finished.succeeded("apply").unwrap();
    }

    /// The name by which `ip` finds the namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs a program as `uid`, and returns how it ended.
    pub(crate) fn as_user(&self, uid: u32, program: &str, args: &[&str]) -> Output {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(program);
        command.args(args).uid(uid).gid(uid).stdin(Stdio::null());
        self.run(move || command.output().unwrap())
    }

    /// Runs `f` in the namespace with this user's sockets: a socket is its opener's, by the id
    /// that files go by.
    pub(crate) fn run_as<T: Send>(&self, uid: u32, f: impl FnOnce() -> T + Send) -> T {
        self.run(move || {
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(uid));
            f()
        })
    }

    pub(crate) fn listen(&self, address: &str) -> TcpListener {
        self.run(|| TcpListener::bind(address).unwrap())
    }

    pub(crate) fn listen_as(&self, uid: u32, address: &str) -> TcpListener {
        self.run_as(uid, || TcpListener::bind(address).unwrap())
    }

    pub(crate) fn connect_as(&self, uid: u32, address: &str) -> std::io::Result<TcpStream> {
        let address: SocketAddr = address.parse().unwrap();
        let stream = self.run_as(uid, || TcpStream::connect_timeout(&address, DEADLINE))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(stream)
    }

    pub(crate) fn udp(&self, address: &str) -> UdpSocket {
        let socket = self.run(|| UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    }

    /// Learns a neighbour's link address, so that no packet waits for it later. Nobody listens
    /// there, but the neighbour's answer says that it was found.
    fn meet(&self, neighbour: &str) {
        let error = self.connect(neighbour).unwrap_err();
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionRefused,
            "{neighbour}"
        );
    }

    pub(crate) fn connect(&self, address: &str) -> std::io::Result<TcpStream> {
        let address: SocketAddr = address.parse().unwrap();
        let stream = self.run(|| TcpStream::connect_timeout(&address, DEADLINE))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(stream)
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let lab = Self {
            inside: Netns::new(),
            world: Netns::new(),
        };
        lab.inside.sh(&format!(
            "ip link add eth0 type veth peer name eth0 netns {}
             ip link set eth0 up
             ip addr add {BOX}/24 dev eth0
             ip addr add {BOX6}/64 dev eth0 nodad",
            lab.world.path()
        ));
        lab.world.sh("ip link set eth0 up
             ip addr add 10.99.0.1/24 dev eth0
             ip addr add fd99::1/64 dev eth0 nodad
             for a in 203.0.113.7 198.51.100.1 198.51.100.99 10.88.0.1 169.254.169.254 10.77.0.1
             do ip addr add $a/32 dev lo; done
             for a in 2001:db8::1 2001:db8:7::7 fd77::1; do ip addr add $a/128 dev lo nodad; done");
        lab.inside.sh("ip route add default via 10.99.0.1
             ip -6 route add default via fd99::1");
        lab
    }

    /// A lab whose box is under `policy`.
    pub(crate) fn under(policy: EgressPolicy) -> Self {
        let lab = Self::new();
        let enforced = lab.enforce(policy);
        assert_eq!(
            enforced.warnings,
            [],
            "this kernel has all that the box wants"
        );
        lab
    }

    pub(crate) fn enforce(&self, policy: EgressPolicy) -> Enforced {
        let devices = ["eth0".to_owned()].into();
        self.inside
            .run(|| enforce(Enforcement::new(policy, &devices), &mut Blocking).unwrap())
    }

    /// A namespace that sends everything through the box, which forwards.
    pub(crate) fn nested(&self, gateway: &str, address: &str) -> Netns {
        let nested = Netns::new();
        self.inside.sh(&format!(
            "echo 1 >/proc/sys/net/ipv4/ip_forward
             ip link add nested0 type veth peer name eth0 netns {}
             ip link set nested0 up
             ip addr add {gateway}/24 dev nested0",
            nested.path()
        ));
        nested.sh(&format!(
            "ip link set eth0 up
             ip addr add {address}/24 dev eth0
             ip route add default via {gateway}"
        ));
        nested.meet(&format!("{gateway}:9"));
        nested
    }

    pub(crate) fn sniff(&self) -> Sniffer {
        self.world.run(Sniffer::new)
    }

    /// What came out of the box since `sniffer` began. The fence that ends the look is an
    /// answer, which may leave under every policy: the rules stay, so that what is sent again
    /// and again does not get out in the end.
    pub(crate) fn leaked(&self, sniffer: Sniffer) -> Vec<String> {
        let inside = self.inside.udp("0.0.0.0:0");
        let fence = self.world.udp(&format!("{FENCE}:9"));
        let port = inside.local_addr().unwrap().port();
        fence.send_to(b"fence", (BOX, port)).unwrap();
        let (_, from) = inside.recv_from(&mut [0; 8]).unwrap();
        inside.send_to(b"fence", from).unwrap();
        sniffer.until(FENCE.parse().unwrap())
    }

    /// Takes the rules away.
    pub(crate) fn undo(&self) {
        for table in Table::ALL {
            self.inside.invoke(&table.undo()).succeeded("undo").unwrap();
        }
    }

    pub(crate) fn counted(&self, kind: Kind) -> Count {
        let mut counters = Counters::default();
        for table in Table::ALL {
            let finished = self.inside.invoke(&table.counters());
            counters.add(&Counters::read(finished.succeeded("count").unwrap()).unwrap());
        }
        counters.of(kind)
    }

    /// Does a TCP connection from the box to the world's `address` carry data and an answer?
    pub(crate) fn reaches(&self, address: &str) -> bool {
        let listener = self.world.listen(address);
        let Ok(client) = self.inside.connect(address) else {
            return false;
        };
        let (server, _) = listener.accept().unwrap();
        echoes(client, server)
    }
}

/// Both directions of a connection.
pub(crate) fn echoes(mut client: TcpStream, mut server: TcpStream) -> bool {
    client.write_all(b"ping").unwrap();
    let mut word = [0; 4];
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    server.read_exact(&mut word).unwrap();
    server.write_all(b"pong").unwrap();
    client.read_exact(&mut word).is_ok() && &word == b"pong"
}

/// How long `attempt` took, and what it returned.
pub(crate) fn timed<T>(attempt: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = attempt();
    (result, began.elapsed())
}

pub(crate) fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}
