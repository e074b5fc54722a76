//! The targets of the fuzzer, which the tests call with its corpus as well.

use crate::client::Device;
use crate::head::{Answer, Request};
use crate::item::Item;
use crate::keys::{Key, KeyId};
use crate::legacy::{Direction, V2};
use crate::message::{Kind, Prefix};
use crate::record::Opener;
use crate::server::Server;

/// What a stranger sends to the server.
pub fn message(bytes: &[u8]) {
    let mut server = Server::new(Key::new([0xb0; 32]));
    let now = 1_700_000_000_000;
    let Ok((prefix, records)) = Prefix::parse(bytes) else {
        return;
    };
    let Ok(candidate) = server.judge(&prefix, now) else {
        return;
    };
    let (mut opener, proven) = candidate.opener(&Key::new([7; 32]));
    opener.push(records);
    // Nobody knows that secret: nothing opens.
    assert!(!matches!(opener.record(), Ok(Some(_))));
    assert_eq!(server.sessions(), 0);
    drop(server.accept(proven, now));
}

/// What somebody on the line makes of an answer, and what is in a record that opened.
pub fn content(bytes: &[u8]) {
    let _ = Request::parse(bytes);
    let _ = Answer::parse(bytes);
    let _ = Item::parse(bytes);
    let mut opener = Opener::new(&Key::new([1; 32]), b"prefix");
    for piece in bytes.chunks(7) {
        opener.push(piece);
        assert!(!matches!(opener.record(), Ok(Some(_))));
    }
    let device = Device {
        id: KeyId([0; 8]),
        secret: Key::new([2; 32]),
    };
    let challenge = Server::new(Key::new([3; 32])).challenge(0, [0; 16]);
    if let Ok(mut session) = device.session(Kind::Open, &challenge, [0; 16]) {
        let (_, _, pending) = session.begin([0; 8]);
        assert!(pending.open(bytes).is_err());
        assert!(session.pushed(bytes).is_err());
    }
    if let Ok(mut stream) = V2::new(
        &Key::new([1; 32]),
        Direction::Request,
        "42",
        "/aes/x",
        [0; 16],
    ) {
        assert!(!matches!(stream.open(bytes), Ok(Some(_))));
    }
}
