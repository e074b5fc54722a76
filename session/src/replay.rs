//! Bringing `meta.json` up to the journal, which may be ahead of it after an accident.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use cib_protocol::frame::Data;
use cib_protocol::session::SessionMeta;
use cib_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{journal, json, meta};

/// Takes up every frame that `meta.json` does not know yet. A journal that cannot be read is
/// left alone: opening it tells why.
pub fn catch_up(dir: &Path, meta: &mut SessionMeta) {
    let Ok(file) = File::open(dir.join(journal::FILE)) else {
        return;
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let Ok(frame) = json::from_bytes::<Head<'_>>(&line) else {
            continue;
        };
        if frame.seq > meta.last_seq {
            match frame.payload() {
                Some(data) => _ = meta::apply(meta, frame.seq, frame.ts, &data),
                None => meta.last_seq = frame.seq,
            }
        }
    }
}

/// A frame, its payload still text.
#[derive(Deserialize)]
struct Head<'a> {
    seq: u64,
    ts: Timestamp,
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Head<'_> {
    /// The payload, if `meta.json` takes up anything from its kind.
    fn payload(&self) -> Option<Data> {
        let text = self.data.get();
        let data = match self.kind.as_str() {
            "status" => Data::Status(serde_json::from_str(text).ok()?),
            "stop" => Data::Stop(serde_json::from_str(text).ok()?),
            "usage" => Data::Usage(serde_json::from_str(text).ok()?),
            "meta" => Data::Meta(serde_json::from_str(text).ok()?),
            _ => return None,
        };
        Some(data)
    }
}
