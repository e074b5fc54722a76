//! Every attack of a stranger, by what it is about: here those that any client can send.

use super::attack::{Attack, How};
use super::wire;
use crate::common::world::MASTER;

/// The body of a new session.
pub(crate) const CREATE: &str = r#"{"prompt":"hello"}"#;
const MINT: &str = r#"{"label":"mine","scopes":["*"]}"#;
/// The headers of a request for a WebSocket.
pub(crate) const UPGRADE: &str = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A whole request, after which the server closes.
pub(crate) fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: box\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    )
    .into_bytes()
}

/// A request for somebody's sessions.
pub(crate) fn asking(headers: &str) -> Vec<u8> {
    request("GET /api/sessions", headers, "")
}

pub(crate) fn bearer(token: &str) -> Vec<u8> {
    asking(&format!("Authorization: Bearer {token}\r\n"))
}

pub(crate) fn path(path: &str) -> Vec<u8> {
    request(&format!("GET {path}"), "", "")
}

/// Headers of a request whose body is written by hand.
pub(crate) fn raw(headers: &str, rest: &str) -> Vec<u8> {
    format!("POST /api/sessions HTTP/1.1\r\nHost: box\r\n{headers}\r\n\r\n{rest}").into_bytes()
}

/// Everything that is tried, against a box with this session.
pub(crate) fn attacks(session: &str) -> Vec<Attack> {
    let mut table = Vec::new();
    tokens(&mut table);
    claims(&mut table);
    pages(&mut table);
    methods(&mut table, session);
    paths(&mut table, session);
    sockets(&mut table, session);
    wire::smuggling(&mut table, session);
    wire::bytes(&mut table);
    wire::sizes(&mut table);
    wire::crowds(&mut table);
    // The last: they use up what may be guessed.
    sign_ins(&mut table);
    table
}

/// Adds attacks of one kind that say something.
pub(crate) fn say(
    table: &mut Vec<Attack>,
    kind: &'static str,
    all: Vec<(&'static str, Vec<u8>, &'static [u16])>,
) {
    table.extend(all.into_iter().map(|(name, said, allowed)| Attack {
        kind,
        name,
        how: How::Say(said),
        allowed,
    }));
}

fn tokens(table: &mut Vec<Attack>) {
    let all: Vec<(_, _, &[u16])> = vec![
        (
            "no token",
            request("POST /api/sessions", "", CREATE),
            &[401],
        ),
        ("an empty token", bearer(""), &[401]),
        ("a wrong token", bearer("wrong"), &[401, 429]),
        (
            "all but the last letter",
            bearer(&MASTER[..MASTER.len() - 1]),
            &[401, 429],
        ),
        ("a letter more", bearer(&format!("{MASTER}x")), &[401, 429]),
        (
            "other capitals",
            bearer(&MASTER.to_uppercase()),
            &[401, 429],
        ),
        (
            "a NUL behind the token",
            bearer(&format!("{MASTER}\0")),
            &[400],
        ),
        (
            "a token of letters that no token has",
            bearer("t\u{f6}ken\u{202e}"),
            &[400, 401, 429],
        ),
        (
            "two tokens",
            asking(&format!(
                "Authorization: Bearer x\r\nAuthorization: Bearer {MASTER}\r\n"
            )),
            &[401, 429],
        ),
        (
            "basic authentication",
            asking("Authorization: Basic cm9vdDpyb290\r\n"),
            &[401],
        ),
        (
            "another scheme",
            asking(&format!("Authorization: Digest {MASTER}\r\n")),
            &[401],
        ),
        (
            "a token for a proxy",
            asking(&format!("Proxy-Authorization: Bearer {MASTER}\r\n")),
            &[401],
        ),
        (
            "a token in another header",
            asking(&format!("X-Api-Key: {MASTER}\r\n")),
            &[401],
        ),
        (
            "a token in a cookie",
            request(
                "POST /api/tokens",
                &format!("Cookie: token={MASTER}\r\n"),
                MINT,
            ),
            &[401],
        ),
        (
            "a token in the query",
            request(&format!("POST /api/tokens?token={MASTER}"), "", MINT),
            &[400, 401],
        ),
        (
            "a token in the address",
            path(&format!("http://x:{MASTER}@box/api/sessions")),
            &[400, 401],
        ),
        (
            "a token in the body",
            request(
                "POST /api/tokens",
                "",
                &format!(r#"{{"token":"{MASTER}","scopes":["*"]}}"#),
            ),
            &[401],
        ),
    ];
    say(table, "tokens", all);
}

fn claims(table: &mut Vec<Attack>) {
    let claim = |headers: &str| request("POST /api/tokens", headers, MINT);
    let user = "X-Forwarded-User: root\r\n";
    let all: Vec<(_, _, &[u16])> = vec![
        ("a user", claim(user), &[401]),
        (
            "a user at home",
            claim(&format!(
                "{user}X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n"
            )),
            &[401],
        ),
        (
            "a user with a guess at the secret",
            claim(&format!("{user}X-CIB-Proxy-Secret: x\r\n")),
            &[401, 429],
        ),
        (
            "a user with no secret",
            claim(&format!("{user}X-CIB-Proxy-Secret: \r\n")),
            &[401, 429],
        ),
        (
            "a user in another spelling",
            claim("X_Forwarded_User: root\r\n"),
            &[400, 401],
        ),
        (
            "a user of other proxies",
            claim("Remote-User: root\r\nX-Remote-User: root\r\nX-Auth-Request-User: root\r\n"),
            &[401],
        ),
        (
            "a proxy by the standard",
            claim("Forwarded: for=127.0.0.1;by=127.0.0.1;proto=https\r\n"),
            &[401],
        ),
        (
            "a hundred proxies",
            claim(&format!(
                "{user}X-Forwarded-For: {}\r\n",
                "127.0.0.1, ".repeat(100)
            )),
            &[401],
        ),
        (
            "an address that is none",
            claim("X-Forwarded-For: \u{202e}, ;DROP, 999.1.1.1\r\n"),
            &[400, 401],
        ),
    ];
    say(table, "claims", all);
}

/// Guesses at passwords, and halves of sign-ins.
fn sign_ins(table: &mut Vec<Attack>) {
    let enter = |body: &str| request("POST /api/auth/login", "", body);
    let named = |name: &str, password: &str| {
        enter(&format!(
            r#"{{"username":"{name}","password":"{password}"}}"#
        ))
    };
    let first = r#"{"username":"eve","password":"correct horse"}"#;
    let halves = |headers: &str| request("POST /api/auth/accounts", headers, "{}");
    let proof = "ab".repeat(32);
    let refused: &[u16] = &[401, 429];
    let all: Vec<(_, _, &[u16])> = vec![
        (
            "an account of its own",
            request("POST /api/auth/setup", "", first),
            &[401],
        ),
        (
            "an account by cookie",
            request("POST /api/auth/setup", "Cookie: cib=1\r\n", first),
            &[401],
        ),
        ("a guess at a password", named("admin", "password"), refused),
        ("a name that is code", named("' OR 1=1 --", "x"), refused),
        ("a name of controls", named(r"\u0000\u202e", "x"), refused),
        (
            "a very long password",
            named("admin", &"x".repeat(7000)),
            refused,
        ),
        (
            "a password beyond the limit",
            named("admin", &"x".repeat(9000)),
            &[413],
        ),
        ("no password", enter(r#"{"username":"admin"}"#), &[400]),
        (
            "both ways at once",
            enter(r#"{"username":"a","password":"b","token":"c"}"#),
            &[400],
        ),
        ("a token of nothing", enter(r#"{"token":""}"#), refused),
        (
            "an array for a body",
            enter(r#"["admin","password"]"#),
            &[400],
        ),
        (
            "a sign-in by query",
            request("POST /api/auth/login?token=x", "", "{}"),
            &[400],
        ),
        (
            "a proof without a cookie",
            halves(&format!("X-CIB-Proof: {proof}\r\n")),
            &[401],
        ),
        (
            "a cookie without a proof",
            halves(&format!("Cookie: cib-00000000={proof}\r\n")),
            &[401],
        ),
        (
            "a crowd of cookies",
            halves(&format!(
                "X-CIB-Proof: {proof}\r\nCookie: {}\r\n",
                "cib-00000000=x; ".repeat(900)
            )),
            &[401],
        ),
        (
            "an end of others",
            request("DELETE /api/auth/sessions", "", ""),
            &[401],
        ),
        (
            "another's password",
            request("PATCH /api/auth/accounts/admin", "", "{}"),
            &[401],
        ),
    ];
    say(table, "sign-ins", all);
}

/// What a page of somebody else's can have a browser send.
fn pages(table: &mut Vec<Attack>) {
    let evil = "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n";
    let post = |kind: &str| {
        let headers =
            format!("{evil}Content-Type: {kind}\r\nCookie: session=1; token={MASTER}\r\n");
        request("POST /api/sessions", &headers, CREATE)
    };
    let rebound =
        b"GET /api/sessions HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    let all: Vec<(_, _, &[u16])> = vec![
        (
            "a form",
            post("application/x-www-form-urlencoded"),
            &[401, 403],
        ),
        (
            "a form of several parts",
            post("multipart/form-data; boundary=x"),
            &[401, 403],
        ),
        ("JSON that says it is text", post("text/plain"), &[401, 403]),
        ("JSON", post("application/json"), &[401, 403]),
        (
            "a page without an origin",
            request("POST /api/sessions", "Origin: null\r\n", CREATE),
            &[401, 403],
        ),
        (
            "a question before",
            request(
                "OPTIONS /api/sessions",
                &format!(
                    "{evil}Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"
                ),
                "",
            ),
            &[401, 403, 405],
        ),
        (
            "a name that somebody's DNS points here",
            rebound.to_vec(),
            &[401, 403],
        ),
        (
            "an image",
            request(
                "GET /api/sessions",
                &format!("{evil}Sec-Fetch-Dest: image\r\nAccept: image/*\r\n"),
                "",
            ),
            &[401, 403],
        ),
    ];
    say(table, "pages", all);
}

fn methods(table: &mut Vec<Attack>, session: &str) {
    let session = format!("/api/sessions/{session}");
    let all: Vec<(_, _, &[u16])> = vec![
        (
            "the end of a session",
            request(&format!("DELETE {session}"), "", ""),
            &[401],
        ),
        (
            "a word to a session",
            request(&format!("POST {session}/input"), "", r#"{"data":"x"}"#),
            &[401],
        ),
        (
            "another method by header",
            request(
                &format!("GET {session}"),
                "X-HTTP-Method-Override: DELETE\r\n",
                "",
            ),
            &[401],
        ),
        (
            "another method by query",
            request(&format!("POST {session}?_method=DELETE"), "", ""),
            &[401, 404, 405],
        ),
        (
            "small letters",
            request(&format!("delete {session}"), "", ""),
            &[400, 401, 405],
        ),
        (
            "a method that is none",
            request(&format!("DELETEX {session}"), "", ""),
            &[400, 401, 405],
        ),
        (
            "a method without end",
            request(&format!("{} {session}", "A".repeat(5000)), "", ""),
            &[400, 401, 405],
        ),
        (
            "HEAD",
            request(&format!("HEAD {session}"), "", ""),
            &[401, 405],
        ),
        (
            "PUT",
            request(&format!("PUT {session}"), "", CREATE),
            &[401, 405],
        ),
        (
            "CONNECT",
            request("CONNECT 127.0.0.1:22", "", ""),
            &[400, 404, 405],
        ),
        ("TRACE", request("TRACE /api/health", "", ""), &[404, 405]),
        (
            "OPTIONS of everything",
            request("OPTIONS *", "", ""),
            &[400, 401, 404, 405],
        ),
    ];
    say(table, "methods", all);
}

fn paths(table: &mut Vec<Attack>, session: &str) {
    const NOWHERE: &[u16] = &[400, 401, 404];
    let upper = session.to_uppercase();
    let all: Vec<(_, _, &[u16])> = vec![
        ("a path that climbs", path("/api/../../etc/passwd"), NOWHERE),
        (
            "one that climbs encoded",
            path("/api/sessions/..%2f..%2fcontrol/transcript"),
            NOWHERE,
        ),
        (
            "one that climbs in dots",
            path("/api/sessions/%2e%2e/%2e%2e/control/tokens.json"),
            NOWHERE,
        ),
        (
            "one that climbs encoded twice",
            path("/api/sessions/%252e%252e%252fcontrol"),
            NOWHERE,
        ),
        (
            "one that climbs in long letters",
            path("/api/sessions/%c0%ae%c0%ae/control"),
            NOWHERE,
        ),
        (
            "one that climbs backwards",
            path("/api\\..\\..\\etc\\passwd"),
            NOWHERE,
        ),
        (
            "from health to another",
            path("/api/health/../sessions"),
            NOWHERE,
        ),
        ("two slashes", path("//api/sessions"), NOWHERE),
        ("two slashes within", path("/api//sessions"), NOWHERE),
        ("a dot", path("/./api/sessions"), NOWHERE),
        ("a NUL", path("/api/health%00/../sessions"), NOWHERE),
        ("a semicolon", path("/api/sessions;x=/api/health"), NOWHERE),
        ("capitals", path("/API/SESSIONS"), NOWHERE),
        ("half a letter", path("/api/sessions/%zz%f"), NOWHERE),
        ("a path without its slash", path("api/sessions"), NOWHERE),
        (
            "a fragment",
            path("/api/health#/../sessions"),
            &[200, 400, 401, 404],
        ),
        (
            "an address as the path",
            path("http://127.0.0.1/api/sessions"),
            NOWHERE,
        ),
        (
            "another machine's address",
            path("http://169.254.169.254/latest/meta-data"),
            NOWHERE,
        ),
        ("an id that is none", path("/api/sessions/-1"), NOWHERE),
        (
            "an id in capitals",
            path(&format!("/api/sessions/{upper}")),
            NOWHERE,
        ),
        (
            "an id of other letters",
            path("/api/sessions/\u{ff10}\u{ff11}\u{202e}"),
            NOWHERE,
        ),
        (
            "an id of other letters, encoded",
            path("/api/sessions/%EF%BC%90%E2%80%AE"),
            NOWHERE,
        ),
        (
            "an id without end",
            path(&format!("/api/sessions/{}", "0".repeat(20_000))),
            NOWHERE,
        ),
        (
            "parameters without end",
            path(&format!("/api/sessions?{}", "a=b&".repeat(5000))),
            NOWHERE,
        ),
    ];
    say(table, "paths", all);
    table.push(Attack {
        kind: "paths",
        name: "one id after the other",
        how: How::Do(wire::ids),
        allowed: &[401],
    });
}

fn sockets(table: &mut Vec<Attack>, session: &str) {
    let stream = format!("GET /ws/sessions/{session}");
    let offered = |protocols: &str| {
        format!("{UPGRADE}Sec-WebSocket-Protocol: {protocols}\r\nOrigin: https://evil.example\r\n")
    };
    let typed = [&request(&stream, UPGRADE, "")[..], b"\x81\x85\0\0\0\0hello"].concat();
    let all: Vec<(_, _, &[u16])> = vec![
        ("without a token", request(&stream, UPGRADE, ""), &[401]),
        (
            "of another origin",
            request(&stream, &offered("json"), ""),
            &[401, 403],
        ),
        (
            "with a wrong token",
            request(&stream, &offered("bearer.x, json"), ""),
            &[401, 403, 429],
        ),
        (
            "with an empty token",
            request(&stream, &offered("bearer., json"), ""),
            &[400, 401, 403],
        ),
        ("that goes on all the same", typed, &[401]),
        (
            "of an old version",
            request(&stream, &UPGRADE.replace("13", "8"), ""),
            &[400, 401, 426],
        ),
        (
            "to where there is none",
            request("GET /api/sessions", UPGRADE, ""),
            &[401],
        ),
        (
            "to HTTP/2",
            asking(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
            ),
            &[401],
        ),
        (
            "events",
            request(
                &format!("GET /sse/sessions/{session}"),
                "Accept: text/event-stream\r\nLast-Event-ID: 0\r\n",
                "",
            ),
            &[401],
        ),
    ];
    say(table, "streams", all);
}
