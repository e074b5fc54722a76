use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::svcb::{Alpn, IpHint, Mandatory};
use hickory_proto::rr::rdata::{CNAME, HTTPS, SOA, TXT};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn query(text: &str, kind: RecordType) -> Message {
    let mut query = Message::new(4711, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name(text), kind));
    query
}

fn question_of(query: &Message, medium: Medium) -> Question {
    match read(&query.to_vec().unwrap(), medium) {
        Incoming::Question(question) => *question,
        other => panic!("{other:?}"),
    }
}

/// A server's reply to the query that we would send on.
fn reply_to(question: &Question, code: ResponseCode) -> Message {
    let mut reply = Message::from_vec(&question.to_query().unwrap()).unwrap();
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.response_code = code;
    reply
}

fn record(owner: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name(owner), ttl, data)
}

fn a(last: u8) -> RData {
    RData::A(Ipv4Addr::new(192, 0, 2, last).into())
}

fn aaaa() -> RData {
    RData::AAAA("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().into())
}

fn soa(minimum: u32) -> RData {
    RData::SOA(SOA::new(name("ns."), name("who."), 1, 1, 1, 1, minimum))
}

fn adapted(question: &Question, reply: &Message, age: u64) -> Message {
    let bytes = question
        .adapt(&reply.to_vec().unwrap(), Duration::from_secs(age))
        .unwrap();
    Message::from_vec(&bytes).unwrap()
}

#[test]
fn an_answer_has_the_clients_id_and_spelling_and_older_ttls() {
    let question = question_of(&query("ExAmple.org.", RecordType::A), Medium::Udp);
    let mut reply = reply_to(&question, ResponseCode::NoError);
    reply.add_answer(record("example.org.", 60, a(1)));
    let answer = adapted(&question, &reply, 45);
    assert_eq!(answer.metadata.id, 4711);
    assert_eq!(answer.queries[0].name.to_ascii(), "ExAmple.org.");
    assert_eq!(
        (answer.answers[0].ttl, &answer.answers[0].data),
        (15, &a(1))
    );
    assert!(answer.metadata.recursion_available && answer.metadata.recursion_desired);
    assert!(answer.edns.is_none(), "the client asked without EDNS");
}

#[test]
fn what_is_sent_on_holds_no_option_of_the_clients() {
    let mut asked = query("example.org.", RecordType::TXT);
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    let cookie = hickory_proto::rr::rdata::opt::EdnsOption::Unknown(10, vec![1; 8]);
    edns.options_mut().insert(cookie);
    asked.set_edns(edns);
    asked.metadata.checking_disabled = true;
    let sent = Message::from_vec(&question_of(&asked, Medium::Udp).to_query().unwrap()).unwrap();
    assert_eq!(sent.metadata.id, 0);
    assert!(sent.metadata.checking_disabled && sent.metadata.recursion_desired);
    let edns = sent.edns.unwrap();
    assert!(edns.flags().dnssec_ok && edns.options().as_ref().is_empty());
}

#[test]
fn the_ad_bit_is_given_to_whoever_asked_for_it() {
    for (asked_ad, asked_do, expected) in [
        (true, false, true),
        (false, true, true),
        (false, false, false),
    ] {
        let mut asked = query("example.org.", RecordType::A);
        asked.metadata.authentic_data = asked_ad;
        if asked_do {
            let mut edns = Edns::new();
            edns.set_dnssec_ok(true);
            asked.set_edns(edns);
        }
        let question = question_of(&asked, Medium::Udp);
        let mut reply = reply_to(&question, ResponseCode::NoError);
        reply.metadata.authentic_data = true;
        reply.add_answer(record("example.org.", 60, a(1)));
        let answer = adapted(&question, &reply, 0);
        assert_eq!(answer.metadata.authentic_data, expected);
        assert_eq!(answer.edns.is_some(), asked_do);
    }
}

#[test]
fn no_answer_speaks_of_ipv6() {
    let question = question_of(&query("example.org.", RecordType::HTTPS), Medium::Udp);
    let mut reply = reply_to(&question, ResponseCode::NoError);
    reply.metadata.authentic_data = true;
    let https = |params| RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), params)));
    let alpn = (
        SvcParamKey::Alpn,
        SvcParamValue::Alpn(Alpn(vec!["h2".into()])),
    );
    let hint = (
        SvcParamKey::Ipv6Hint,
        SvcParamValue::Ipv6Hint(IpHint(vec![
            "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().into(),
        ])),
    );
    let mandatory = (
        SvcParamKey::Mandatory,
        SvcParamValue::Mandatory(Mandatory(vec![SvcParamKey::Ipv6Hint])),
    );
    reply.add_answer(record(
        "example.org.",
        60,
        https(vec![alpn.clone(), hint.clone()]),
    ));
    reply.add_answer(record("example.org.", 60, https(vec![mandatory, hint])));
    reply.add_answer(record("example.org.", 60, aaaa()));
    reply.add_additional(record("example.org.", 60, aaaa()));
    let answer = adapted(&question, &reply, 0);
    assert_eq!(
        answer.answers,
        [record("example.org.", 60, https(vec![alpn]))]
    );
    assert!(answer.additionals.is_empty() && !answer.metadata.authentic_data);
}

#[test]
fn an_answer_too_long_for_a_datagram_is_cut_and_says_so() {
    let asked = query("example.org.", RecordType::TXT);
    for (medium, payload, whole) in [
        (Medium::Udp, None, false),
        (Medium::Udp, Some(4096), true),
        (Medium::Tcp, None, true),
    ] {
        let mut asked = asked.clone();
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            asked.set_edns(edns);
        }
        let question = question_of(&asked, medium);
        let mut reply = reply_to(&question, ResponseCode::NoError);
        for n in 0..10 {
            let text = TXT::new(vec![format!("{n}").repeat(200)]);
            reply.add_answer(record("example.org.", 60, RData::TXT(text)));
        }
        let bytes = question
            .adapt(&reply.to_vec().unwrap(), Duration::ZERO)
            .unwrap();
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!(answer.metadata.truncation, !whole);
        assert_eq!(answer.answers.len() == 10, whole);
        assert!(!answer.answers.is_empty(), "who cannot do TCP gets some");
        assert!(whole || bytes.len() <= 512, "{}", bytes.len());
    }
}

#[test]
fn a_reply_to_another_question_is_no_answer() {
    let question = question_of(&query("example.org.", RecordType::A), Medium::Udp);
    let other = question_of(&query("example.com.", RecordType::A), Medium::Udp);
    let reply = reply_to(&other, ResponseCode::NoError).to_vec().unwrap();
    assert_eq!(question.adapt(&reply, Duration::ZERO), None);
    assert_eq!(
        question.adapt(&question.to_query().unwrap(), Duration::ZERO),
        None,
        "a query is no reply"
    );
}

#[test]
fn what_changes_an_answer_changes_the_key_and_the_spelling_does_not() {
    let key = |message: &Message| {
        let question = question_of(message, Medium::Udp);
        question.key().unwrap()
    };
    let plain = query("example.org.", RecordType::A);
    assert_eq!(key(&plain), key(&query("EXAMPLE.org.", RecordType::A)));
    assert_ne!(key(&plain), key(&query("example.org.", RecordType::MX)));
    let mut checked = plain.clone();
    checked.metadata.checking_disabled = true;
    assert_ne!(key(&plain), key(&checked));
    let mut signed = plain.clone();
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    signed.set_edns(edns);
    assert_ne!(key(&plain), key(&signed));
}

#[test]
fn an_answer_is_kept_as_long_as_its_records_say() {
    let question = question_of(&query("example.org.", RecordType::A), Medium::Udp);
    let ttl = |change: &dyn Fn(&mut Message)| {
        let mut reply = reply_to(&question, ResponseCode::NoError);
        change(&mut reply);
        inspect(&reply.to_vec().unwrap()).unwrap().ttl.as_secs()
    };
    let cname = RData::CNAME(CNAME(name("alias.example.")));
    assert_eq!(
        ttl(&|r| {
            r.add_answer(record("example.org.", 300, cname.clone()));
            r.add_answer(record("alias.example.", 60, a(1)));
        }),
        60
    );
    assert_eq!(
        ttl(&|r| r.authorities.push(record("org.", 300, soa(120)))),
        120
    );
    assert_eq!(
        ttl(&|r| {
            r.metadata.response_code = ResponseCode::NXDomain;
            r.add_authority(record("org.", 86_400, soa(86_400)));
        }),
        900
    );
    assert_eq!(
        ttl(&|r| r.metadata.response_code = ResponseCode::NXDomain),
        0
    );
    assert_eq!(
        ttl(&|r| r.metadata.response_code = ResponseCode::ServFail),
        0
    );
    assert_eq!(
        ttl(&|r| {
            r.metadata.truncation = true;
            r.add_answer(record("example.org.", 300, a(1)));
        }),
        0
    );
}

#[test]
fn what_is_no_question_is_refused_or_ignored() {
    let code = |packet: &[u8]| match read(packet, Medium::Udp) {
        Incoming::Error(reply) => Some(Message::from_vec(&reply).unwrap().metadata.response_code),
        Incoming::Question(_) => panic!("{packet:?}"),
        Incoming::Ignore => None,
    };
    let good = query("example.org.", RecordType::A).to_vec().unwrap();
    assert_eq!(code(&good[..11]), None);
    let mut answer = good.clone();
    answer[2] |= 0x80;
    assert_eq!(code(&answer), None, "answering an answer makes a circle");
    let mut update = good.clone();
    update[2] |= 5 << 3;
    assert_eq!(code(&update), Some(ResponseCode::NotImp));
    assert_eq!(code(&good[..good.len() - 1]), Some(ResponseCode::FormErr));
    let mut none = good;
    none[5] = 0;
    assert_eq!(code(&none[..12]), Some(ResponseCode::FormErr));
    let mut newer = query("example.org.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    newer.set_edns(edns);
    // 16 is BADVERS in an OPT record, and BADSIG to the library that reads it here.
    assert_eq!(code(&newer.to_vec().unwrap()).map(u16::from), Some(16));
}

proptest! {
    #[test]
    fn any_packet_is_read_without_harm(packet in vec(any::<u8>(), 0..200)) {
        if let Incoming::Error(reply) = read(&packet, Medium::Udp) {
            prop_assert!(reply.len() >= 12 && reply[..2] == packet[..2] && reply[2] & 0x80 != 0);
        }
    }

    #[test]
    fn a_damaged_packet_is_read_without_harm_and_so_is_a_damaged_reply(
        at in 0..60_usize,
        byte in any::<u8>(),
    ) {
        let good = query("www.example.org.", RecordType::A);
        let mut packet = good.to_vec().unwrap();
        let place = at % packet.len();
        packet[place] = byte;
        let _ = read(&packet, Medium::Tcp);
        let question = question_of(&good, Medium::Udp);
        let mut reply = reply_to(&question, ResponseCode::NoError);
        reply.add_answer(record("www.example.org.", 60, a(1)));
        let mut reply = reply.to_vec().unwrap();
        let place = at % reply.len();
        reply[place] = byte;
        let _ = inspect(&reply);
        if let Some(answer) = question.adapt(&reply, Duration::from_secs(1)) {
            prop_assert!(answer.len() <= 512);
            prop_assert_eq!(&answer[..2], &4711_u16.to_be_bytes());
        }
    }

    #[test]
    fn an_answer_over_udp_never_exceeds_what_the_client_takes(
        payload in any::<u16>(),
        lengths in vec(1..255_usize, 0..40),
    ) {
        let mut asked = query("example.org.", RecordType::TXT);
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        asked.set_edns(edns);
        let question = question_of(&asked, Medium::Udp);
        let mut reply = reply_to(&question, ResponseCode::NoError);
        for &length in &lengths {
            reply.add_answer(record("example.org.", 9, RData::TXT(TXT::new(vec!["x".repeat(length)]))));
        }
        let bytes = question.adapt(&reply.to_vec().unwrap(), Duration::ZERO).unwrap();
        prop_assert!(bytes.len() <= usize::from(payload.clamp(512, 4096)));
        let answer = Message::from_vec(&bytes).unwrap();
        prop_assert_eq!(answer.answers.len() < lengths.len(), answer.metadata.truncation);
        prop_assert!(answer.edns.is_some());
    }
}
