//! `cib-session hook`: the program that Claude runs for the keeper's hooks. It carries a
//! hook's input to the keeper and the keeper's answer back. Around somebody else's hook it
//! changes nothing of what that hook reads, says and decides, and tells the keeper of it.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::Signal;
use serde_json::json;
use serde_json::value::RawValue;

use crate::log;
use crate::sys::{self, Terminal};

/// What a shell answers when it cannot run a command, which for a hook is no verdict.
const CANNOT_RUN: u8 = 127;

/// Asks the keeper and prints its answer. A keeper that is not there has nothing to say, and
/// a hook that says nothing changes nothing: Claude goes on.
pub fn carry(socket: &Path) {
    let mut told = Vec::new();
    let heard = io::stdin().lock().read_to_end(&mut told);
    if let Ok(answer) = heard.and_then(|_| ask(socket, &told)) {
        // Claude has ended if nobody reads the answer.
        let _ = io::stdout().write_all(&answer);
    }
}

/// Runs somebody else's hook and returns its exit code. What it says goes on at once, because a
/// hook may go on in the background after its first words.
pub fn run(socket: &Path, command: &OsStr) -> u8 {
    let mut told = Vec::new();
    // What cannot be read the hook would not have read either.
    let _ = io::stdin().lock().read_to_end(&mut told);
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    shell.stdin(Stdio::piped());
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match sys::spawn(&mut shell, Signal::TERM, Terminal::Same) {
        Ok(child) => child,
        Err(error) => {
            log!("cannot run a hook: {error}");
            return CANNOT_RUN;
        }
    };
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (said, complained) = thread::scope(|scope| {
        scope.spawn(|| {
            // A hook need not read what it is told.
            stdin.map(|mut pipe| pipe.write_all(&told))
        });
        let complained = scope.spawn(|| pass_on(stderr, &mut io::stderr()));
        let said = pass_on(stdout, &mut io::stdout());
        (said, complained.join().unwrap_or_default())
    });
    let code = child.wait().map_or(CANNOT_RUN, exit_code);
    // Only what is JSON can stand in a report; anything else was no hook's input.
    let payload: Option<&RawValue> = serde_json::from_slice(&told).ok();
    let report = json!({"cib_hook": {
        "exit_code": code,
        "stdout": String::from_utf8_lossy(&said),
        "stderr": String::from_utf8_lossy(&complained),
    }, "payload": payload});
    // A keeper that is not there any more needs no telling.
    let _ = ask(socket, report.to_string().as_bytes());
    code
}

/// Passes on what a pipe brings and keeps a copy.
fn pass_on(pipe: Option<impl Read>, to: &mut impl Write) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    let Some(mut pipe) = pipe else {
        return kept;
    };
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        let piece = &buffer[..count];
        kept.extend_from_slice(piece);
        // Claude has ended if nobody reads it.
        let _ = to.write_all(piece).and_then(|()| to.flush());
    }
    kept
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(CANNOT_RUN)
}

fn ask(socket: &Path, told: &[u8]) -> io::Result<Vec<u8>> {
    let mut keeper = UnixStream::connect(socket)?;
    keeper.write_all(told)?;
    keeper.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    keeper.read_to_end(&mut answer)?;
    Ok(answer)
}
