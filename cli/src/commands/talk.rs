//! `cib send`, `cib ask` and `cib logs --session`: a session as a conversation.

use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Context;
use super::attach::{id_of, newest};
use crate::api::Api;
use crate::api::stream::lives;
use crate::args::{Logs, Send};
use crate::boxes::Found;
use crate::engine::Engine;
use crate::failure::{Exit, Failure};
use crate::text;

/// Milliseconds that one call waits for something new in a conversation.
const NEW_MS: u32 = 10_000;

/// How long one call waits for a turn's end; there is another call behind it.
const WAIT: Duration = Duration::from_secs(45);

/// Bytes of a message that are read from standard input.
const MOST: u64 = 8 << 20;

pub(super) fn send(context: &Context<'_>, arguments: &Send) -> Result<u8, Failure> {
    let said = said(context, arguments)?;
    let (api, session) = session(context, arguments)?;
    let id = id_of(&session)?;
    let taken = api.post(&format!("/api/sessions/{id}/input"), &json!({"data": said}))?;
    let result = json!({"session": id, "bytes": taken["bytes"]});
    context.output.result(&result, String::new);
    Ok(0)
}

pub(super) fn ask(context: &Context<'_>, arguments: &Send) -> Result<u8, Failure> {
    let said = said(context, arguments)?;
    let (api, session) = session(context, arguments)?;
    let id = id_of(&session)?;
    let before = session["last_seq"].as_u64().unwrap_or_default();
    let patience = Duration::from_secs(arguments.time.into());
    let end = Instant::now() + patience;
    let first = u64::try_from(patience.min(WAIT).as_millis()).unwrap_or_default();
    let body = json!({"prompt": said, "timeout_ms": first});
    let mut answer = api.post(&format!("/api/sessions/{id}/send"), &body)?;
    let mut messages = messages(&answer);
    if answer["partial"] == true {
        let since = answer["last_seq"].as_u64().unwrap_or_default();
        let about = ended(&api, id, since, end)?.ok_or_else(|| {
            let what = format!("Claude has not ended its turn within {} s", arguments.time);
            Failure::failed(what).remedy(format!(
                "it goes on; cib logs --session {id} shows what it says"
            ))
        })?;
        // All of it once more: a message whose end was missing is one now.
        messages = conversation(&api, id, before)?.0;
        answer = json!({"question": about["open_questions"][0]["id"], "stop": about["state"]});
    }
    // What was being said when this was asked is no answer to it.
    let own = |message: &Value| {
        let text = message["text"].as_str().unwrap_or_default();
        message["role"] == "user" && text.trim() == said.trim()
    };
    let messages = match messages.iter().rposition(own) {
        Some(at) => messages.split_off(at),
        None => messages,
    };
    let words: Vec<&str> = messages
        .iter()
        .filter(|message| message["role"] == "assistant")
        .filter_map(|message| message["text"].as_str())
        .collect();
    let words = words.join("\n\n");
    let question = answer["question"].as_str();
    let result = json!({
        "session": id, "text": words, "stop": answer["stop"], "question": question,
        "messages": messages,
    });
    context.output.result(&result, || text::plain(&words));
    match question {
        None => Ok(0),
        Some(_) => Err(
            Failure::failed("Claude asks something before it goes on").remedy(format!(
                "cib attach, or cib open, answers it; the session is {id}"
            )),
        ),
    }
}

/// Waits for the end of a turn, or for a question in it; the session, unless the time is up before.
fn ended(api: &Api, id: &str, mut since: u64, end: Instant) -> Result<Option<Value>, Failure> {
    loop {
        let about = api.get(&format!("/api/sessions/{id}"))?;
        if about["state"] != "working" && about["state"] != "starting" {
            return Ok(Some(about));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        since = wait(api, id, since)?;
    }
}

/// What was said in a session behind a frame, and the last frame of that.
fn conversation(api: &Api, id: &str, mut since: u64) -> Result<(Vec<Value>, u64), Failure> {
    let mut all = Vec::new();
    loop {
        let answer = api.get(&format!("/api/sessions/{id}/chat?since={since}"))?;
        since = answer["last_seq"].as_u64().unwrap_or(since);
        all.extend(messages(&answer));
        if answer["partial"] != true {
            return Ok((all, since));
        }
    }
}

/// What a person has to say: the words, else standard input.
fn said(context: &Context<'_>, arguments: &Send) -> Result<String, Failure> {
    let mut said = arguments.text.join(" ");
    if said.is_empty() && !context.around.can_ask {
        std::io::stdin()
            .lock()
            .take(MOST)
            .read_to_string(&mut said)?;
    }
    if said.trim().is_empty() {
        return Err(Failure::usage("there is nothing to say").remedy("put it behind the command"));
    }
    Ok(said)
}

/// The session that is meant; a new one if none lives and none was named.
fn session(context: &Context<'_>, arguments: &Send) -> Result<(Api, Value), Failure> {
    let (engine, found) = context.choose(arguments.name.as_deref())?;
    let api = context.api(&engine, &found)?;
    if let Some(session) = newest(&api, arguments.session.as_deref(), false)? {
        return Ok((api, session));
    }
    if let Some(word) = &arguments.session {
        let word = text::line(word);
        return Err(Failure::failed(format!(
            "{} has no session {word}",
            found.name
        )));
    }
    context.output.note("no session lives; a new one is begun");
    let body = json!({"workdir": "/workspace", "driver": "stream"});
    let session = api.post("/api/sessions", &body)?;
    Ok((api, session))
}

fn messages(answer: &Value) -> Vec<Value> {
    answer["messages"].as_array().cloned().unwrap_or_default()
}

/// Shows what was said in a session, the last messages of it, and with `--follow` what comes.
pub(super) fn log(
    context: &Context<'_>,
    engine: &Engine,
    found: &Found,
    word: &str,
    arguments: &Logs,
) -> Result<u8, Failure> {
    if arguments.since.is_some() {
        return Err(Failure::new(
            Exit::Usage,
            "--since is for the box's log, and not for a session",
        ));
    }
    let api = context.api(engine, found)?;
    let word = if word == "last" { "" } else { word };
    let session = newest(&api, Some(word), false)?
        .ok_or_else(|| Failure::failed(format!("{} has no such session", found.name)))?;
    let id = id_of(&session)?;
    let tail = usize::try_from(arguments.tail).unwrap_or(usize::MAX);
    let (mut since, mut skip) = (0, None);
    loop {
        let about = api.get(&format!("/api/sessions/{id}"))?;
        let goes_on = arguments.follow && lives(&about);
        let (mut all, last) = conversation(&api, id, since)?;
        since = last;
        // The end of what is being said is not there yet.
        let part = (goes_on && about["state"] == "working").then(|| all.pop());
        if let Some(seq) = part.flatten().and_then(|part| part["seq"].as_u64()) {
            since = seq.saturating_sub(1);
        }
        let skipped = *skip.get_or_insert(all.len().saturating_sub(tail));
        for message in all.iter().skip(skipped) {
            context.output.result(message, || line(message));
        }
        skip = Some(0);
        if !goes_on {
            return Ok(0);
        }
        wait(&api, id, last)?;
    }
}

/// Waits until there is something behind a frame, and not for ever; the frame that is last then.
fn wait(api: &Api, id: &str, since: u64) -> Result<u64, Failure> {
    let path = format!("/api/sessions/{id}/transcript?from={since}&limit=1&wait_ms={NEW_MS}");
    let page = api.get(&path)?;
    Ok(page["last_seq"].as_u64().unwrap_or(since))
}

/// A message as a person reads it.
fn line(message: &Value) -> String {
    let word = |key: &str| text::plain(message[key].as_str().unwrap_or_default());
    match message["role"].as_str() {
        Some("tool") => format!("    {} ({})", word("tool"), word("summary")),
        Some("user") => format!("> {}", word("text").replace('\n', "\n> ")),
        _ => word("text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_by_who_said_it_and_without_control_characters() {
        for (message, expected) in [
            (json!({"role": "user", "text": "a\nb"}), "> a\n> b"),
            (
                json!({"role": "assistant", "text": "x\u{1b}[2J"}),
                "x\\u{1b}[2J",
            ),
            (
                json!({"role": "tool", "tool": "Bash", "summary": "ok · 17ms"}),
                "    Bash (ok · 17ms)",
            ),
        ] {
            assert_eq!(line(&message), expected);
        }
    }
}
