//! Attacks of a stranger that no client would send: other requests in one, other protocols, more
//! than anybody could mean, and all at once.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};

use super::attack::{Attack, Deed, How};
use super::table::{CREATE, UPGRADE, asking, bearer, path, raw, request, say};
use super::{connect, exchange, status};

/// Where one request ends and the next begins is a matter of opinion in each of them.
pub(crate) fn smuggling(table: &mut Vec<Attack>, session: &str) {
    let hidden = format!("DELETE /api/sessions/{session} HTTP/1.1\r\nHost: box\r\n\r\n");
    let length = hidden.len();
    let chunked = |encoding: &str| raw(encoding, &format!("0\r\n\r\n{hidden}"));
    let all: Vec<(_, _, &[u16])> = vec![
        ("two lengths", raw(&format!("Content-Length: 4\r\nContent-Length: {length}"), &hidden), &[400]),
        ("two lengths in one", raw(&format!("Content-Length: 4, {length}"), &hidden), &[400]),
        ("a length with a sign", raw("Content-Length: +4", &hidden), &[400]),
        ("a negative length", raw("Content-Length: -1", &hidden), &[400]),
        ("a length of other digits", raw("Content-Length: 0x4", &hidden), &[400]),
        ("a length and chunks", chunked("Content-Length: 4\r\nTransfer-Encoding: chunked"), &[400, 401]),
        ("chunks and a length", chunked("Transfer-Encoding: chunked\r\nContent-Length: 4"), &[400, 401]),
        ("chunks that are none", chunked("Content-Length: 4\r\nTransfer-Encoding: xchunked"), &[400]),
        ("chunks that are not last", chunked("Transfer-Encoding: chunked, identity"), &[400]),
        ("chunks behind a space", chunked("Transfer-Encoding : chunked"), &[400]),
        ("chunks on a folded line", chunked("Content-Length: 4\r\nX: y\r\n Transfer-Encoding: chunked"), &[400, 401]),
        ("chunks before their time", format!("POST /api/sessions HTTP/1.0\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}").into_bytes(), &[400, 401]),
        ("a chunk larger than a number", raw("Transfer-Encoding: chunked", "fffffffffffffffff\r\nx"), &[400, 401]),
        ("a negative chunk", raw("Transfer-Encoding: chunked", "-1\r\nx\r\n"), &[400, 401]),
        ("a request as a body", request("GET /api/sessions", "", &hidden), &[401]),
        ("line ends of another kind", format!("GET /api/sessions HTTP/1.1\nHost: box\nConnection: close\n\n{hidden}").into_bytes(), &[400, 401]),
        ("two hosts", b"GET /api/sessions HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_vec(), &[400, 401]),
        ("no host", b"GET /api/sessions HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec(), &[400, 401]),
    ];
    say(table, "smuggling", all);
}

pub(crate) fn bytes(table: &mut Vec<Attack>) {
    let hello = {
        let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
        hello.extend((0..505).map(|n: u32| u8::try_from(n % 251).unwrap()));
        hello
    };
    let rubbish = [
        &b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50)[..],
        b"\xff\xfe garbage \r\n\r\n",
    ]
    .concat();
    let all: Vec<(_, _, &[u16])> = vec![
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
            &[400, 404, 405, 505],
        ),
        ("HTTP/0.9", b"GET /api/sessions\r\n".to_vec(), &[400]),
        (
            "HTTP/9.9",
            b"GET /api/sessions HTTP/9.9\r\n\r\n".to_vec(),
            &[400, 505],
        ),
        ("TLS", hello, &[400]),
        ("ssh", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), &[400]),
        (
            "a proxy's protocol",
            b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n".to_vec(),
            &[400],
        ),
        (
            "any bytes",
            (0..4096_u32)
                .map(|n| u8::try_from(n * 97 % 256).unwrap())
                .collect(),
            &[400],
        ),
        ("line ends", "\r\n".repeat(10_000).into_bytes(), &[400]),
        ("nothing", Vec::new(), &[]),
        (
            "a line end in a header",
            b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-A: a\rSet: b\r\n\r\n".to_vec(),
            &[400],
        ),
        (
            "a NUL in a header",
            b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n".to_vec(),
            &[400],
        ),
        (
            "a header without a name",
            b"GET /api/health HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n".to_vec(),
            &[400],
        ),
        ("requests and then rubbish", rubbish, &[200]),
    ];
    say(table, "bytes", all);
}

pub(crate) fn sizes(table: &mut Vec<Attack>) {
    let bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".repeat(10_000);
    let of_bomb = |headers: &str, before: &str| {
        let head = raw(&format!("Connection: close\r\n{headers}"), before);
        [&head[..], &bomb, b"\r\n0\r\n\r\n"].concat()
    };
    let inflated = format!("Content-Encoding: gzip\r\nContent-Length: {}", bomb.len());
    let chunk = format!("{:x}\r\n", bomb.len());
    let all: Vec<(_, _, &[u16])> = vec![
        (
            "headers without end",
            format!("GET /api/health HTTP/1.1\r\n{}", "X-A: b\r\n".repeat(5000)).into_bytes(),
            &[400, 431],
        ),
        (
            "a header without end",
            format!("GET /api/health HTTP/1.1\r\nX-A: {}", "b".repeat(1 << 20)).into_bytes(),
            &[400, 431],
        ),
        (
            "an address without end",
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "b".repeat(1 << 20)).into_bytes(),
            &[400, 414, 431],
        ),
        (
            "a token without end",
            bearer(&"x".repeat(1 << 20)),
            &[400, 431],
        ),
        (
            "a body that nobody could hold",
            raw("Content-Length: 9223372036854775807", "x"),
            &[400, 401],
        ),
        (
            "a body of eight megabytes",
            request("POST /api/sessions", "", &" ".repeat(8 << 20)),
            &[401, 413],
        ),
        (
            "a body that wants to be asked for",
            raw("Expect: 100-continue\r\nContent-Length: 8388608", ""),
            &[401, 413, 417],
        ),
        (
            "a body to be inflated",
            of_bomb(&inflated, ""),
            &[401, 413, 415],
        ),
        (
            "chunks to be inflated",
            of_bomb("Transfer-Encoding: gzip, chunked", &chunk),
            &[400, 401],
        ),
        (
            "JSON without a bottom",
            request("POST /api/sessions", "", &"[".repeat(200_000)),
            &[401, 413],
        ),
        (
            "a part of nothing",
            asking("Range: bytes=0-18446744073709551615,-1\r\n"),
            &[401],
        ),
    ];
    say(table, "sizes", all);
}

pub(crate) fn crowds(table: &mut Vec<Attack>) {
    let all: [(_, Deed, &[u16]); 5] = [
        ("a thousand requests at once", pipelined, &[401]),
        ("a thousand wrong tokens at once", guesses, &[401, 429]),
        ("two thousand connections", many, &[]),
        ("a storm of resets", resets, &[]),
        ("nobody who reads", deaf, &[]),
    ];
    table.extend(all.map(|(name, attempt, allowed)| Attack {
        kind: "crowds",
        name,
        how: How::Do(attempt),
        allowed,
    }));
}

/// Asks for one session after the other. The first answer, if all are the same.
pub(crate) fn ids(address: SocketAddr) -> Vec<u8> {
    let ask = |n: u32| {
        let id = format!("/api/sessions/00000000-0000-4000-8000-{n:012x}");
        exchange(address, &path(&id))
    };
    same((0..200).map(ask))
}

/// The first of some answers if the others have its status, or the odd one.
fn same(mut answers: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let first = answers.next().unwrap_or_default();
    let odd = answers.find(|answer| status(answer) != status(&first));
    odd.unwrap_or(first)
}

/// A thousand requests that wait for no answer; an odd one among the answers, or the first.
fn at_once(address: SocketAddr, headers: &str) -> Vec<u8> {
    let one = format!("GET /api/sessions HTTP/1.1\r\nHost: box\r\n{headers}\r\n");
    let last =
        format!("GET /api/sessions HTTP/1.1\r\nHost: box\r\nConnection: close\r\n{headers}\r\n");
    let answers = exchange(
        address,
        &[one.repeat(999).as_bytes(), last.as_bytes()].concat(),
    );
    let begins = memchr::memmem::find_iter(&answers, b"HTTP/1.1 ");
    let allowed = |status| matches!(status, Some(401 | 429));
    let mut odd = begins.filter(|at| !allowed(status(&answers[*at..])));
    odd.next()
        .map_or_else(|| answers.clone(), |at| answers[at..].to_vec())
}

fn pipelined(address: SocketAddr) -> Vec<u8> {
    at_once(address, "")
}

fn guesses(address: SocketAddr) -> Vec<u8> {
    at_once(address, "Authorization: Bearer wrong\r\n")
}

fn many(address: SocketAddr) -> Vec<u8> {
    // So many at once as a process may have files for anywhere.
    for _ in 0..5 {
        drop((0..400).map(|_| connect(address)).collect::<Vec<_>>());
    }
    Vec::new()
}

/// Connections that are reset in the middle of each thing that can be said.
fn resets(address: SocketAddr) -> Vec<u8> {
    let said = request("POST /api/sessions", UPGRADE, CREATE);
    for n in 0..1000 {
        // Closing resets them.
        let _ = connect(address).write_all(&said[..n % said.len()]);
    }
    Vec::new()
}

/// Asks for much and reads nothing of it.
fn deaf(address: SocketAddr) -> Vec<u8> {
    let said = b"GET /api/health HTTP/1.1\r\nHost: box\r\n\r\n".repeat(500);
    let held: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = connect(address);
            let _ = stream.write_all(&said);
            let _ = stream.shutdown(Shutdown::Write);
            stream
        })
        .collect();
    for mut stream in held {
        let _ = stream.read(&mut [0; 1]);
    }
    Vec::new()
}
