//! What stands in front of a message of the earlier envelopes: headers, which nobody has sealed.

use axum::http::header::HeaderValue;
use axum::http::{HeaderMap, HeaderName};

use super::{ENVELOPE, KEY_ID, NONCE, Refusal, STREAM, TIMESTAMP, TOLERANCE, Version, malformed};

pub(super) fn is_id(text: &str) -> bool {
    text.len() == 16
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn digits<const N: usize>(text: Option<&str>) -> Option<[u8; N]> {
    let text = text.filter(|text| text.len() == 2 * N && text.is_ascii())?;
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// What stands in front of a message.
pub(super) struct Front {
    pub(super) version: Version,
    /// Milliseconds that its time may be off.
    pub(super) tolerance: u64,
    pub(super) key_id: String,
    pub(super) bytes: [u8; 8],
    pub(super) timestamp: String,
    pub(super) time: u64,
}

pub(super) fn read(headers: &HeaderMap) -> Result<Front, Refusal> {
    let (version, tolerance) = match header(headers, &ENVELOPE) {
        Some("1") => {
            let nonce = digits(header(headers, &NONCE));
            let nonce =
                nonce.ok_or_else(|| malformed("Sec-CIB-Nonce has 24 hexadecimal digits"))?;
            (Version::One(nonce), TOLERANCE.0)
        }
        Some("2") => {
            let stream = digits(header(headers, &STREAM));
            let stream =
                stream.ok_or_else(|| malformed("Sec-CIB-Stream has 32 hexadecimal digits"))?;
            (Version::Two(stream), TOLERANCE.1)
        }
        _ => return Err(malformed("Sec-CIB-Envelope is 1 or 2")),
    };
    let key_id = header(headers, &KEY_ID).filter(|id| is_id(id));
    let key_id = key_id.ok_or_else(|| malformed("Sec-CIB-KeyId is the id of a device token"))?;
    let timestamp = header(headers, &TIMESTAMP).unwrap_or_default();
    let time = timestamp
        .parse()
        .map_err(|_| malformed("Sec-CIB-Timestamp is in milliseconds since 1970"))?;
    Ok(Front {
        version,
        tolerance,
        key_id: key_id.to_owned(),
        bytes: digits(Some(key_id)).unwrap_or_default(),
        timestamp: timestamp.to_owned(),
        time,
    })
}

/// The fuzzer's way in: headers, one a line.
pub(crate) fn fuzz(head: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next(), parts.next());
        let name = name.and_then(|name| HeaderName::from_bytes(name).ok());
        let value = value.and_then(|value| HeaderValue::from_bytes(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    if let Ok(front) = read(&headers) {
        assert!(is_id(&front.key_id));
        let id: String = front
            .bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(id, front.key_id);
    }
}
