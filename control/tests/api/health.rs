//! Health, and the sockets that control is lent: nobody else answers in its place.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::process::{Process, command};
use crate::common::until;
use crate::common::world::World;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use serde_json::Value;

/// What init makes and keeps.
struct Lender {
    api: TcpListener,
    health: UnixListener,
    path: PathBuf,
}

impl Lender {
    fn new(world: &World) -> Self {
        let path = world.path().join("health.sock");
        let lender = Self {
            api: TcpListener::bind("127.0.0.1:0").unwrap(),
            health: UnixListener::bind(&path).unwrap(),
            path,
        };
        for socket in [lender.api.as_fd(), lender.health.as_fd()] {
            fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        }
        lender
    }

    fn address(&self) -> SocketAddr {
        self.api.local_addr().unwrap()
    }

    fn command(&self, world: &World) -> Command {
        let mut command = command(world, "127.0.0.1:1".parse().unwrap());
        command
            .args(["--listen-fd", &self.api.as_raw_fd().to_string()])
            .args(["--health-fd", &self.health.as_raw_fd().to_string()]);
        command
    }

    fn start(&self, world: &World) -> Process {
        Process::from_command(self.command(world), self.address())
    }

    /// Asks as init does.
    async fn ask(&self) -> std::io::Result<Value> {
        let path = self.path.clone();
        let asking = move || {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(Duration::from_millis(1500)))?;
            let mut line = String::new();
            stream.read_to_string(&mut line)?;
            assert!(line.ends_with('\n'), "{line:?}");
            Ok(serde_json::from_str(&line)?)
        };
        tokio::task::spawn_blocking(asking).await.unwrap()
    }
}

#[tokio::test]
async fn health_says_that_requests_are_served_and_why_if_not() {
    let world = World::new();
    let lender = Lender::new(&world);
    let process = lender.start(&world);
    assert_eq!(lender.ask().await.unwrap()["ok"], true);
    process.client().get("/api/sessions").await.ok();
    let sessions = world.data().join("sessions");
    let elsewhere = world.data().join("elsewhere");
    std::fs::rename(&sessions, &elsewhere).unwrap();
    until("that the sessions are gone is said", async || {
        let answer = lender.ask().await.unwrap();
        answer["ok"] == false && answer["detail"].as_str().unwrap().contains("sessions")
    })
    .await;
    let open = process.client().get("/api/health").await.ok();
    assert_eq!(open["status"], "degraded");
    std::fs::rename(&elsewhere, &sessions).unwrap();
    until("all is well again", async || {
        lender.ask().await.unwrap()["ok"] == true
    })
    .await;
    std::fs::remove_file(world.runtime().join("init.sock")).unwrap();
    until("that init is gone is said", async || {
        let answer = lender.ask().await.unwrap();
        answer["ok"] == false && answer["detail"].as_str().unwrap().contains("init")
    })
    .await;
}

#[tokio::test]
async fn a_stopped_server_is_not_healthy_and_neither_is_a_dead_one() {
    let world = World::new();
    let lender = Lender::new(&world);
    let mut process = lender.start(&world);
    process.signal(Signal::SIGSTOP);
    let asked = Instant::now();
    lender.ask().await.unwrap_err();
    assert!(asked.elapsed() >= Duration::from_millis(1500));
    process.signal(Signal::SIGCONT);
    until("it answers again", async || {
        lender.ask().await.is_ok_and(|answer| answer["ok"] == true)
    })
    .await;
    process.kill();
    lender.ask().await.unwrap_err();
}

#[tokio::test]
async fn a_port_that_was_lent_is_nobody_elses_while_control_is_away() {
    let world = World::new();
    let lender = Lender::new(&world);
    let mut process = lender.start(&world);
    process.client().get("/api/sessions").await.ok();
    process.kill();
    let taken = TcpListener::bind(lender.address()).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    // Who comes meanwhile is served by the next one.
    let mut early = TcpStream::connect(lender.address()).unwrap();
    let request = b"GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    early.write_all(request).unwrap();
    let _process = lender.start(&world);
    let reading = move || {
        let mut answer = String::new();
        early.read_to_string(&mut answer).map(|_| answer)
    };
    let answer = tokio::task::spawn_blocking(reading).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_descriptor_that_is_no_socket_ends_with_70_and_names_the_option() {
    let world = World::without_init();
    let lender = Lender::new(&world);
    for (option, fd) in [
        ("--listen-fd", "0"),
        ("--health-fd", "0"),
        ("--listen-fd", "999"),
    ] {
        let output = lender
            .command(&world)
            .args([option, fd])
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(70), "{said}");
        assert!(said.contains(option), "{said}");
    }
}
