//! The DNS messages of clients and servers, and what is changed in them on the way.

use std::net::Ipv4Addr;
use std::time::Duration;

use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode,
};
use hickory_proto::rr::rdata::svcb::{SVCB, SvcParamKey, SvcParamValue};
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_proto::serialize::binary::{
    BinDecodable as _, BinDecoder, BinEncodable as _, BinEncoder,
};

/// The payload that we offer to take, as the flag day of 2020 recommends.
const OUR_PAYLOAD: u16 = 1232;
/// The most that is sent over UDP, on loopback, whatever the client offers to take.
const UDP_MAX: u16 = 4096;
/// The least that every client takes (RFC 1035, section 4.2.1).
const UDP_MIN: u16 = 512;
/// The longest that a negative answer is kept (RFC 2308, section 5, asks for hours at most).
const NEGATIVE_MAX: u32 = 15 * 60;

/// How a message came, which decides how long the reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// In a datagram.
    Udp,
    /// In a stream, with its length in front.
    Tcp,
}

/// What a packet turned out to be.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A question.
    Question(Box<Question>),
    /// Something to be answered with an error, which is here.
    Error(Vec<u8>),
    /// Nothing that should be answered: too short, or itself an answer.
    Ignore,
}

/// A question, and all of the client's message that its answer depends on.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    id: u16,
    recursion_desired: bool,
    checking_disabled: bool,
    authentic_data: bool,
    query: Query,
    edns: Option<ClientEdns>,
    limit: u16,
}

#[derive(Clone, Copy, Debug)]
struct ClientEdns {
    dnssec_ok: bool,
}

/// What makes two questions have the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Box<[u8]>);

impl Key {
    #[cfg(test)]
    pub(crate) fn for_test(number: u8) -> Self {
        Self([number].into())
    }
}

/// Reads a packet.
#[must_use]
pub(crate) fn read(packet: &[u8], medium: Medium) -> Incoming {
    let Ok(Header { metadata, .. }) = Header::read(&mut BinDecoder::new(packet)) else {
        return Incoming::Ignore;
    };
    if metadata.message_type == MessageType::Response {
        return Incoming::Ignore;
    }
    if metadata.op_code != OpCode::Query {
        return Incoming::Error(bare(&metadata, ResponseCode::NotImp));
    }
    let Ok(message) = Message::from_vec(packet) else {
        return Incoming::Error(bare(&metadata, ResponseCode::FormErr));
    };
    let [query] = message.queries.as_slice() else {
        return Incoming::Error(bare(&metadata, ResponseCode::FormErr));
    };
    let payload = message.edns.as_ref().map_or(UDP_MIN, Edns::max_payload);
    let question = Question {
        id: message.metadata.id,
        recursion_desired: message.metadata.recursion_desired,
        checking_disabled: message.metadata.checking_disabled,
        authentic_data: message.metadata.authentic_data,
        query: query.clone(),
        edns: message.edns.as_ref().map(|e| ClientEdns {
            dnssec_ok: e.flags().dnssec_ok,
        }),
        limit: match medium {
            Medium::Udp => payload.clamp(UDP_MIN, UDP_MAX),
            Medium::Tcp => u16::MAX,
        },
    };
    if message.edns.is_some_and(|edns| edns.version() > 0) {
        return Incoming::Error(question.error(ResponseCode::BADVERS));
    }
    Incoming::Question(Box::new(question))
}

/// A response that is a header alone, to a query that cannot be read any further.
fn bare(query: &Metadata, code: ResponseCode) -> Vec<u8> {
    let mut reply = Message::error_msg(query.id, query.op_code, code);
    reply.metadata.recursion_desired = query.recursion_desired;
    reply.metadata.recursion_available = true;
    // A header always fits.
    reply.to_vec().unwrap_or_default()
}

impl Question {
    /// The name, type and class.
    #[must_use]
    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    /// The query to send on: id 0, no option of the client's, whose cookies and subnets are
    /// nobody's business. `None` if it cannot be encoded.
    #[must_use]
    pub(crate) fn to_query(&self) -> Option<Vec<u8>> {
        let mut query = Message::new(0, MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = true;
        query.metadata.checking_disabled = self.checking_disabled;
        query.metadata.authentic_data = self.authentic_data;
        query.add_query(self.query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(OUR_PAYLOAD);
        edns.set_dnssec_ok(self.dnssec_ok());
        query.set_edns(edns);
        query.to_vec().ok()
    }

    /// What the answer is kept under: the name in lower case, the type, the class, and the flags
    /// that change an answer. `None` if the name cannot be encoded.
    #[must_use]
    pub(crate) fn key(&self) -> Option<Key> {
        let mut query = self.query.clone();
        query.name = query.name.to_lowercase();
        let mut key = query.to_bytes().ok()?;
        key.push(u8::from(self.dnssec_ok()) | u8::from(self.checking_disabled) << 1);
        Some(Key(key.into()))
    }

    fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// An answer without records.
    #[must_use]
    pub(crate) fn error(&self, code: ResponseCode) -> Vec<u8> {
        self.encode(self.answer(code))
    }

    /// An answer of one A record that may be kept for `ttl` seconds.
    #[must_use]
    pub(crate) fn address(&self, address: Ipv4Addr, ttl: u32) -> Vec<u8> {
        let mut answer = self.answer(ResponseCode::NoError);
        let name = self.query.name.clone();
        answer.add_answer(Record::from_rdata(name, ttl, RData::A(address.into())));
        self.encode(answer)
    }

    /// The reply of another server as the answer to this question: this id, this spelling of
    /// the name, TTLs that are `age` older, no word of IPv6, no longer than the client takes.
    /// `None` if it is not an answer to this question.
    #[must_use]
    pub(crate) fn adapt(&self, reply: &[u8], age: Duration) -> Option<Vec<u8>> {
        let mut theirs = Message::from_vec(reply).ok()?;
        let same = matches!(theirs.queries.as_slice(), [q] if *q == self.query);
        if !same || theirs.metadata.message_type != MessageType::Response {
            return None;
        }
        let changed = hide_ipv6(&mut theirs);
        let mut code = theirs.metadata.response_code;
        if code.high() > 0 && self.edns.is_none() {
            code = ResponseCode::ServFail;
        }
        let mut answer = self.answer(code);
        let wants_verdict = self.authentic_data || self.dnssec_ok();
        answer.metadata.authentic_data =
            theirs.metadata.authentic_data && wants_verdict && !changed;
        answer.metadata.truncation = theirs.metadata.truncation;
        answer.answers = theirs.answers;
        answer.authorities = theirs.authorities;
        answer.additionals = theirs.additionals;
        let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let sections = [
            &mut answer.answers,
            &mut answer.authorities,
            &mut answer.additionals,
        ];
        for record in sections.into_iter().flatten() {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(self.encode(answer))
    }

    fn answer(&self, code: ResponseCode) -> Message {
        let mut answer = Message::new(self.id, MessageType::Response, OpCode::Query);
        answer.metadata.recursion_desired = self.recursion_desired;
        // glibc takes an empty answer without RA for that of a broken server.
        answer.metadata.recursion_available = true;
        answer.metadata.checking_disabled = self.checking_disabled;
        answer.metadata.response_code = code;
        answer.add_query(self.query.clone());
        if let Some(theirs) = self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(OUR_PAYLOAD);
            edns.set_dnssec_ok(theirs.dnssec_ok);
            answer.set_edns(edns);
        }
        answer
    }

    /// Encodes an answer within the client's limit. What is only helpful goes first; if
    /// answers have to go as well, the rest says so and the client comes back over TCP. Some
    /// are left in, for the clients that cannot.
    fn encode(&self, mut answer: Message) -> Vec<u8> {
        loop {
            let mut bytes = Vec::with_capacity(UDP_MIN.into());
            let mut encoder = BinEncoder::new(&mut bytes);
            encoder.set_max_size(u16::MAX);
            let fits = answer.emit(&mut encoder).is_ok() && bytes.len() <= self.limit.into();
            if fits {
                return bytes;
            }
            if !answer.additionals.is_empty() {
                answer.additionals.clear();
            } else if !answer.authorities.is_empty() {
                answer.authorities.clear();
            } else if answer.answers.is_empty() {
                // The question alone has at most 271 bytes, so this does not come about.
                return Vec::new();
            } else {
                answer.metadata.truncation = true;
                answer.answers.truncate(answer.answers.len() * 3 / 4);
            }
        }
    }
}

/// Removes what would make a client try IPv6: AAAA records, and the hints of HTTPS and SVCB
/// records. Says whether there was any.
fn hide_ipv6(message: &mut Message) -> bool {
    let mut changed = false;
    let sections = [
        &mut message.answers,
        &mut message.authorities,
        &mut message.additionals,
    ];
    for section in sections {
        section.retain_mut(|record| match &mut record.data {
            RData::AAAA(_) => {
                changed = true;
                false
            }
            RData::HTTPS(https) => hide_hint(&mut https.0, &mut changed),
            RData::SVCB(svcb) => hide_hint(svcb, &mut changed),
            _ => true,
        });
    }
    changed
}

/// Whether the record can stay.
fn hide_hint(svcb: &mut SVCB, changed: &mut bool) -> bool {
    let before = svcb.svc_params.len();
    let hint = SvcParamKey::Ipv6Hint;
    let needed = svcb.svc_params.iter().any(|(_, value)| {
        matches!(value, SvcParamValue::Mandatory(mandatory) if mandatory.0.contains(&hint))
    });
    svcb.svc_params.retain(|(key, _)| *key != hint);
    *changed |= needed || svcb.svc_params.len() != before;
    !needed
}

/// What a reply means to whoever sent the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyInfo {
    /// Whether the server would not look it up for us, where another one might.
    pub(crate) is_refusal: bool,
    /// How long it may be kept; zero for not at all.
    pub(crate) ttl: Duration,
}

/// Looks into a reply. `None` if it is not DNS.
#[must_use]
pub(crate) fn inspect(reply: &[u8]) -> Option<ReplyInfo> {
    let message = Message::from_vec(reply).ok()?;
    let code = message.metadata.response_code;
    let positive = code == ResponseCode::NoError
        && message
            .answers
            .iter()
            .any(|record| record.record_type() != RecordType::CNAME);
    let ttl = match code {
        _ if message.metadata.truncation => 0,
        _ if positive => message
            .answers
            .iter()
            .map(|record| record.ttl)
            .min()
            .unwrap_or(0),
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let aliases = message.answers.iter().map(|record| record.ttl).min();
            let negative = message
                .authorities
                .iter()
                .find_map(|record| match &record.data {
                    RData::SOA(soa) => Some(record.ttl.min(soa.minimum).min(NEGATIVE_MAX)),
                    _ => None,
                });
            negative.unwrap_or(0).min(aliases.unwrap_or(u32::MAX))
        }
        _ => 0,
    };
    Some(ReplyInfo {
        is_refusal: matches!(code, ResponseCode::Refused | ResponseCode::NotImp),
        ttl: Duration::from_secs(ttl.into()),
    })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
