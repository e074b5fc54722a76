//! That redsocks' own parser reads the user and password that were meant.

use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use cib_redsocks::{Redirector as _, Redsocks, Settings};
use cib_testkit::process::run;
use cib_upstream::Upstream;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::lab::{LISTEN, Lab, PROXY, PROXY_PORT, SOON};
use crate::world::serve;

type Pair = (Vec<u8>, Vec<u8>);

fn upstream((user, password): &Pair) -> Upstream {
    let encode = |bytes: &[u8]| percent_encode(bytes, NON_ALPHANUMERIC).to_string();
    let userinfo = format!("{}:{}", encode(user), encode(password));
    Upstream::parse(&format!("socks5://{userinfo}@{PROXY}:{PROXY_PORT}")).unwrap()
}

fn nasty() -> Vec<Pair> {
    let mut pairs: Vec<Pair> = [
        ("user", "plain"),
        ("user", ""),
        ("us\"er", "qu\"o\"te"),
        ("back\\slash", "\\"),
        ("\\\"", "\\\\\""),
        ("a;b", ";;"),
        ("x}", "}}"),
        ("// comment", "/* comment */"),
        ("new\nline", "tab\treturn\r"),
        (" blanks ", "  "),
        ("größe", "пароль 密码"),
        ("'", "{ user = root; }"),
        ("n", "\\n"),
    ]
    .map(|(user, password)| (user.into(), password.into()))
    .into();
    pairs.push(((1..=255).collect(), (1..=255).rev().collect()));
    pairs
}

/// What arrives at a SOCKS server, from redsocks with our configuration of a pair.
fn sent(lab: &Lab, heard: &mpsc::Receiver<Pair>, pair: &Pair) -> Pair {
    let _redsocks = lab.redsocks(&upstream(pair), (PROXY, PROXY_PORT).into());
    let mut knock = lab.inside.command("curl");
    knock.args(["-s", "--max-time", "10", "http://203.0.113.80/"]);
    // It fails: the server refuses everybody.
    let _ = run(knock);
    heard.recv_timeout(SOON).unwrap()
}

async fn refuse(mut stream: TcpStream, tell: mpsc::Sender<Pair>) {
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [5, 2, 0, 2]);
    stream.write_all(&[5, 2]).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 1);
    let mut parts = [Vec::new(), Vec::new()];
    for part in &mut parts {
        part.resize(stream.read_u8().await.unwrap().into(), 0);
        stream.read_exact(part).await.unwrap();
    }
    let [user, password] = parts;
    tell.send((user, password)).unwrap();
    stream.write_all(&[1, 1]).await.unwrap();
}

#[test]
fn the_user_and_password_arrive_byte_by_byte() {
    let lab = Lab::new();
    let (tell, heard) = mpsc::channel();
    serve(&lab, (PROXY, PROXY_PORT).into(), move |stream| {
        refuse(stream, tell.clone())
    });
    for pair in nasty() {
        assert_eq!(sent(&lab, &heard, &pair), pair);
    }
    let mut runner = TestRunner::deterministic();
    let octets = || {
        vec(
            prop_oneof![any::<u8>(), Just(b'\\'), Just(b'"'), Just(b'/')],
            2..40,
        )
    };
    for _ in 0..20 {
        let (user, password) = (octets(), octets())
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let pair = (without_zero(user), without_zero(password));
        if is_sayable(&pair) {
            assert_eq!(sent(&lab, &heard, &pair), pair);
        }
    }
}

fn without_zero(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().map(|byte| byte.max(1)).collect()
}

fn settings(upstream: &Upstream) -> Settings<'_> {
    Settings {
        upstream,
        next_hop: (PROXY, PROXY_PORT).into(),
        listen: LISTEN,
        nofile: 1024,
    }
}

fn is_sayable(pair: &Pair) -> bool {
    Redsocks::default()
        .configuration(&settings(&upstream(pair)))
        .is_ok()
}

/// The refusals are no more than needed: redsocks itself fails on each of them.
#[test]
fn what_is_refused_would_have_been_misread() {
    let redsocks = Redsocks::default();
    for text in ["{", "}", "=", ";", "//", "/*"] {
        let pair = (b"user".to_vec(), text.into());
        assert!(!is_sayable(&pair), "{text}");
        let harmless = (b"user".to_vec(), b"XX".to_vec());
        let good = redsocks
            .configuration(&settings(&upstream(&harmless)))
            .unwrap();
        let bad = String::from_utf8(good.to_vec())
            .unwrap()
            .replace("\"XX\"", &format!("\"{text}\""));
        assert!(accepts(&good), "redsocks reads its configuration");
        assert!(
            !accepts(bad.as_bytes()),
            "redsocks takes {text:?} for punctuation"
        );
    }
}

/// Whether redsocks takes a configuration. An unfinished comment makes it wait for ever.
fn accepts(text: &[u8]) -> bool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, text).unwrap();
    let limit = Duration::from_secs(5).as_secs().to_string();
    let mut command = Command::new("timeout");
    command
        .args([&limit, "redsocks", "-t", "-c"])
        .arg(file.path());
    command.output().unwrap().status.success()
}
