//! Network namespaces for host tests. Needs root, `unshare`, `nsenter` and `ip`.
//!
//! A namespace is held open by a child that reads from a pipe of ours, so it ends with the
//! test even when the test is killed. Links only ever join two such namespaces: the machine's
//! own addresses, routes and rules are never touched.

use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::run;
use crate::wait::wait_until;

/// A network namespace with its loopback up, gone when dropped.
#[derive(Debug)]
pub struct Netns {
    holder: Child,
}

impl Netns {
    /// Makes a namespace.
    ///
    /// # Errors
    /// Not root, or a tool is missing.
    pub fn new() -> io::Result<Self> {
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .spawn()?;
        let own = fs::read_link("/proc/self/ns/net")?;
        let made = Self { holder };
        wait_until(
            Duration::from_secs(10),
            "a new network namespace (are you root?)",
            || fs::read_link(made.path()).is_ok_and(|namespace| namespace != own),
        );
        made.ip("link set lo up")?;
        Ok(made)
    }

    /// The namespace as a file.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// A command that will run `program` inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path()))
            .arg("--")
            .arg(program);
        command
    }

    /// Runs `ip` inside with `arguments`, separated by blanks.
    ///
    /// # Errors
    /// `ip` fails; the error holds its words.
    pub fn ip(&self, arguments: &str) -> io::Result<String> {
        let mut command = self.command("ip");
        command.args(arguments.split_whitespace());
        run(command)
    }

    /// Joins two namespaces by a cable whose ends are both called `name` and up, with the
    /// addresses given (with their prefix lengths).
    ///
    /// # Errors
    /// The name is taken in one of them, or an address is none.
    pub fn join(&self, addr: &str, other: &Self, other_addr: &str, name: &str) -> io::Result<()> {
        let far = other.holder.id();
        self.ip(&format!(
            "link add {name} type veth peer name {name} netns {far}"
        ))?;
        for (namespace, addr) in [(self, addr), (other, other_addr)] {
            // Without duplicate address detection an IPv6 address can be used at once.
            let nodad = if addr.contains(':') { "nodad" } else { "" };
            namespace.ip(&format!("addr add {addr} dev {name} {nodad}"))?;
            namespace.ip(&format!("link set {name} up"))?;
        }
        Ok(())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// An address on `ip` with a port that nobody listens on. It is from below those that the kernel
/// gives to connections: a program that binds it later, and again, would else find it taken once in
/// a while.
///
/// # Errors
/// `ip` is not an address of this machine.
pub fn free_port(ip: IpAddr) -> io::Result<SocketAddr> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let lowest = range.split_whitespace().next();
    let lowest = lowest.and_then(|port| port.parse().ok());
    let (from, to) = (12_000_u16, lowest.unwrap_or(0).max(14_000));
    loop {
        let random = RandomState::new().build_hasher().finish() % u64::from(to - from);
        let port = from + u16::try_from(random).unwrap_or(0);
        match TcpListener::bind((ip, port)) {
            Ok(listener) => return listener.local_addr(),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}
