//! Frames for clients that cannot hold long ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What stands in place of a long frame's data.
#[derive(Serialize)]
struct Preview<'a> {
    truncated: bool,
    original_bytes: usize,
    preview: &'a str,
}

/// What a person reads of a frame.
#[derive(Deserialize)]
struct Readable {
    text: Option<String>,
}

/// A frame's line with its data cut, so that it has `most` bytes at most; `most` is more than
/// everything else in a frame. A line that is none stays.
pub(crate) fn shortened(line: &[u8], most: usize) -> Vec<u8> {
    let Ok(mut frame) = serde_json::from_slice::<BTreeMap<&str, &RawValue>>(line) else {
        return line.to_vec();
    };
    let Some(data) = frame.remove("data") else {
        return line.to_vec();
    };
    let readable = serde_json::from_str(data.get()).unwrap_or(Readable { text: None });
    let text = readable.text.unwrap_or_else(|| data.get().to_owned());
    let mut left = most.min(text.len());
    loop {
        left = text.floor_char_boundary(left);
        let preview = Preview {
            truncated: true,
            original_bytes: data.get().len(),
            preview: &text[..left],
        };
        let written = serde_json::value::to_raw_value(&preview).and_then(|preview| {
            let mut frame: BTreeMap<&str, &RawValue> = frame.clone();
            frame.insert("data", &preview);
            serde_json::to_vec(&frame)
        });
        match written {
            Ok(written) if written.len() <= most || left == 0 => return written,
            // Nothing of it fails to be written.
            Err(_) => return line.to_vec(),
            Ok(written) => left = left.saturating_sub((written.len() - most).max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn a_long_frame_keeps_all_but_its_data_and_fits(text: String, most in 256_usize..2000) {
            let text = text.repeat(40);
            let frame = json!({"session": "00000000-0000-4000-8000-000000000000", "seq": 7,
                "ts": 1_700_000_000_000_u64, "kind": "text.delta", "data": {"role": "assistant", "text": text}});
            let short = shortened(frame.to_string().as_bytes(), most);
            prop_assert!(short.len() <= most);
            let short: Value = serde_json::from_slice(&short).expect("it is JSON");
            for key in ["session", "seq", "ts", "kind"] {
                prop_assert_eq!(&short[key], &frame[key]);
            }
            prop_assert_eq!(&short["data"]["truncated"], &json!(true));
            let preview = short["data"]["preview"].as_str().expect("there is one");
            prop_assert!(text.starts_with(preview));
        }
    }
}
