//! A stranger on the port: what somebody without a token can do. A table of it is tried by three
//! doors, and printed; the count of effects beyond the stranger's own connections is 0.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod attack;
mod table;
mod wire;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::client::{Client, Events};
use crate::common::keeper::{Keeper, text};
use crate::common::process::{Process, command, free_address};
use crate::common::until;
use crate::common::world::{MASTER, World};
use attack::{Door, SECRET};
use cib_protocol::init::ControlAuth;
use cib_protocol::session::SessionId;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use socket2::SockRef;
use table::attacks;

/// How many malformed requests are sent.
const MALFORMED: usize = 10_000;

/// How many requests of each kind are sent with a token.
const OF_EACH_KIND: usize = 4_000;

/// Memory that may be held by caches of the allocator and of the program, in KiB.
const SLACK: u64 = 3 * 1024;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    // Ports are not kept waiting: there are only so many.
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    stream
}

/// Sends something and reads until the server closes, or has answered for the last time.
fn exchange(address: SocketAddr, said: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // The server may have answered and closed before everything was written.
    let _ = stream.write_all(said);
    // A client that hangs up before it was answered is not answered.
    if memchr::memmem::find(said, b"Connection: close").is_none() {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            panic!(
                "the server neither answers nor closes: {}",
                said.escape_ascii()
            )
        }
        _ => answer,
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

/// What a server takes: descriptors, and resident memory in KiB.
fn taken(pid: u32) -> (usize, u64) {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.unwrap().trim().trim_end_matches(" kB");
    (descriptors, memory.parse().unwrap())
}

/// Does what waits beside the test's own thread, which plays init and the keepers.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// What the owner can see of the box.
async fn seen(process: &Process) -> Vec<Value> {
    let client = process.client();
    let mut seen = Vec::new();
    for path in ["/api/sessions", "/api/shells", "/api/tokens"] {
        let mut answer = client.get(path).await.ok();
        if let Some(tokens) = answer.get_mut("tokens").and_then(Value::as_array_mut) {
            for token in tokens {
                token["last_used_at"].take();
            }
        }
        seen.push(answer);
    }
    seen
}

/// A box that strangers come to, and what its owner had before they did.
struct Besieged {
    world: World,
    keeper: Keeper,
    process: Process,
    owner: Events,
    before: Vec<Value>,
}

impl Besieged {
    async fn start(behind_a_proxy: bool) -> Self {
        let world = World::new();
        let address = free_address();
        let mut command = command(&world, address);
        if behind_a_proxy {
            let digest = |text: &str| {
                let digest = Sha256::digest(text);
                digest.iter().map(|byte| format!("{byte:02x}")).collect()
            };
            world.write_auth(&ControlAuth {
                master_sha256: Some(digest(MASTER)),
                proxy_sha256: Some(digest(SECRET)),
                ..ControlAuth::default()
            });
            command.args(["--trusted-proxies", "127.0.0.0/8"]);
        }
        let mut keeper = world.keeper();
        keeper.append(&[text("before")]);
        let process = Process::from_command(command, address);
        let body = json!({"label": "tv", "scopes": ["sessions:read"]});
        process.client().post("/api/tokens", &body).await.created();
        if behind_a_proxy {
            let user = Client::new(address)
                .with_header("x-cib-proxy-secret", SECRET)
                .with_header("x-forwarded-user", "ann");
            user.get("/api/sessions").await.ok();
        }
        let path = format!("/sse/sessions/{}", keeper.id);
        let mut owner = process.client().events(&path).await;
        owner.seqs_to(1).await;
        let before = seen(&process).await;
        Self {
            world,
            keeper,
            process,
            owner,
            before,
        }
    }

    /// What is not as it was, or does not work.
    async fn effects(&self) -> Vec<String> {
        let mut effects = Vec::new();
        for (after, before) in seen(&self.process).await.iter().zip(&self.before) {
            let mut after = after.clone();
            // The owner's own frames.
            if let Some(sessions) = after.get_mut("sessions").and_then(Value::as_array_mut) {
                for meta in sessions {
                    meta["last_seq"] = json!(1);
                }
            }
            if after != *before {
                effects.push(format!("{after} and not {before}"));
            }
        }
        let told = self.keeper.told();
        if !told.is_empty() {
            effects.push(format!("the keeper was told {told:?}"));
        }
        let init = self.world.init();
        if !init.specs.is_empty() || !init.signals.is_empty() {
            effects.push("init was asked for something".to_owned());
        }
        effects
    }

    /// Whether a stranger is told of a session whether it is there.
    async fn betrays_sessions(&self) -> bool {
        let stranger = Client::new(self.process.address);
        let path = format!("/api/sessions/{}", self.keeper.id);
        let there = stranger.get(&path).await;
        let path = "/api/sessions/00000000-0000-4000-8000-000000000000";
        let nowhere = stranger.get(path).await;
        (there.status, there.body) != (nowhere.status, nowhere.body)
    }

    /// Tries the whole table by one door, with a look at the box after each.
    async fn column(&mut self, door: Door, effects: &mut Vec<String>) -> Vec<String> {
        let address = self.process.address;
        let table = attacks(&self.keeper.id.to_string());
        let mut words = Vec::new();
        for attack in table {
            if !attack.comes_by(door) {
                words.push("-".to_owned());
                continue;
            }
            let name = attack.name;
            let came = aside(move || attack.attempt(address, door)).await;
            words.push(came.word);
            let found = self.effects().await.into_iter().chain(came.wrong);
            effects.extend(found.map(|what| format!("{door:?}: {name}: {what}")));
        }
        if self.betrays_sessions().await {
            effects.push(format!("{door:?}: it is told which sessions there are"));
        }
        self.keeper.append(&[text("after")]);
        let last = self.keeper.last_seq();
        let seqs = self.owner.seqs_to(last).await;
        assert_eq!(seqs, [last], "the owner's stream goes on");
        words
    }
}

/// Connections that are held open: some say nothing, some never end what they say.
fn held_open(address: SocketAddr) -> Vec<TcpStream> {
    let hold = |n| {
        let said: &[u8] = match n % 4 {
            0 => b"",
            1 => b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            2 => b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{",
            _ => b"\x16\x03\x01\x02\x00",
        };
        let mut stream = connect(address);
        // Those that had to go for others take no more.
        let _ = stream.write_all(said);
        stream
    };
    (0..200).map(hold).collect()
}

#[tokio::test]
async fn a_stranger_has_no_effect_beyond_its_own_connections() {
    let mut token = Besieged::start(false).await;
    let mut proxied = Besieged::start(true).await;
    let (descriptors, _) = taken(token.process.pid());
    let addresses = [token.process.address, proxied.process.address];
    let slow = aside(move || addresses.map(held_open)).await;

    let mut effects = Vec::new();
    let columns = [
        token.column(Door::Token, &mut effects).await,
        proxied.column(Door::PastProxy, &mut effects).await,
        proxied.column(Door::Proxy, &mut effects).await,
    ];
    println!(
        "{:<10}{:<42}{:<12}{:<12}through it",
        "kind", "a stranger says", "token", "past proxy"
    );
    let table = attacks(&token.keeper.id.to_string());
    for (row, attack) in table.iter().enumerate() {
        let [token, past, through] = columns.each_ref().map(|column| &column[row]);
        let (kind, name) = (attack.kind, attack.name);
        println!("{kind:<10}{name:<42}{token:<12}{past:<12}{through}");
    }

    let (_, memory) = taken(token.process.pid());
    let address = token.process.address;
    let session = token.keeper.id.to_string();
    let odd = aside(move || {
        let table = attacks(&session);
        let malformed = table.iter().filter(|attack| attack.is_malformed());
        let malformed = malformed.cycle().take(MALFORMED);
        let came = malformed.map(|attack| attack.attempt(address, Door::Token));
        came.filter_map(|came| came.wrong).collect::<Vec<_>>()
    })
    .await;
    effects.extend(odd);
    effects.extend(token.effects().await);
    println!(
        "{} attacks by 3 doors and {MALFORMED} malformed requests, {} that changed anything",
        table.len(),
        effects.len()
    );
    assert!(effects.is_empty(), "{effects:#?}");

    drop(slow);
    until("every descriptor is given back", async || {
        taken(token.process.pid()).0 <= descriptors
    })
    .await;
    let (_, now) = taken(token.process.pid());
    assert!(now <= memory + SLACK, "{memory} KiB before, {now} KiB now");
}

/// Reads one answer whose body has a length, on a connection that stays open.
fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> u16 {
    loop {
        if let Some(head) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
            let chunked = text.contains("transfer-encoding: chunked");
            let body = head + 4;
            let end = if chunked {
                memchr::memmem::find(&buffer[body..], b"0\r\n\r\n").map(|at| body + at + 5)
            } else {
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map_or(0, |length| length.trim().parse::<usize>().unwrap());
                Some(body + length).filter(|end| buffer.len() >= *end)
            };
            if let Some(end) = end {
                let status = status(buffer).unwrap();
                buffer.drain(..end);
                return status;
            }
        }
        let mut piece = [0; 16 * 1024];
        let n = stream.read(&mut piece).unwrap();
        assert_ne!(n, 0, "closed");
        buffer.extend_from_slice(&piece[..n]);
    }
}

/// Asks for so many of each kind; each kind is answered by what it has to be.
fn ask_for_everything(address: SocketAddr, id: SessionId, n: usize) {
    let bearer = format!("Authorization: Bearer {MASTER}\r\n");
    let plain = [
        ("GET /api/health".to_owned(), "", 200),
        ("GET /api/sessions".to_owned(), &*bearer, 200),
        (format!("GET /api/sessions/{id}/transcript"), &bearer, 200),
    ];
    for (line, headers, wanted) in plain {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let mut stream = connect(address);
        let mut buffer = Vec::new();
        for _ in 0..n {
            stream.write_all(request.as_bytes()).unwrap();
            assert_eq!(answer(&mut stream, &mut buffer), wanted, "{line}");
        }
    }
    let wrong = "GET /api/info HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\
                 Connection: close\r\n\r\n";
    for _ in 0..n {
        let answer = exchange(address, wrong.as_bytes());
        assert!(matches!(status(&answer), Some(401 | 429)));
    }
    let streams = [
        (format!("GET /sse/sessions/{id}"), ""),
        (format!("GET /ws/sessions/{id}"), table::UPGRADE),
    ];
    for (line, headers) in streams {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\n{bearer}{headers}\r\n");
        for _ in 0..n {
            let mut stream = connect(address);
            stream.write_all(request.as_bytes()).unwrap();
            let mut head = [0; 12];
            stream.read_exact(&mut head).unwrap();
            assert!(matches!(status(&head), Some(200 | 101)), "{line}");
        }
    }
}

#[tokio::test]
async fn thousands_of_requests_of_each_kind_leave_memory_and_descriptors_where_they_were() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a"), text("b")]);
    let address = free_address();
    let process = Process::start(&world, address);
    let id = keeper.id;
    let (descriptors, _) = taken(process.pid());
    let settled = async || {
        until("every descriptor is given back", async || {
            taken(process.pid()).0 <= descriptors
        })
        .await;
        taken(process.pid()).1
    };
    // What is allocated once is allocated then.
    aside(move || ask_for_everything(address, id, 300)).await;
    let before = settled().await;
    aside(move || ask_for_everything(address, id, OF_EACH_KIND)).await;
    let after = settled().await;
    assert!(
        after <= before + SLACK,
        "{before} KiB before, {after} KiB after"
    );
}

/// A user that nobody else is.
const NOBODY_ELSE: u32 = 47_113;

/// A box whose user has as many processes as it may have. The server was started before.
struct Full {
    process: Process,
    others: Vec<Child>,
}

impl Drop for Full {
    fn drop(&mut self) {
        for other in &mut self.others {
            let _ = other.kill();
            let _ = other.wait();
        }
    }
}

fn fill(world: &World, address: SocketAddr) -> Full {
    let plain = command(world, address);
    if !nix::unistd::geteuid().is_root() {
        let process = Process::from_command(plain, address);
        let pid = process.pid().to_string();
        let mut prlimit = std::process::Command::new("prlimit");
        prlimit.args(["--pid", &pid, "--nproc=1:1"]);
        assert!(prlimit.status().unwrap().success());
        let others = Vec::new();
        return Full { process, others };
    }
    // Root is let off the limit, so this is another user's box.
    let program = world.path().join("cib-control");
    fs::copy(plain.get_program(), &program).unwrap();
    let mut all = vec![world.path().to_owned()];
    while let Some(path) = all.pop() {
        chown(&path, Some(NOBODY_ELSE), Some(NOBODY_ELSE)).unwrap();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            all.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    let mut confined = Command::new("bash");
    confined
        .env_clear()
        .args(["-c", "ulimit -u 5; exec \"$@\"", "bash"])
        .arg(program)
        .args(plain.get_args())
        .stdin(Stdio::null())
        .uid(NOBODY_ELSE)
        .gid(NOBODY_ELSE);
    let process = Process::from_silent(confined, address);
    let sleep = |_| {
        let mut sleep = Command::new("sleep");
        sleep.arg("600").uid(NOBODY_ELSE).gid(NOBODY_ELSE);
        sleep.spawn().unwrap()
    };
    let others = (0..8).map(sleep).collect();
    Full { process, others }
}

#[tokio::test]
async fn a_box_without_a_process_left_is_served_and_its_session_can_be_ended() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("a"), text("b")]);
    let mut full = fill(&world, free_address());
    let client = full.process.client();
    let path = format!("/api/sessions/{}", keeper.id);
    // At once, so that every thread is wanted.
    let pages = (0..32).map(|_| async {
        let page = client.get(&format!("{path}/transcript")).await.ok();
        assert_eq!(page["frames"].as_array().unwrap().len(), 2);
        client.get("/api/sessions").await.ok();
    });
    futures_util::future::join_all(pages).await;
    assert_eq!(client.get("/api/health").await.ok()["status"], "ok");
    client.get("/metrics").await;
    let body = json!({"label": "tv", "scopes": ["*"]});
    client.post("/api/tokens", &body).await.created();
    client.delete(&path).await.ok();
    assert_eq!(keeper.told().len(), 1, "its keeper was told to end it");
    client.get("/api/sessions").await.ok();
    full.process.signal(Signal::SIGTERM);
    let end = full.process.wait(Duration::from_secs(60)).unwrap();
    assert!(end.success(), "{end}");
}
