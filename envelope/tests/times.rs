//! What becomes of messages as time goes by.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use cib_envelope::client::{Device, Session};
use cib_envelope::head::{Method, Request};
use cib_envelope::keys::{Key, KeyId, device};
use cib_envelope::message::{Kind, Prefix};
use cib_envelope::server::{IDLE, LIFE, OPENINGS, Refusal, SESSIONS, Server, TICKET_LIFE};

const BEGIN: u64 = 1_700_000_000_000;

fn root() -> Key {
    Key::new([5; 32])
}

fn holder(id: u8) -> Device {
    let id = KeyId([id; 8]);
    Device {
        id,
        secret: device(&root(), id),
    }
}

/// What a server makes of a message at a time.
fn judge(server: &mut Server, message: &[u8], now: u64) -> Result<(), Refusal> {
    let (prefix, records) = Prefix::parse(message).map_err(|_| Refusal::Malformed)?;
    let candidate = server.judge(&prefix, now)?;
    let (mut opener, proven) = candidate_opener(candidate);
    opener.push(records);
    match opener.record() {
        Ok(Some(_)) => server.accept(proven, now).map(drop),
        _ => Err(Refusal::Refused),
    }
}

fn candidate_opener(
    candidate: cib_envelope::server::Candidate,
) -> (cib_envelope::record::Opener, cib_envelope::server::Proven) {
    let secret = device(&root(), candidate.key_id());
    candidate.opener(&secret)
}

fn session(server: &Server, who: &Device, nonce: u8, now: u64) -> Session {
    let challenge = server.challenge(now, [nonce; 16]);
    who.session(Kind::Open, &challenge, [nonce; 16]).unwrap()
}

fn ask(session: &mut Session) -> Vec<u8> {
    let head = Request {
        time_ms: BEGIN,
        max_record: 256,
        method: Method::Get,
        target: "/api/sessions".to_owned(),
    };
    session.request(&head, b"", [1; 8]).0
}

#[test]
fn a_ticket_opens_a_session_for_sixty_seconds_and_never_before_it_was_made() {
    let mut server = Server::new(Key::new([1; 32]));
    for (age, expected) in [
        (TICKET_LIFE - 100, Ok(())),
        (TICKET_LIFE, Ok(())),
        (TICKET_LIFE + 100, Err(Refusal::Stale)),
    ] {
        let who = holder(u8::try_from(age % 251).unwrap());
        let message = ask(&mut session(&server, &who, 9, BEGIN));
        assert_eq!(judge(&mut server, &message, BEGIN + age), expected, "{age}");
    }
    let message = ask(&mut session(&server, &holder(1), 9, BEGIN));
    assert_eq!(judge(&mut server, &message, BEGIN - 1), Err(Refusal::Stale));
}

#[test]
fn an_opening_is_replayed_as_long_as_it_is_fresh_and_stale_from_then_on() {
    let mut server = Server::new(Key::new([1; 32]));
    let message = ask(&mut session(&server, &holder(1), 2, BEGIN));
    assert_eq!(judge(&mut server, &message, BEGIN + 5), Ok(()));
    for later in [6, 1000, TICKET_LIFE] {
        // Others open meanwhile, so that the session is gone.
        for nonce in 0..u8::try_from(SESSIONS).unwrap() {
            let other = ask(&mut session(
                &server,
                &holder(1),
                100 + nonce,
                BEGIN + later,
            ));
            assert_eq!(judge(&mut server, &other, BEGIN + later), Ok(()));
        }
        let again = judge(&mut server, &message, BEGIN + later);
        assert_eq!(again, Err(Refusal::Replayed), "{later}");
    }
    let late = judge(&mut server, &message, BEGIN + TICKET_LIFE + 1);
    assert_eq!(late, Err(Refusal::Stale));
}

#[test]
fn another_start_of_the_server_knows_no_ticket_and_no_session() {
    let mut before = Server::new(Key::new([1; 32]));
    let mut device_session = session(&before, &holder(1), 2, BEGIN);
    let (opening, next) = (ask(&mut device_session), ask(&mut device_session));
    assert_eq!(judge(&mut before, &opening, BEGIN), Ok(()));
    assert_eq!(judge(&mut before, &next, BEGIN), Ok(()));
    let mut after = Server::new(Key::new([2; 32]));
    assert_eq!(judge(&mut after, &opening, BEGIN), Err(Refusal::Stale));
    assert_eq!(judge(&mut after, &next, BEGIN), Err(Refusal::Stale));
}

#[test]
fn a_session_idles_an_hour_and_lives_a_day() {
    let mut server = Server::new(Key::new([1; 32]));
    let mut idle = session(&server, &holder(1), 1, BEGIN);
    let mut busy = session(&server, &holder(2), 2, BEGIN);
    assert_eq!(judge(&mut server, &ask(&mut idle), BEGIN), Ok(()));
    assert_eq!(judge(&mut server, &ask(&mut busy), BEGIN), Ok(()));
    let mut now = BEGIN;
    while now + IDLE <= BEGIN + LIFE {
        now += IDLE;
        assert_eq!(judge(&mut server, &ask(&mut busy), now), Ok(()));
    }
    assert_eq!(
        judge(&mut server, &ask(&mut busy), BEGIN + LIFE + 1),
        Err(Refusal::Stale)
    );
    assert_eq!(
        judge(&mut server, &ask(&mut idle), BEGIN + IDLE + 1),
        Err(Refusal::Stale)
    );
}

#[test]
fn a_token_has_so_many_sessions_and_opens_so_many_a_minute_and_takes_none_of_anothers() {
    let mut server = Server::new(Key::new([1; 32]));
    let mut other = session(&server, &holder(2), 200, BEGIN);
    assert_eq!(judge(&mut server, &ask(&mut other), BEGIN), Ok(()));
    for nonce in 0..OPENINGS {
        let nonce = u8::try_from(nonce).unwrap();
        let message = ask(&mut session(&server, &holder(1), nonce, BEGIN));
        assert_eq!(judge(&mut server, &message, BEGIN), Ok(()));
        assert!(server.sessions() <= SESSIONS + 1);
    }
    let message = ask(&mut session(&server, &holder(1), 99, BEGIN));
    assert_eq!(judge(&mut server, &message, BEGIN), Err(Refusal::TooMany));
    assert_eq!(judge(&mut server, &ask(&mut other), BEGIN), Ok(()));
    let later = BEGIN + TICKET_LIFE + 1;
    let message = ask(&mut session(&server, &holder(1), 98, later));
    assert_eq!(judge(&mut server, &message, later), Ok(()));
    server.forget(holder(1).id);
    assert_eq!(server.sessions(), 1);
}

#[test]
fn an_opening_with_a_suite_or_a_kind_of_another_is_no_message_or_opens_nothing() {
    let mut server = Server::new(Key::new([1; 32]));
    let message = ask(&mut session(&server, &holder(1), 1, BEGIN));
    for (place, value, expected) in [
        (4, Kind::Connect as u8, Refusal::Refused),
        (5, 2, Refusal::Malformed),
        (5, 0, Refusal::Malformed),
    ] {
        let mut changed = message.clone();
        changed[place] = value;
        assert_eq!(
            judge(&mut server, &changed, BEGIN),
            Err(expected),
            "{place} {value}"
        );
    }
    assert_eq!(server.sessions(), 0);
}

#[test]
fn a_counter_that_went_back_an_answer_sent_back_and_another_devices_id_open_nothing() {
    let mut server = Server::new(Key::new([1; 32]));
    let challenge = server.challenge(BEGIN, [3; 16]);
    let of = |who: &Device| who.session(Kind::Open, &challenge, [3; 16]).unwrap();
    let mut session = of(&holder(1));
    let opening = ask(&mut session);
    assert_eq!(judge(&mut server, &opening, BEGIN), Ok(()));
    let next = ask(&mut session);
    assert_eq!(judge(&mut server, &next, BEGIN), Ok(()));
    // Retained memory that was restored: the same keys and numbers, and other salts.
    let mut restored = of(&holder(1));
    ask(&mut restored);
    let head = Request {
        time_ms: BEGIN,
        max_record: 256,
        method: Method::Delete,
        target: "/api/sessions".to_owned(),
    };
    let again = restored.request(&head, b"", [9; 8]).0;
    assert_eq!(judge(&mut server, &again, BEGIN), Err(Refusal::Replayed));

    // An answer, as it is and with the beginning of a request.
    let (prefix, records) = Prefix::parse(&next).unwrap();
    let sid = next[8..24].to_vec();
    let third = ask(&mut session);
    let (prefix_of_third, records_of_third) = Prefix::parse(&third).unwrap();
    let (mut opener, proven) = candidate_opener(server.judge(&prefix_of_third, BEGIN).unwrap());
    opener.push(records_of_third);
    assert!(opener.record().unwrap().is_some());
    let responder = server.accept(proven, BEGIN).unwrap();
    let (mut answer, mut sealer) = responder.begin([4; 8]);
    let begins = answer.len();
    sealer.seal(&[b"{}"], true, &mut answer).unwrap();
    assert_eq!(judge(&mut server, &answer, BEGIN), Err(Refusal::Malformed));
    let dressed = [
        &next[..8],
        &sid,
        &7_u32.to_be_bytes(),
        &[4; 8],
        &answer[begins..],
    ]
    .concat();
    assert_eq!(judge(&mut server, &dressed, BEGIN), Err(Refusal::Refused));
    assert!(!records.is_empty() && matches!(prefix, Prefix::Next(_)));

    // One device under another's name, and a challenge whose time somebody has changed.
    let borrowed = Device {
        id: holder(2).id,
        secret: holder(1).secret,
    };
    let message = ask(&mut of(&borrowed));
    assert_eq!(judge(&mut server, &message, BEGIN), Err(Refusal::Refused));
    let mut moved = challenge;
    moved[15] ^= 1;
    let message = ask(&mut holder(1).session(Kind::Open, &moved, [5; 16]).unwrap());
    assert_eq!(judge(&mut server, &message, BEGIN), Err(Refusal::Stale));
}
