//! Bringing `meta.json` up to the journal, which may be ahead of it after an accident.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use cib_protocol::frame::Frame;
use cib_protocol::session::SessionMeta;
use serde::Deserialize;

use crate::{journal, meta};

/// Takes up every frame that `meta.json` does not know yet. A journal that cannot be read is
/// left alone: opening it tells why.
pub fn catch_up(dir: &Path, meta: &mut SessionMeta) {
    #[derive(Deserialize)]
    struct Head {
        seq: u64,
    }
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
        let is_new =
            serde_json::from_slice::<Head>(&line).is_ok_and(|head| head.seq > meta.last_seq);
        if !is_new {
            continue;
        }
        if let Ok(frame) = serde_json::from_slice::<Frame>(&line)
            && let Ok(Some(data)) = frame.decode()
        {
            meta::apply(meta, frame.seq, frame.ts, &data);
        }
    }
}
