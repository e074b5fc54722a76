//! `cib stop` and `cib logs`.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::Stdio;

use serde_json::json;

use super::{Context, holder};
use crate::args::{Logs, Stop};
use crate::boxes::Boxes;
use crate::failure::Failure;
use crate::{process, text};

/// Bytes of one line of a log that are shown.
const LINE: u64 = 64 << 10;

pub(super) fn stop(context: &Context<'_>, arguments: &Stop) -> Result<u8, Failure> {
    let (engine, boxes) = if arguments.all {
        let engine = context.engine()?;
        let boxes = Boxes::of(&engine)?.0;
        (engine, boxes)
    } else {
        let (engine, found) = context.choose(arguments.which.name.as_deref())?;
        (engine, vec![found])
    };
    let time = arguments.time.to_string();
    let mut stopped = Vec::new();
    for found in boxes.into_iter().filter(crate::boxes::Found::runs) {
        context
            .output
            .step(&format!("Stopping {}; what is in it stays", found.name));
        engine.ask_for("stop the box", &["stop", "-t", &time, &found.id])?;
        holder::stop(&engine, &found, &time)?;
        stopped.push(found.name);
    }
    context
        .output
        .result(&json!({"stopped": stopped}), String::new);
    Ok(0)
}

pub(super) fn logs(context: &Context<'_>, arguments: &Logs) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    if let Some(session) = &arguments.session {
        return super::talk::log(context, &engine, &found, session, arguments);
    }
    let mut command = engine.command();
    command.args(["logs", "--tail", &arguments.tail.to_string()]);
    if arguments.follow {
        command.arg("--follow");
    }
    if let Some(since) = &arguments.since {
        command.arg(format!("--since={since}"));
    }
    let mut child = command
        .arg(&found.id)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let complaints = child.stderr.take();
    // What the box wrote to standard error comes on the engine's.
    let other = std::thread::spawn(move || complaints.map(copy));
    if let Some(said) = child.stdout.take() {
        copy(said);
    }
    let _ = other.join();
    Ok(u8::try_from(process::code(child.wait()?)).unwrap_or(1))
}

/// Shows each line as it comes, fit for a terminal.
fn copy(source: impl Read) {
    let mut source = BufReader::new(source);
    loop {
        let mut line = Vec::new();
        match source.by_ref().take(LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = text::plain_bytes(&line);
        if writeln!(std::io::stdout().lock(), "{}", line.trim_end_matches('\n')).is_err() {
            return;
        }
    }
}
