//! The targets of the fuzzer, which the tests call with its corpus as well.
//!
//! Each takes what somebody else may hand to init, as bytes, and checks what has to hold whatever
//! the bytes are. A panic is a finding.

use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use cib_protocol::init::{InitReply, InitRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::config::{Configuration, Refusal, SourceFile};
use crate::environment::{Environment, Fault, SecretFileError};
use crate::plan::Plan;
use crate::socket::{self, Handler, Rights};

/// Somebody who may look and not touch.
const STRANGER: u32 = 1000;

/// A configuration file, beside a good environment.
pub fn toml(bytes: &[u8]) {
    let environment: Environment = [("CIB_AUTH_DISABLED", "1")].into_iter().collect();
    // The files are read as text; other bytes are refused before they come here.
    let text = String::from_utf8_lossy(bytes).into_owned();
    let path = PathBuf::from("init.d/fuzz.toml");
    judged(Configuration::assemble(
        &[SourceFile { path, text }],
        &environment,
        &|_| Err(SecretFileError::NotText),
    ));
}

/// The variables of the container, `NAME=value`, each up to the next NUL.
pub fn environment(bytes: &[u8]) {
    let environment: Environment = bytes
        .split(|byte| *byte == 0)
        .map(|entry| {
            let equals = entry.iter().position(|byte| *byte == b'=');
            let (name, value) = entry.split_at(equals.unwrap_or(entry.len()));
            let value = value.strip_prefix(b"=").unwrap_or(value);
            let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            (text(name), text(value))
        })
        .collect();
    judged(Configuration::assemble(&[], &environment, &|_| {
        Err(SecretFileError::NotText)
    }));
}

fn judged(judged: Result<Configuration, Refusal>) {
    let shown = |faults: &[Fault]| {
        for fault in faults {
            let line = fault.to_string();
            assert!(!line.contains(['\n', '\r']), "not one line: {line:?}");
        }
    };
    match judged {
        Ok(good) => {
            shown(&good.warnings);
            let plan = Plan::build(&good, good.settings.setup.commands.len());
            assert!(!plan.to_string().is_empty());
            // Whoever is needed comes first, and is there.
            for (at, service) in good.services.iter().enumerate() {
                let earlier = |need: &String| {
                    good.services[..at].iter().any(|other| other.name == *need)
                        || crate::config::NEEDABLE.contains(&need.as_str())
                };
                assert!(service.needs.iter().all(earlier), "{service:?}");
            }
        }
        Err(refusal) => {
            assert!(!refusal.faults.is_empty(), "refused without a fault");
            shown(&refusal.faults);
            shown(&refusal.warnings);
        }
    }
}

/// What a client without rights sends to init's socket before it goes.
///
/// # Panics
/// A reply is no reply, there are more of them than lines, or something was carried out that
/// the client may not ask for.
pub fn socket(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok((ours, theirs)) = UnixStream::pair() else {
            return;
        };
        let recorder = Recorder::default();
        let (mut read, mut write) = theirs.into_split();
        let speak = async {
            // It may be sent away in the middle of its words.
            let _ = write.write_all(bytes).await;
            drop(write);
        };
        let listen = async {
            let mut replies = Vec::new();
            let _ = read.read_to_end(&mut replies).await;
            replies
        };
        let answers = socket::Answers::default();
        let serve = socket::converse(ours, STRANGER, &recorder, None, &answers);
        let ((), replies, ()) = tokio::join!(speak, listen, serve);
        let lines = bytes.split(|byte| *byte == b'\n').count();
        let replies: Vec<&[u8]> = replies.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(replies.len() <= lines, "{} replies", replies.len());
        for reply in replies {
            let parsed = serde_json::from_slice::<InitReply>(reply);
            assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(reply));
        }
        for request in recorder.0.into_inner() {
            assert!(Rights::of(STRANGER).permit(&request), "{request:?}");
        }
    });
}

/// Notes what it was asked for.
#[derive(Default)]
struct Recorder(RefCell<Vec<InitRequest>>);

impl Handler for Recorder {
    async fn handle(&self, request: InitRequest) -> InitReply {
        self.0.borrow_mut().push(request);
        InitReply::Done
    }
}
