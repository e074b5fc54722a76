//! A stranger on the port: what somebody without a token can do. The count of effects beyond the
//! stranger's own connections is 0.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where it cannot go on, and says how much it tried"
)]

mod common;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cib_protocol::session::SessionId;
use common::keeper::text;
use common::process::{Process, command, free_address};
use common::until;
use common::world::{MASTER, World};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use socket2::SockRef;

/// How many malformed requests are sent.
const MALFORMED: usize = 10_000;

/// How many requests of each kind are sent with a token.
const OF_EACH_KIND: usize = 4_000;

/// Memory that may be held by caches of the allocator and of the program, in KiB.
const SLACK: u64 = 3 * 1024;

/// The headers of a request for a WebSocket.
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

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

/// One thing that a stranger says, and which answers it may get: a connection that is closed
/// without one is none.
struct Attempt {
    name: &'static str,
    said: Vec<u8>,
    allowed: &'static [u16],
}

impl Attempt {
    fn is_harmless(&self, address: SocketAddr) -> bool {
        let answer = exchange(address, &self.said);
        let answered = status(&answer);
        let is_harmless = answered.is_none_or(|status| self.allowed.contains(&status));
        if !is_harmless {
            println!("{} got {}", self.name, answer.escape_ascii());
        }
        is_harmless
    }
}

/// Does what waits beside the test's own thread, which plays init and the keepers.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn attempts(session: &str) -> Vec<Attempt> {
    let request = |line: &str, headers: &str, body: &str| {
        let length = body.len();
        format!("{line} HTTP/1.1\r\nHost: box\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
            .into_bytes()
    };
    let create = r#"{"prompt":"hello"}"#;
    let mint = r#"{"label":"mine","scopes":["*"]}"#;
    let tls = {
        let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
        hello.extend((0..505).map(|n: u32| u8::try_from(n % 251).unwrap()));
        hello
    };
    let session_path = format!("/api/sessions/{session}");
    let stream = format!("/ws/sessions/{session}");
    let upgrade = UPGRADE;
    let forwarded = "X-Forwarded-User: root\r\nX-Forwarded-For: 127.0.0.1\r\n";
    let attempt = |name, said, allowed| Attempt {
        name,
        said,
        allowed,
    };
    vec![
        attempt("no token", request("POST /api/sessions", "", create), &[401]),
        attempt("an empty token", request("POST /api/sessions", "Authorization: Bearer \r\n", create), &[401]),
        attempt("two tokens", request("POST /api/sessions", &format!("Authorization: Bearer x\r\nAuthorization: Bearer {MASTER}\r\n"), create), &[401, 429]),
        attempt("basic authentication", request("POST /api/tokens", "Authorization: Basic cm9vdDpyb290\r\n", mint), &[401]),
        attempt("a token in a cookie", request("POST /api/tokens", &format!("Cookie: token={MASTER}\r\n"), mint), &[401]),
        attempt("a token in the query", request(&format!("POST /api/tokens?token={MASTER}"), "", mint), &[400, 401]),
        attempt("a claim of a proxy", request("POST /api/tokens", forwarded, mint), &[401]),
        attempt("a secret of a proxy", request("POST /api/tokens", &format!("{forwarded}X-CIB-Proxy-Secret: x\r\n"), mint), &[401, 429]),
        attempt("the end of a session", request(&format!("DELETE {session_path}"), "", ""), &[401]),
        attempt("another method by header", request(&format!("GET {session_path}"), "X-HTTP-Method-Override: DELETE\r\n", ""), &[401]),
        attempt("a page of another origin", request("POST /api/sessions", "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n", create), &[401]),
        attempt("a name that somebody's DNS points here", b"GET /api/sessions HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n".to_vec(), &[401]),
        attempt("a websocket", request(&format!("GET {stream}"), upgrade, ""), &[401]),
        attempt("a websocket with a wrong token", request(&format!("GET {stream}"), &format!("{upgrade}Sec-WebSocket-Protocol: bearer.x, json\r\n"), ""), &[401, 429]),
        attempt("CONNECT", request("CONNECT 127.0.0.1:22", "", ""), &[400, 404, 405]),
        attempt("TRACE", request("TRACE /api/health", "", ""), &[404, 405]),
        attempt("a path that climbs", request("GET /api/../../etc/passwd", "", ""), &[404]),
        attempt("a path that climbs encoded", request("GET /api/sessions/..%2f..%2fcontrol/transcript", "", ""), &[401, 404]),
        attempt("an address as the path", request("GET http://127.0.0.1/api/sessions", "", ""), &[401]),
        attempt("two lengths", b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nabcd".to_vec(), &[400]),
        attempt("a length and chunks", b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nDELETE /api/sessions HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), &[400, 401]),
        attempt("a negative length", b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_vec(), &[400]),
        attempt("a body announced that nobody could hold", b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\nx".to_vec(), &[400, 401]),
        attempt("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), &[400, 404, 405, 505]),
        attempt("TLS", tls, &[400]),
        attempt("ssh", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), &[400]),
        attempt("bytes", (0..4096_u32).map(|n| u8::try_from(n * 97 % 256).unwrap()).collect(), &[400]),
        attempt("line ends", "\r\n".repeat(10_000).into_bytes(), &[400]),
        attempt("nothing", Vec::new(), &[]),
        attempt("headers without end", format!("GET /api/health HTTP/1.1\r\n{}", "X-A: b\r\n".repeat(5000)).into_bytes(), &[400, 431]),
        attempt("a header without end", format!("GET /api/health HTTP/1.1\r\nX-A: {}", "b".repeat(1 << 20)).into_bytes(), &[400, 431]),
        attempt("an address without end", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "b".repeat(1 << 20)).into_bytes(), &[400, 414, 431]),
        attempt("a line end in a header", b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-A: a\rSet: b\r\n\r\n".to_vec(), &[400]),
        attempt("a NUL in a header", b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n".to_vec(), &[400]),
        attempt("requests and then rubbish", {
            let mut said = b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
            said.extend_from_slice(b"\xff\xfe garbage \r\n\r\n");
            said
        }, &[200]),
    ]
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

#[tokio::test]
async fn a_stranger_has_no_effect_beyond_its_own_connections() {
    let world = World::new();
    let mut keeper = world.keeper();
    keeper.append(&[text("before")]);
    let address = free_address();
    let process = Process::start(&world, address);
    let body = json!({"label": "tv", "scopes": ["sessions:read"]});
    process.client().post("/api/tokens", &body).await.created();
    let before = seen(&process).await;
    let mut owner = process
        .client()
        .events(&format!("/sse/sessions/{}", keeper.id))
        .await;
    owner.seqs_to(1).await;
    let (descriptors, _) = taken(process.pid());

    // Held open all the while: some that say nothing, some that never end what they say.
    let mut slow: Vec<_> = (0..200).map(|_| connect(address)).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        let said: &[u8] = match n % 4 {
            0 => b"",
            1 => b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            2 => b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{",
            _ => b"\x16\x03\x01\x02\x00",
        };
        // Those that had to go for others take no more.
        let _ = stream.write_all(said);
    }

    let table = Arc::new(attempts(&keeper.id.to_string()));
    let all = Arc::clone(&table);
    let mut effects = aside(move || {
        let odd = all.iter().filter(|attempt| !attempt.is_harmless(address));
        odd.count()
    })
    .await;
    let (_, memory) = taken(process.pid());
    let all = Arc::clone(&table);
    effects += aside(move || {
        let malformed = all
            .iter()
            .filter(|attempt| attempt.allowed == [400] && attempt.said.len() < 100_000);
        let malformed = malformed.cycle().take(MALFORMED);
        let odd = malformed.filter(|attempt| !attempt.is_harmless(address));
        odd.count()
    })
    .await;
    println!("{} attempts, {MALFORMED} malformed requests", table.len());

    keeper.append(&[text("after")]);
    assert_eq!(owner.seqs_to(2).await, [2], "the owner's stream goes on");
    effects += seen(&process)
        .await
        .iter()
        .zip(&before)
        .filter(|(after, before)| {
            let mut after = (*after).clone();
            // The owner's own frame.
            if let Some(sessions) = after.get_mut("sessions").and_then(Value::as_array_mut) {
                sessions
                    .iter_mut()
                    .for_each(|meta| meta["last_seq"] = json!(1));
            }
            after != **before
        })
        .count();
    effects += keeper.told().len();
    effects += {
        let init = world.init();
        init.specs.len() + init.signals.len()
    };
    assert_eq!(effects, 0, "effects beyond the stranger's own connections");

    drop(slow);
    until("every descriptor is given back", async || {
        taken(process.pid()).0 <= descriptors
    })
    .await;
    let (_, now) = taken(process.pid());
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
        (format!("GET /ws/sessions/{id}"), UPGRADE),
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
    if !rustix::process::geteuid().is_root() {
        let process = Process::from_command(plain, address);
        let none = Rlimit {
            current: Some(1),
            maximum: Some(1),
        };
        let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap());
        prlimit(pid, Resource::Nproc, none).unwrap();
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
    full.process.signal(Signal::TERM);
    let end = full.process.wait(Duration::from_secs(5)).unwrap();
    assert!(end.success(), "{end}");
}
