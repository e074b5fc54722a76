//! The real program in a process of its own.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Client;
use super::world::{MASTER, World};

pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

/// An address that nobody listens on.
pub fn free_address() -> SocketAddr {
    cib_testkit::netns::free_port(Ipv4Addr::LOCALHOST.into()).unwrap()
}

/// The program on a box, not yet started, logging nothing.
pub fn command(world: &World, address: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cib-control"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .arg("--listen")
        .arg(address.to_string())
        .arg("--data-dir")
        .arg(world.data())
        .arg("--runtime-dir")
        .arg(world.runtime())
        .arg("--auth")
        .arg(world.auth())
        .arg("--workdir-root")
        .arg(world.workspace())
        .args(["--ready-fd", "1", "--log-level", "error"]);
    command
}

impl Process {
    /// Starts the program and waits until it says that it listens.
    pub fn start(world: &World, address: SocketAddr) -> Self {
        Self::from_command(command(world, address), address)
    }

    pub fn from_command(mut command: Command, address: SocketAddr) -> Self {
        let mut child = command.spawn().unwrap();
        let mut ready = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        assert_eq!(&ready, b"\n");
        Self { child, address }
    }

    /// As [`Process::from_command`], for one that says its readiness to nobody.
    pub fn from_silent(mut command: Command, address: SocketAddr) -> Self {
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Self { child, address }
    }

    pub fn client(&self) -> Client {
        Client::new(self.address).with_token(MASTER)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).unwrap();
    }

    /// Waits for the end, but not for ever.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
