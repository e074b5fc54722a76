//! The program itself, as init starts it: one connection as its standard input.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cib_files::wire;
use cib_protocol::files::{FilesFault, FilesReply, FilesRequest, MAX_REPLY, Place};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cib-files");

fn start(root: &Path) -> (UnixStream, Child) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(PROGRAM)
        .arg("--root")
        .arg(format!("workspace={}", root.display()))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    (ours, child)
}

fn ask(root: &Path, request: &FilesRequest) -> FilesReply {
    let (mut stream, mut child) = start(root);
    wire::say(&mut stream, request).unwrap();
    let reply = wire::head(&mut stream, MAX_REPLY).unwrap();
    assert!(child.wait().unwrap().success());
    reply
}

#[test]
fn it_answers_one_question_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let place = Place {
        root: "workspace".to_owned(),
        path: String::new(),
    };
    let request = FilesRequest::List {
        place,
        after: None,
        limit: 10,
    };
    let FilesReply::List(list) = ask(dir.path(), &request) else {
        panic!("it is asked for a list");
    };
    assert_eq!(list.entries[0].name, "file");
}

#[test]
fn what_is_no_request_is_refused_and_who_goes_early_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stream, mut child) = start(dir.path());
    wire::send(&mut stream, b"{}").unwrap();
    let reply: FilesReply = wire::head(&mut stream, MAX_REPLY).unwrap();
    let FilesReply::Refused { code, .. } = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(code, FilesFault::BadRequest);
    child.wait().unwrap();
    let (stream, mut child) = start(dir.path());
    drop(stream);
    assert!(!child.wait().unwrap().success());
}

#[test]
fn a_hook_that_is_tried_has_the_memory_that_this_program_does_without() {
    let dir = tempfile::tempdir().unwrap();
    let request = FilesRequest::Try {
        command: "ulimit -v".to_owned(),
        input: String::new(),
    };
    let FilesReply::Tried(tried) = ask(dir.path(), &request) else {
        panic!("it is asked to try");
    };
    assert_eq!(tried.stdout, "unlimited\n");
}
