//! `git-remote-cib`: how git reaches the repository in a box, to read it and for nothing else.
//!
//! git starts this program for addresses of the form `cib::NAME`, or `cib::NAME/PATH` for a
//! submodule (gitremote-helpers(7)). It
//! connects git to `git upload-pack` in the box. Nothing is ever pushed that way: what a push
//! would run is `git receive-pack`, and that is refused.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::Stdio;

use crate::boxes::Boxes;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::git::submodules;
use crate::surroundings::Surroundings;

/// The variable by which a fetch says how many bytes it takes.
pub const MAX_FETCH: &str = "CIB_MAX_FETCH";

/// Bytes that are taken of a box in one fetch, unless somebody says otherwise.
pub const MAX_FETCH_DEFAULT: u64 = 2 << 30;

/// Why git was not connected.
#[derive(Debug, thiserror::Error)]
enum HelperError {
    #[error("git asks for `{}`, which is not known here", crate::text::line(.0))]
    Command(String),
    #[error("`{}` is no path of a submodule that is used here", crate::text::line(.0))]
    Path(String),
    #[error("nothing is pushed into a box: push from this machine, `cib push`")]
    Push,
    #[error("the box sends more than {0} bytes (--max-fetch)")]
    TooMuch(u64),
    #[error("git in the box has failed")]
    Box,
}

/// Serves git on standard input and output; its exit code.
#[must_use]
pub fn main(around: &Surroundings, arguments: &[OsString]) -> u8 {
    let name = arguments.get(2).or_else(|| arguments.get(1));
    let name = name.map(|name| name.to_string_lossy().into_owned());
    match serve(around, &name.unwrap_or_default()) {
        Ok(()) => 0,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "cib: {}", failure.error);
            failure.exit.code()
        }
    }
}

fn serve(around: &Surroundings, name: &str) -> Result<(), Failure> {
    let name = name.trim_start_matches("cib://");
    loop {
        let line = line(&mut io::stdin().lock())?;
        match line.as_str() {
            "" => return Ok(()),
            "capabilities" => say(b"connect\n\n")?,
            "connect git-upload-pack" => return connect(around, name),
            line if line.starts_with("connect ") => return Err(Failure::failed(HelperError::Push)),
            line => return Err(Failure::failed(HelperError::Command(line.to_owned()))),
        }
    }
}

fn say(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// One line without its end. Byte by byte, because what comes after the last line is for the
/// box's git.
fn line(source: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 4096 && source.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn connect(around: &Surroundings, name: &str) -> Result<(), Failure> {
    let engine = Engine::find(around, None, None)?;
    let boxes = Boxes::of(&engine)?;
    // No name has a `/` in it: what follows one is a submodule.
    let (name, path) = match name.split_once('/') {
        None => (name, ".git"),
        Some((name, path)) if submodules::is_path(path) => (name, path),
        Some((_, path)) => return Err(Failure::failed(HelperError::Path(path.to_owned()))),
    };
    let found = boxes.named(name)?;
    let folder = format!("/workspace/{path}");
    // A submodule's commit need be on no branch of its.
    let any = "uploadpack.allowAnySHA1InWant=true";
    let mut words = vec!["-c", any, "upload-pack"];
    if path == ".git" {
        words.push("--strict");
    }
    words.push(&folder);
    let mut command = found.git(&engine, &words);
    let most = around
        .variable(MAX_FETCH)
        .and_then(|most| most.parse().ok())
        .unwrap_or(MAX_FETCH_DEFAULT);
    say(b"\n")?;
    let mut child = command
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // What the box complains of goes through here as well, so that no control character does.
    let complaints = child.stderr.take();
    let complaining = std::thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(complaints) = complaints {
            let _ = complaints.take(64 << 10).read_to_end(&mut said);
        }
        crate::text::plain_bytes(&said)
    });
    let copied = match child.stdout.take() {
        Some(output) => copy(output, &mut io::stdout().lock(), most),
        None => Ok(true),
    };
    if !matches!(copied, Ok(true)) {
        let _ = child.kill();
    }
    let ended = child.wait()?;
    if !copied? {
        return Err(Failure::failed(HelperError::TooMuch(most)));
    }
    if !ended.success() {
        let said = complaining.join().unwrap_or_default();
        let _ = writeln!(io::stderr(), "{}", said.trim());
        return Err(Failure::failed(HelperError::Box));
    }
    Ok(())
}

/// Copies until the end; whether that came before so many bytes.
fn copy(mut source: impl Read, sink: &mut impl Write, most: u64) -> io::Result<bool> {
    let mut piece = vec![0; 64 << 10];
    let mut left = most;
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            return Ok(true);
        }
        left = match left.checked_sub(read as u64) {
            Some(left) => left,
            None => return Ok(false),
        };
        sink.write_all(&piece[..read])?;
        sink.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_it_ends_and_takes_nothing_of_what_follows() {
        let mut source = &b"connect git-upload-pack\n0000"[..];
        assert_eq!(line(&mut source).unwrap(), "connect git-upload-pack");
        assert_eq!(source, b"0000");
    }

    #[test]
    fn no_more_is_taken_of_a_box_than_was_said() {
        let mut sink = Vec::new();
        assert!(copy(&[1; 100][..], &mut sink, 100).unwrap());
        assert_eq!(sink.len(), 100);
        assert!(!copy(&[1; 101][..], &mut sink, 100).unwrap());
    }
}
