//! The target of the fuzzer for what clients of others' protocols send, which the tests call with its
//! corpus as well: the first byte says whose words the rest is.

use crate::http::legacy::front;
use crate::mqtt;
use crate::routes::agentapi;
use crate::stream::ttyd::Message;

/// What somebody sends who may ask something.
pub fn asked(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'f', form)) => {
            // A content type in a line of its own, and the form.
            let mut parts = form.splitn(2, |byte| *byte == b'\n');
            let media = String::from_utf8_lossy(parts.next().unwrap_or_default());
            agentapi::fuzz(&media, parts.next().unwrap_or_default());
        }
        Some((b't', message)) => match Message::read(message) {
            Message::Input(input) => assert_eq!(input.len() + 1, message.len()),
            Message::Size { .. } | Message::Pause(_) | Message::Unknown => {}
        },
        Some((b'e', head)) => front::fuzz(head),
        Some((b'm', command)) => mqtt::fuzz::command(command),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    /// Pieces that make a mutation more than noise.
    const WORDS: &[&str] = &[
        "\r\n",
        "--xy",
        "\r\n--xy\r\n",
        "\r\n\r\n",
        "Content-Disposition: form-data; name=\"file\"; filename=\"..\"",
        "multipart/form-data; boundary=",
        "\"",
        "{\"",
        "\":",
        "session",
        "columns",
        "reply_to",
        "sec-cib-envelope:1\n",
        "sec-cib-nonce:",
        "sec-cib-stream:",
        "sec-cib-keyid:",
        "sec-cib-timestamp:",
    ];

    #[test]
    fn whatever_a_client_of_others_asks_is_asked_of_a_session_or_refused() {
        let dir: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus/asked"]
            .iter()
            .collect();
        cib_testkit::fuzz::try_all(&dir, WORDS, super::asked);
    }
}
