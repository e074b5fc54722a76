//! `cib-session hook`: the program that Claude runs for the keeper's hooks. It carries a
//! hook's input to the keeper and the keeper's answer back. Around somebody else's hook it
//! changes nothing of what that hook reads, says and decides, and tells the keeper of it.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;
use serde_json::json;
use serde_json::value::RawValue;

use crate::sys::{self, Terminal};

/// Bytes of each of a hook's outputs that are passed on. The rest is read and left out: whoever
/// prints it would fill Claude's memory.
const MOST: usize = 1024 * 1024;

/// Milliseconds between two looks whether a shell has ended whose outputs are still open.
const LOOK_MS: u8 = 50;

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
/// hook may go on in the background after its first words; it ends when its shell does, whoever
/// has its outputs open then. Without a keeper's `socket` nobody is told of it.
pub fn run(socket: Option<&Path>, command: &OsStr) -> u8 {
    let mut told = Vec::new();
    // What cannot be read the hook would not have read either.
    let _ = io::stdin().lock().read_to_end(&mut told);
    let run = std::process::id().to_string();
    // A keeper that is not there any more needs no telling.
    let tell = |report: serde_json::Value| {
        let _ = socket.map(|socket| ask(socket, report.to_string().as_bytes()));
    };
    let event = event(&told);
    tell(json!({"cib_hook": {"begins": command.to_string_lossy(), "run": run, "event": event}}));
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    shell.stdin(Stdio::piped());
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match sys::spawn(&mut shell, Signal::SIGTERM, Terminal::Same) {
        Ok(child) => child,
        Err(error) => {
            tracing::error!("cannot run a hook: {error}");
            return CANNOT_RUN;
        }
    };
    let stdin = child.stdin.take();
    let input = told.clone();
    // Nobody waits for it: a hook need not read what it is told.
    thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
    let mut said = Heard::new(child.stdout.take(), io::stdout());
    let mut complained = Heard::new(child.stderr.take(), io::stderr());
    let code = hear(&mut child, &mut said, &mut complained);
    // Only what is JSON can stand in a report; anything else was no hook's input.
    let payload: Option<&RawValue> = serde_json::from_slice(&told).ok();
    let mut report = json!({
        "run": run,
        "exit_code": code,
        "stdout": String::from_utf8_lossy(&said.kept),
        "stderr": String::from_utf8_lossy(&complained.kept),
    });
    if said.is_cut() || complained.is_cut() {
        report["original_bytes"] = (said.size + complained.size).into();
    }
    tell(json!({"cib_hook": report, "payload": payload}));
    code
}

/// The event that a hook is told of.
fn event(told: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Told {
        hook_event_name: String,
    }
    let told: Told = serde_json::from_slice(told).ok()?;
    Some(told.hook_event_name)
}

/// Passes on what a hook says until its shell has ended.
fn hear(
    child: &mut Child,
    said: &mut Heard<impl Read + AsFd, impl Write>,
    complained: &mut Heard<impl Read + AsFd, impl Write>,
) -> u8 {
    let end = loop {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
        let pipes = [
            said.pipe.as_ref().map(AsFd::as_fd),
            complained.pipe.as_ref().map(AsFd::as_fd),
        ];
        fds.extend(
            pipes
                .iter()
                .flatten()
                .map(|pipe| PollFd::new(*pipe, PollFlags::POLLIN)),
        );
        if fds.is_empty() {
            break child.wait();
        }
        let is_silent = poll(&mut fds, LOOK_MS).is_ok_and(|count| count == 0);
        // What the shell wrote before its end is in the pipes when its end is seen.
        let end = match is_silent {
            true => child.try_wait(),
            false => Ok(None),
        };
        said.read();
        complained.read();
        match end {
            Ok(None) => {}
            Ok(Some(status)) => break Ok(status),
            Err(error) => break Err(error),
        }
    };
    end.map_or(CANNOT_RUN, exit_code)
}

/// One of a hook's outputs.
struct Heard<R, W> {
    /// `None` after its end.
    pipe: Option<R>,
    to: W,
    kept: Vec<u8>,
    /// Bytes that came.
    size: u64,
}

impl<R: Read + AsFd, W: Write> Heard<R, W> {
    fn new(pipe: Option<R>, to: W) -> Self {
        let pipe = pipe.filter(|pipe| {
            let flags = fcntl(pipe, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
            let set = |flags| fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK));
            flags.and_then(set).is_ok()
        });
        Self {
            pipe,
            to,
            kept: Vec::new(),
            size: 0,
        }
    }

    fn is_cut(&self) -> bool {
        self.size > self.kept.len() as u64
    }

    /// Passes on what is there, and keeps a copy.
    fn read(&mut self) {
        let mut buffer = [0; 16 * 1024];
        // So many times that the other output is not forgotten.
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else {
                return;
            };
            let count = match pipe.read(&mut buffer) {
                Ok(count @ 1..) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => {
                    self.pipe = None;
                    return;
                }
            };
            self.size += count as u64;
            let piece = &buffer[..count.min(MOST - self.kept.len())];
            self.kept.extend_from_slice(piece);
            // Claude has ended if nobody reads it.
            let _ = self.to.write_all(piece).and_then(|()| self.to.flush());
        }
    }
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
