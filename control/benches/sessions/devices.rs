//! What the sealed envelope costs beside the same over plain HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use cib_envelope::client::{Device, Session};
use cib_envelope::head::{Method, Request};
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::message::{CHALLENGE, Kind, RESPONSE};
use cib_envelope::record::Sealer;
use serde_json::{Value, json};

use super::peer::{Kept, Peer as _, TOKEN, Whole};

/// Requests of a measurement.
const REQUESTS: u32 = 5000;

/// Streams that are open at once: what a box has places for. One token has a quarter of them.
const STREAMS: usize = 800;
const TOKENS: usize = 4;

/// Bytes of a frame.
const FRAME: usize = 256;
const FRAMES: u32 = 2_000_000;

pub(super) fn measure() {
    println!("\n### Devices: the sealed envelope\n");
    frames();
    let whole = Whole::start(1, Kept::Stream);
    requests(&whole);
    streams(&whole);
}

fn frames() {
    let plain = [b'x'; FRAME];
    let mut sealer = Sealer::new(&Key::new([7; 32]), b"a prefix");
    let mut out = Vec::with_capacity(1 << 20);
    let begun = Instant::now();
    for _ in 0..FRAMES {
        if out.len() > 1 << 19 {
            out.clear();
        }
        sealer.seal(&[&plain], false, &mut out).unwrap();
    }
    let rate = f64::from(FRAMES) / begun.elapsed().as_secs_f64();
    println!("Sealed on one core: {rate:.0} frames of {FRAME} bytes a second.\n");
}

fn requests(whole: &Whole) {
    let address = whole.address();
    let path = "/api/sessions";
    let mut line = Line::open(address);
    let plain =
        format!("GET {path} HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let size = line.exchange(plain.as_bytes()).len();
    let processor = |what: &mut dyn FnMut()| {
        let before = whole.processor();
        for _ in 0..REQUESTS {
            what();
        }
        (whole.processor() - before) * 1e6 / f64::from(REQUESTS)
    };
    let clear = processor(&mut || drop(line.exchange(plain.as_bytes())));
    let device = mint(address);
    let mut session = line.session(&device);
    let sealed = processor(&mut || {
        let (message, pending) = session.request(&head(path), b"", random());
        let answer = line.post(&message);
        pending.open(&answer).unwrap();
    });
    println!("| `GET {path}`, {size} bytes | processor time of control |");
    println!("|---|---|");
    println!("| plain HTTP, a bearer | {clear:.0} us |");
    println!("| sealed | {sealed:.0} us, {:.2} times |\n", sealed / clear);
}

fn streams(whole: &Whole) {
    let address = whole.address();
    let path = format!("/api/sessions/{}/events", whole.session());
    let tokens: Vec<Device> = (0..TOKENS).map(|_| mint(address)).collect();
    let before = whole.pss();
    let mut open = Vec::new();
    for device in &tokens {
        let mut session = Line::open(address).session(device);
        for _ in 0..STREAMS / TOKENS {
            let mut line = Line::open(address);
            let (message, _) = session.request(&head(&path), b"", random());
            line.send(&message);
            line.until(RESPONSE);
            open.push(line);
        }
    }
    let taken = whole.pss() - before;
    let each = taken * 1000 / u64::try_from(open.len()).unwrap();
    println!(
        "{} open streams of one session take {taken} KiB of control: {each} KiB for 1,000.",
        open.len()
    );
}

fn head(path: &str) -> Request {
    Request {
        time_ms: u64::try_from(cib_protocol::time::Timestamp::now().as_millis()).unwrap(),
        max_record: 4096,
        method: Method::Get,
        target: path.to_owned(),
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn mint(address: SocketAddr) -> Device {
    let body = json!({"label": "bench", "scopes": ["*"], "kind": "device"}).to_string();
    let request = format!(
        "POST /api/tokens HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let made: Value =
        serde_json::from_slice(&Line::open(address).exchange(request.as_bytes())).unwrap();
    Device {
        id: KeyId(bytes(made["token"]["id"].as_str().unwrap())),
        secret: Key::new(bytes(made["plaintext"].as_str().unwrap())),
    }
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}

/// A connection that is kept.
struct Line {
    stream: TcpStream,
    waiting: Vec<u8>,
}

impl Line {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            waiting: Vec::new(),
        }
    }

    fn read(&mut self) {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece).unwrap();
        assert!(count > 0, "the server closed");
        self.waiting.extend_from_slice(&piece[..count]);
    }

    /// Waits for a head and so many bytes behind it.
    fn until(&mut self, count: usize) -> usize {
        loop {
            let end = memchr::memmem::find(&self.waiting, b"\r\n\r\n").map(|end| end + 4);
            if let Some(end) = end.filter(|end| self.waiting.len() >= end + count) {
                return end;
            }
            self.read();
        }
    }

    /// One request, and the body of its answer, which has a length.
    fn exchange(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.write_all(request).unwrap();
        let end = self.until(0);
        let head = String::from_utf8_lossy(&self.waiting[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 20"), "{head}");
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        self.until(length);
        let answer: Vec<u8> = self.waiting.drain(..end + length).collect();
        answer[end..].to_vec()
    }

    fn send(&mut self, message: &[u8]) {
        let head = format!(
            "POST /aes/v3 HTTP/1.1\r\nHost: box\r\nContent-Length: {}\r\n\r\n",
            message.len()
        );
        self.stream
            .write_all(&[head.as_bytes(), message].concat())
            .unwrap();
    }

    fn post(&mut self, message: &[u8]) -> Vec<u8> {
        self.send(message);
        self.exchange(b"")
    }

    fn session(&mut self, device: &Device) -> Session {
        let challenge = self.exchange(b"GET /aes/v3 HTTP/1.1\r\nHost: box\r\n\r\n");
        assert_eq!(challenge.len(), CHALLENGE);
        let mut session = device.session(Kind::Open, &challenge, random()).unwrap();
        let (message, pending) = session.request(&head("/api/health"), b"", random());
        pending.open(&self.post(&message)).unwrap();
        session
    }
}
