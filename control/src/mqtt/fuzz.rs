//! Targets of the fuzzer, which the tests call with its corpus as well.

use std::time::Instant;

use cib_envelope::head::Method;
use cib_protocol::mqtt::MqttSettings;

use super::commands::{self, Memory, Work};
use super::pushes;
use super::topics::Topics;
use super::wire::{Heard, Message, Speaks, Wire};
use crate::auth::Caller;
use crate::auth::scope::Scopes;
use crate::envelope::Asked;

/// What a broker, or somebody on the line to it, sends.
pub fn broker(bytes: &[u8]) {
    let settings = MqttSettings {
        host: "broker".to_owned(),
        port: 1883,
        tls: false,
        is_three: false,
        user: None,
        password: None,
        ca: None,
        certificate: None,
        key: None,
        prefix: "cib/desk".to_owned(),
        scopes: Vec::new(),
        kinds: Vec::new(),
        coalesce_ms: 0,
        home_assistant: false,
    };
    let topics = Topics::new(&settings.prefix);
    for speaks in [Speaks::Five, Speaks::Three] {
        let begun = Wire::begin(speaks, &settings, "cib-desk", "cib/desk/status");
        let mut wire = begun.expect("a connection begins");
        for piece in bytes.chunks(11) {
            for heard in wire.input(piece) {
                match heard {
                    Heard::Message(message) => drop(topics.subject(&message.topic)),
                    Heard::Over(_) | Heard::Refused(_) => return,
                    _ => {}
                }
            }
        }
    }
}

/// What somebody says there who may command the box, or ask under seal.
pub fn command(bytes: &[u8]) {
    let topics = Topics::new("cib/desk");
    let caller = Caller::bridge(Scopes::ALL);
    let session = "00000000-0000-4000-8000-000000000001";
    for topic in [
        "cib/desk/cmd/create".to_owned(),
        "cib/desk/cmd/sessions".to_owned(),
        "cib/desk/cmd/replay".to_owned(),
        format!("cib/desk/sessions/{session}/cmd/input"),
        format!("cib/desk/sessions/{session}/cmd/end"),
    ] {
        let subject = topics.subject(&topic);
        let message = Message {
            topic,
            payload: bytes.to_vec(),
            is_retained: false,
            is_repeated: false,
            response: None,
            correlation: None,
        };
        let (mut memory, now) = (Memory::default(), Instant::now());
        match commands::work(&subject, &message, &caller, &topics, &mut memory, now) {
            Work::Ask(asked, back) => {
                assert!(
                    asked.target.starts_with("/api/sessions"),
                    "{}",
                    asked.target
                );
                assert!(topics.may_reply(&back.topic), "{}", back.topic);
            }
            Work::Again(_, back) => assert!(topics.may_reply(&back.topic), "{}", back.topic),
            Work::Answer(answer) => assert!(topics.may_reply(&answer.topic), "{}", answer.topic),
            Work::Nothing => {}
        }
    }
    let asked = Asked {
        caller,
        method: Method::Post,
        target: "/api/subscriptions".to_owned(),
        body: bytes.to_vec().into(),
    };
    assert!(pushes::wish(&asked).is_some());
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    /// Pieces that make a mutation more than noise.
    const WORDS: &[&str] = &[
        "\u{20}\u{3}\u{0}\u{0}\u{0}",
        "\u{20}\u{2}\u{0}\u{0}",
        "\u{40}\u{2}\u{0}\u{1}",
        "\u{0}\u{1}",
        "\u{7f}\u{7f}",
        "cib/desk/cmd/create",
    ];

    #[test]
    fn whatever_a_broker_sends_ends_no_more_than_its_connection() {
        let dir: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus/broker"]
            .iter()
            .collect();
        cib_testkit::fuzz::try_all(&dir, WORDS, super::broker);
    }
}
