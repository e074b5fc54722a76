//! Plays a capture to the stream driver, both sides of it.

use std::collections::BTreeMap;

use cib_protocol::frame::{Data, Meta};
use cib_session::ledger::Ledger;
use cib_session::stream_json::lines::Line;
use cib_session::stream_json::{Out, Stream};
use serde_json::Value;

/// What came of a capture.
#[derive(Default)]
pub(crate) struct Replayed {
    /// All frames.
    pub(crate) frames: Vec<Data>,
    /// All lines for the CLI.
    pub(crate) to_claude: Vec<String>,
}

/// Plays the lines of a capture. A line is what the CLI wrote, or `{"t","dir","msg"}` where
/// `dir` says who wrote `msg`. Without times, a line comes every ten milliseconds.
pub(crate) fn replay(capture: &str) -> Replayed {
    let mut stream = Stream::new(Ledger::starting(0, Meta::default()), 0.0);
    let mut all = Replayed::default();
    let mut ids: Vec<(String, String)> = Vec::new();
    for (number, line) in (1u64..).zip(capture.lines()) {
        let value: Value = serde_json::from_str(line).unwrap();
        let mut out = Out::default();
        let Some(message) = value.get("msg") else {
            stream.line(&Line::whole(line.as_bytes()), number * 10, &mut out);
            all.frames.append(&mut out.frames);
            continue;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small and positive"
        )]
        let now_ms = (value["t"].as_f64().unwrap() * 1000.0) as u64;
        if value["dir"] == "out" {
            let mut text = message.to_string();
            for (theirs, ours) in &ids {
                text = text.replace(theirs, ours);
            }
            stream.line(&Line::whole(text.as_bytes()), now_ms, &mut out);
        } else {
            say(&mut stream, message, now_ms, &mut out);
            if let Some(theirs) = message["request_id"].as_str() {
                let ours: Value = serde_json::from_str(&out.to_claude[0]).unwrap();
                ids.push((
                    theirs.to_owned(),
                    ours["request_id"].as_str().unwrap().to_owned(),
                ));
            }
        }
        all.frames.append(&mut out.frames);
        all.to_claude.append(&mut out.to_claude);
    }
    all
}

/// Says to the driver what the host of the capture said to the CLI.
fn say(stream: &mut Stream, message: &Value, now_ms: u64, out: &mut Out) {
    match message["type"].as_str().unwrap() {
        "user" => {
            let text = message["message"]["content"].as_str().unwrap().to_owned();
            let uuid = message["uuid"]
                .as_str()
                .map_or_else(uuid::Uuid::nil, |id| id.parse().unwrap());
            stream.input(text, Vec::new(), uuid, out);
        }
        "control_response" => {
            let response = &message["response"];
            let answers: BTreeMap<String, String> =
                serde_json::from_value(response["response"]["updatedInput"]["answers"].clone())
                    .unwrap();
            stream
                .answer(
                    response["request_id"].as_str().unwrap(),
                    &answers,
                    now_ms,
                    out,
                )
                .unwrap();
        }
        "control_request" => {
            let request = &message["request"];
            match request["subtype"].as_str().unwrap() {
                "initialize" => stream.initialize(out),
                "interrupt" => stream.interrupt(out),
                "set_model" => stream.set_model(request["model"].as_str().unwrap(), out),
                other => panic!("the capture asks {other}"),
            }
        }
        other => panic!("the capture says {other}"),
    }
}
