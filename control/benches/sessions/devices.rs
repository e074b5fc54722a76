//! What the sealed envelope costs beside the same over plain HTTP.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use cib_envelope::client::{Device, Pending, Session};
use cib_envelope::head::{Method, Request};
use cib_envelope::keys::{Key, KeyId};
use cib_envelope::message::{CHALLENGE, Kind, RESPONSE};
use cib_envelope::record::Sealer;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};

use super::figures::hold;
use super::peer::{Control, Kept, Peer as _, TOKEN, Whole};

/// Requests of a round, and rounds. Both sides take turns, and the best round of each counts: what else
/// the machine does only ever adds.
const REQUESTS: u32 = 1000;
const ROUNDS: usize = 7;

/// How many times the processor time of the same call over plain HTTP a sealed one may take.
const RATIO: f64 = 1.3;

/// Bytes of an answer that are about a kilobyte.
const KILOBYTE: std::ops::Range<usize> = 700..1500;

/// Streams that are open at once: a box has places for so many of devices. One token has a quarter of
/// them.
const STREAMS: usize = 800;
const TOKENS: usize = 4;

/// KiB of control with 1,000 open streams.
const MEMORY: u64 = 40_000_000 / 1024;

/// Bytes of a frame that is sealed alone, and how many of them in a round.
const FRAME: usize = 256;
const FRAMES: u32 = 500_000;

/// Frames that are sealed on one core in a second.
const RATE: f64 = 200_000.0;

/// Frames of a journal that is read as a stream.
const JOURNAL: u64 = 300_000;

pub(super) fn measure() {
    println!("\n### Devices: the sealed envelope\n");
    sealed_alone();
    followed();
    // A list of two sessions has a kilobyte.
    requests(&Whole::start(2, Kept::Stream));
    streams();
}

/// The lowest of several measurements of each of two, which take turns.
fn best(mut one: impl FnMut() -> f64, mut other: impl FnMut() -> f64) -> (f64, f64) {
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        best.0 = best.0.min(one());
        best.1 = best.1.min(other());
    }
    best
}

/// Records, beside the cipher alone with the same bytes.
fn sealed_alone() {
    let plain = [b'x'; FRAME];
    let header = [3, 0, 0, 0];
    let sealed = || {
        let mut sealer = Sealer::new(&Key::new([7; 32]), b"a prefix");
        let mut out = Vec::with_capacity(1 << 20);
        let begun = Instant::now();
        for _ in 0..FRAMES {
            if out.len() > 1 << 19 {
                out.clear();
            }
            sealer.seal(&[&header, &plain], false, &mut out).unwrap();
        }
        black_box(&out);
        begun.elapsed().as_secs_f64()
    };
    let cipher = || {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
        let mut bytes = [b'x'; FRAME + 4];
        let begun = Instant::now();
        for n in 0..FRAMES {
            let mut nonce = [0; 12];
            nonce[8..].copy_from_slice(&n.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut bytes);
            let _ = black_box(tag.unwrap());
        }
        black_box(&bytes);
        begun.elapsed().as_secs_f64()
    };
    let (sealed, cipher) = best(sealed, cipher);
    let rate = |seconds: f64| f64::from(FRAMES) / seconds;
    println!("| frames of {FRAME} bytes a second on one core | |");
    println!("|---|---|");
    println!("| AES-256-GCM alone | {:.0} |", rate(cipher));
    println!(
        "| sealed as records | {:.0}, {:.2} times |",
        rate(sealed),
        cipher / sealed
    );
    let figure = format!("{RATE:.0} frames a second sealed on one core");
    hold(rate(sealed) >= RATE, &figure);
}

/// A journal as a stream, sealed and as server-sent events.
fn followed() {
    let mut control = Control::start();
    control.write(JOURNAL, None);
    let whole = control.whole();
    let (address, session) = (whole.address(), whole.session());
    let last = format!("\"seq\":{},", 1000 + JOURNAL);
    let path = format!("/api/sessions/{session}/events");
    let processor = |what: &mut dyn FnMut()| {
        let before = whole.processor();
        what();
        whole.processor() - before
    };
    let device = mint(address);
    let mut asking = Line::open(address).session(&device);
    let sealed = || {
        processor(&mut || {
            let mut line = Line::open(address);
            let (message, pending) = asking.request(&head(&path), b"", random());
            line.send(&message);
            line.follow_sealed(&pending, &last);
        })
    };
    let plain = || {
        processor(&mut || {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            );
            let mut line = Line::open(address);
            line.stream.write_all(request.as_bytes()).unwrap();
            line.follow_plain(&last);
        })
    };
    let (sealed, plain) = best(sealed, plain);
    let rate = |seconds: f64| JOURNAL as f64 / seconds;
    println!("\n| frames of a journal, for a second of control's processor time | |");
    println!("|---|---|");
    println!("| as server-sent events | {:.0} |", rate(plain));
    println!(
        "| as a sealed stream | {:.0}, {:.2} times |",
        rate(sealed),
        plain / sealed
    );
    let figure = format!("{RATE:.0} frames of a journal sealed for a second of one core");
    hold(rate(sealed) >= RATE, &figure);
}

fn requests(whole: &Whole) {
    let address = whole.address();
    let path = "/api/sessions";
    let mut line = Line::open(address);
    let plain =
        format!("GET {path} HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let size = line.exchange(plain.as_bytes()).len();
    assert!(KILOBYTE.contains(&size), "{size} bytes are no kilobyte");
    let processor = |what: &mut dyn FnMut()| {
        let before = whole.processor();
        for _ in 0..REQUESTS {
            what();
        }
        (whole.processor() - before) * 1e6 / f64::from(REQUESTS)
    };
    let device = mint(address);
    let mut sealed_line = Line::open(address);
    let mut session = sealed_line.session(&device);
    let clear = || processor(&mut || drop(line.exchange(plain.as_bytes())));
    let sealed = || {
        processor(&mut || {
            let (message, pending) = session.request(&head(path), b"", random());
            let answer = sealed_line.post(&message);
            pending.open(&answer).unwrap();
        })
    };
    let (clear, sealed) = best(clear, sealed);
    println!("\n| `GET {path}`, {size} bytes | processor time of control |");
    println!("|---|---|");
    println!("| plain HTTP, a bearer | {clear:.0} us |");
    println!("| sealed | {sealed:.0} us, {:.2} times |", sealed / clear);
    let figure = format!("a sealed call takes at most {RATIO} times the processor time");
    hold(sealed <= RATIO * clear, &figure);
}

/// What control takes with so many streams open, of each kind in a control of its own: memory that was
/// used before would hide them.
fn streams() {
    let sealed = {
        let whole = Whole::start(1, Kept::Stream);
        let address = whole.address();
        let path = format!("/api/sessions/{}/events", whole.session());
        let session = |_| Line::open(address).session(&mint(address));
        let mut sessions: Vec<Session> = (0..TOKENS).map(session).collect();
        open_streams(&whole, |n| {
            let mut line = Line::open(address);
            let session = &mut sessions[n % TOKENS];
            let (message, pending) = session.request(&head(&path), b"", random());
            line.send(&message);
            line.follow_sealed(&pending, "\"seq\":1,");
            line
        })
    };
    let plain = {
        let whole = Whole::start(1, Kept::Stream);
        let address = whole.address();
        let path = format!("/api/sessions/{}/events", whole.session());
        open_streams(&whole, |_| {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            );
            let mut line = Line::open(address);
            line.stream.write_all(request.as_bytes()).unwrap();
            line.follow_plain("\"seq\":1,");
            line
        })
    };
    let thousand = |(before, after): (u64, u64)| {
        before + (after - before) * 1000 / u64::try_from(STREAMS).unwrap()
    };
    println!(
        "\n| {STREAMS} open streams of one session | control before | with them | with 1,000 |"
    );
    println!("|---|---|---|---|");
    for (name, measured) in [("server-sent events", plain), ("sealed", sealed)] {
        let (before, after) = measured;
        let thousand = thousand(measured);
        println!("| {name} | {before} KiB | {after} KiB | {thousand} KiB |");
    }
    let figure = format!("control with 1,000 open sealed streams takes at most {MEMORY} KiB");
    hold(thousand(sealed) <= MEMORY, &figure);
}

/// Memory of control before any stream is open and with all of them.
fn open_streams(whole: &Whole, mut open: impl FnMut(usize) -> Line) -> (u64, u64) {
    whole.list();
    let before = whole.pss();
    let lines: Vec<Line> = (0..STREAMS).map(&mut open).collect();
    let after = whole.pss();
    drop(lines);
    (before, after)
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

    /// Reads a stream of server-sent events until one holds some text.
    fn follow_plain(&mut self, text: &str) {
        self.until(0);
        while memchr::memmem::find(&self.waiting, text.as_bytes()).is_none() {
            // The text may be in two pieces.
            let passed = self.waiting.len().saturating_sub(text.len());
            self.waiting.drain(..passed);
            self.read();
        }
    }

    /// Reads a sealed stream until one of its records holds some text.
    fn follow_sealed(&mut self, pending: &Pending, text: &str) {
        let end = self.until(0);
        self.waiting.drain(..end);
        let mut answer = Vec::new();
        while answer.len() < RESPONSE {
            self.chunk(&mut answer);
        }
        let prefix = answer[..RESPONSE].try_into().unwrap();
        let mut opener = pending.opener(&prefix).unwrap();
        opener.push(&answer[RESPONSE..]);
        loop {
            while let Some(record) = opener.record().unwrap() {
                if memchr::memmem::find(&record.plain, text.as_bytes()).is_some() {
                    return;
                }
            }
            answer.clear();
            self.chunk(&mut answer);
            opener.push(&answer);
        }
    }

    /// A piece of a body that comes in pieces.
    fn chunk(&mut self, out: &mut Vec<u8>) {
        let head = loop {
            match memchr::memmem::find(&self.waiting, b"\r\n") {
                Some(head) => break head,
                None => self.read(),
            }
        };
        let digits = std::str::from_utf8(&self.waiting[..head]).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        while self.waiting.len() < head + 2 + length + 2 {
            self.read();
        }
        out.extend_from_slice(&self.waiting[head + 2..head + 2 + length]);
        self.waiting.drain(..head + 2 + length + 2);
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
