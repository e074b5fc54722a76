//! The target of the fuzzer, which the tests call with its corpus as well.

use cib_protocol::mqtt::MqttSettings;

use super::topics::Topics;
use super::wire::{Heard, Speaks, Wire};

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
