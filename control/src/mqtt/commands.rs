//! What somebody at the broker asks of the box, put to the routes.
//!
//! Whoever may publish under the box's topics is whom the variables say, no more and no less: the
//! broker's own rules are all that stands before that.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cib_envelope::head::Method;
use cib_protocol::session::SessionId;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::sources::Wanted;
use super::topics::{Act, Subject, Topics};
use super::wire::Message;
use crate::auth::Caller;
use crate::auth::scope::Scope;
use crate::envelope::Asked;
use crate::fault::{Code, Fault};
use crate::http::inside::Inside;
use crate::journal::cursor::Kinds;

/// For how long a command is not done again.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Commands that are remembered.
const MOST: usize = 1024;

/// Bytes of an answer that is remembered with its command.
const SHORT: usize = 4096;

/// Bytes of an answer.
pub(super) const ANSWER: usize = 1 << 20;

/// Bytes of what a command is known by.
const NAME: usize = 256;

/// An answer on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) topic: String,
    pub(super) correlation: Option<Vec<u8>>,
    pub(super) payload: Vec<u8>,
    /// What its command is remembered by.
    name: Option<Vec<u8>>,
}

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(super) struct Return {
    pub(super) topic: String,
    pub(super) correlation: Option<Vec<u8>>,
    reference: Value,
    name: Option<Vec<u8>>,
}

impl Return {
    /// The answer, with a body that is JSON already.
    pub(super) fn answer(&self, status: u16, body: &[u8]) -> Answer {
        let body = serde_json::from_slice::<&RawValue>(body).map_or("null", RawValue::get);
        let reference = &self.reference;
        Answer {
            topic: self.topic.clone(),
            correlation: self.correlation.clone(),
            payload: format!(r#"{{"ref":{reference},"status":{status},"body":{body}}}"#)
                .into_bytes(),
            name: self.name.clone(),
        }
    }

    fn refusal(&self, status: u16, error: &str, detail: &str) -> Answer {
        let body = json!({"error": error, "detail": detail}).to_string();
        self.answer(status, body.as_bytes())
    }
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// A route is asked.
    Ask(Box<Asked>, Return),
    /// Frames are said again.
    Again(Wanted, Return),
    /// It is answered at once.
    Answer(Answer),
    /// Nothing.
    Nothing,
}

/// What was done lately.
#[derive(Debug, Default)]
pub(super) struct Memory {
    order: VecDeque<(Instant, Vec<u8>)>,
    /// The answer, once there is one that is short.
    answers: HashMap<Vec<u8>, Option<Answer>>,
}

impl Memory {
    /// Takes up a command, unless it was there before: then it is answered as it was.
    fn begin(&mut self, name: &[u8], now: Instant) -> Result<(), Option<Answer>> {
        while let Some((at, old)) = self.order.front() {
            let is_old = now.duration_since(*at) >= REMEMBERED;
            if !is_old && self.order.len() < MOST {
                break;
            }
            self.answers.remove(old);
            self.order.pop_front();
        }
        if let Some(answer) = self.answers.get(name) {
            return Err(answer.clone());
        }
        self.order.push_back((now, name.to_vec()));
        self.answers.insert(name.to_vec(), None);
        Ok(())
    }

    /// A command was not taken, so that the same may be asked once more.
    pub(super) fn undone(&mut self, back: &Return) {
        if let Some(name) = &back.name {
            self.answers.remove(name);
            self.order.retain(|(_, known)| known != name);
        }
    }

    /// A command was answered.
    pub(super) fn done(&mut self, answer: &Answer) {
        let name = answer.name.as_ref();
        if let Some(slot) = name.and_then(|name| self.answers.get_mut(name))
            && answer.payload.len() <= SHORT
        {
            *slot = Some(answer.clone());
        }
    }
}

/// What [`Subject::Replay`] says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    session: SessionId,
    #[serde(default)]
    from: u64,
    #[serde(default)]
    to: Option<u64>,
    #[serde(default)]
    kinds: Vec<String>,
}

/// What a message asks for, if it may be asked.
pub(super) fn work(
    subject: &Subject,
    message: &Message,
    caller: &Caller,
    topics: &Topics,
    memory: &mut Memory,
    now: Instant,
) -> Work {
    // What a retained topic is emptied with asks for nothing.
    if message.payload.is_empty() && message.is_retained {
        return Work::Nothing;
    }
    let parsed = if message.payload.is_empty() {
        Ok(Map::new())
    } else {
        serde_json::from_slice::<Map<String, Value>>(&message.payload)
    };
    let is_json = parsed.is_ok();
    let mut body = parsed.unwrap_or_default();
    let reference = body.remove("ref").unwrap_or(Value::Null);
    let wanted = message.response.clone().or_else(|| {
        let topic = body.remove("reply_to")?;
        Some(topic.as_str()?.to_owned())
    });
    let is_elsewhere = wanted
        .as_deref()
        .is_some_and(|topic| !topics.may_reply(topic));
    let topic = wanted.filter(|topic| topics.may_reply(topic));
    let correlation = message.correlation.clone();
    let mut name = correlation.clone().or_else(|| {
        let text = reference.as_str().filter(|text| !text.is_empty())?;
        Some(text.as_bytes().to_vec())
    });
    let too_long = name.as_ref().is_some_and(|name| name.len() > NAME);
    if let Some(name) = &mut name {
        // One name may be used for several things.
        name.push(0);
        name.extend_from_slice(message.topic.as_bytes());
    }
    let mut back = Return {
        topic: topic.unwrap_or_else(|| topics.reply()),
        correlation,
        reference,
        name: None,
    };
    if message.is_retained {
        let detail = "the command is retained: it would be done again at each connect";
        return Work::Answer(back.refusal(409, "retained", detail));
    }
    if is_elsewhere {
        let detail = format!("answers go to `{0}` and below `{0}/`", topics.reply());
        return Work::Answer(back.refusal(400, "bad_value", &detail));
    }
    if too_long {
        let detail = format!("correlation data and `ref` have {NAME} bytes at most");
        return Work::Answer(back.refusal(400, "bad_value", &detail));
    }
    if !is_json {
        let detail = "the message is no JSON object";
        return Work::Answer(back.refusal(400, "bad_json", detail));
    }
    match &name {
        Some(name) => match memory.begin(name, now) {
            Ok(()) => {}
            Err(Some(answer)) => return Work::Answer(answer),
            Err(None) => return Work::Nothing,
        },
        // Whether it was done before nobody can tell.
        None if message.is_repeated => {
            let detail = "the broker says it again, and without correlation data or `ref` the box \
                          cannot tell whether it was done";
            return Work::Answer(back.refusal(409, "repeated", detail));
        }
        None => {}
    }
    back.name = name;
    if *subject == Subject::Replay {
        return replay(body, caller, back);
    }
    let (method, target) = match subject {
        Subject::Create => (Method::Post, "/api/sessions".to_owned()),
        Subject::Sessions => (Method::Get, query("/api/sessions", &mut body)),
        Subject::Session(id, act) => {
            let (method, rest) = match act {
                Act::Input => (Method::Post, "/input"),
                Act::Answer => (Method::Post, "/answer"),
                Act::Interrupt => (Method::Post, "/interrupt"),
                Act::Model => (Method::Post, "/model"),
                Act::Permission => (Method::Post, "/permission"),
                Act::End => (Method::Delete, ""),
            };
            let target = format!("/api/sessions/{id}{rest}");
            let target = match act {
                Act::End => query(&target, &mut body),
                _ => target,
            };
            (method, target)
        }
        _ => return Work::Nothing,
    };
    let has_body =
        matches!(method, Method::Post) && !matches!(subject, Subject::Session(_, Act::Interrupt));
    let body = if has_body {
        serde_json::to_vec(&body).unwrap_or_default()
    } else {
        Vec::new()
    };
    let asked = Asked {
        caller: caller.clone(),
        method,
        target,
        body: body.into(),
    };
    Work::Ask(Box::new(asked), back)
}

/// A path with what a body says as its query, for the routes that take none.
fn query(path: &str, body: &mut Map<String, Value>) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs: Vec<_> = std::mem::take(body)
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            format!("{}={}", encode(&name), encode(&value))
        })
        .collect();
    if pairs.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", pairs.join("&"))
}

fn replay(body: Map<String, Value>, caller: &Caller, back: Return) -> Work {
    if !caller.scopes.allows(Scope::SessionsRead) {
        let fault = Fault::scope_missing(Scope::SessionsRead);
        return Work::Answer(told(&fault, &back));
    }
    match serde_json::from_value::<Replay>(Value::Object(body)) {
        Ok(asked) => {
            let wanted = Wanted {
                session: asked.session,
                after: asked.from,
                to: asked.to,
                kinds: Kinds::parse(&asked.kinds.join(",")),
            };
            Work::Again(wanted, back)
        }
        Err(error) => Work::Answer(told(&Fault::new(Code::BadValue, error.to_string()), &back)),
    }
}

fn told(fault: &Fault, back: &Return) -> Answer {
    back.refusal(fault.code().number(), fault.code().as_str(), fault.detail())
}

/// Asks a route.
pub(super) async fn ask(inside: Inside, asked: Asked, back: Return) -> Answer {
    let (status, body): (u16, Bytes) = inside.ask(asked, ANSWER).await;
    back.answer(status, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Who;
    use crate::auth::scope::Scopes;

    const TOPIC: &str = "cib/desk/cmd/create";

    struct Desk {
        memory: Memory,
        now: Instant,
    }

    impl Desk {
        fn new() -> Self {
            Self {
                memory: Memory::default(),
                now: Instant::now(),
            }
        }

        fn take(&mut self, message: &Message) -> Work {
            let topics = Topics::new("cib/desk");
            let subject = topics.subject(&message.topic);
            let caller = Caller::bridge(Scopes::default());
            assert_eq!(caller.who, Who::Broker);
            work(
                &subject,
                message,
                &caller,
                &topics,
                &mut self.memory,
                self.now,
            )
        }
    }

    fn message(payload: &str) -> Message {
        Message {
            topic: TOPIC.to_owned(),
            payload: payload.into(),
            is_retained: false,
            is_repeated: false,
            response: None,
            correlation: None,
        }
    }

    fn refused(work: Work) -> Value {
        match work {
            Work::Answer(answer) => serde_json::from_slice(&answer.payload).unwrap(),
            work => panic!("{work:?}"),
        }
    }

    #[test]
    fn a_command_is_the_routes_body_without_what_is_the_bridges() {
        let mut desk = Desk::new();
        let text = r#"{"ref":"7","reply_to":"cib/desk/reply/a","workdir":"/workspace"}"#;
        let Work::Ask(asked, back) = desk.take(&message(text)) else {
            panic!("it is none");
        };
        assert_eq!(asked.target, "/api/sessions");
        assert_eq!(&*asked.body, br#"{"workdir":"/workspace"}"#);
        assert_eq!(back.topic, "cib/desk/reply/a");
        let answer = back.answer(201, br#"{"id":1}"#);
        assert_eq!(
            answer.payload,
            br#"{"ref":"7","status":201,"body":{"id":1}}"#
        );
    }

    #[test]
    fn a_retained_command_is_refused_and_emptying_one_is_none() {
        let mut desk = Desk::new();
        let mut retained = message("{}");
        retained.is_retained = true;
        assert_eq!(refused(desk.take(&retained))["body"]["error"], "retained");
        retained.payload.clear();
        assert!(matches!(desk.take(&retained), Work::Nothing));
    }

    #[test]
    fn a_repeated_command_is_answered_as_before_and_done_once() {
        let mut desk = Desk::new();
        let mut named = message(r#"{"workdir":"/workspace"}"#);
        named.correlation = Some(b"one".to_vec());
        let Work::Ask(_, back) = desk.take(&named) else {
            panic!("it is none");
        };
        named.is_repeated = true;
        // It is being done.
        assert!(matches!(desk.take(&named), Work::Nothing));
        desk.memory.done(&back.answer(201, b"{}"));
        assert_eq!(refused(desk.take(&named))["status"], 201);
        // Another topic is another command, and after ten minutes so is the same.
        named.topic = "cib/desk/cmd/sessions".to_owned();
        assert!(matches!(desk.take(&named), Work::Ask(..)));
        named.topic = TOPIC.to_owned();
        desk.now += REMEMBERED;
        assert!(matches!(desk.take(&named), Work::Ask(..)));
        // Without a name nobody can tell.
        let mut nameless = message("{}");
        nameless.is_repeated = true;
        assert_eq!(refused(desk.take(&nameless))["body"]["error"], "repeated");
    }

    #[test]
    fn an_answer_goes_nowhere_but_below_the_replies() {
        let mut desk = Desk::new();
        let mut other = message("{}");
        other.response = Some("zigbee2mqtt/bridge/request/restart".to_owned());
        let work = desk.take(&other);
        let Work::Answer(answer) = &work else {
            panic!("{work:?}");
        };
        assert_eq!(answer.topic, "cib/desk/reply");
        assert_eq!(refused(work)["body"]["error"], "bad_value");
    }

    #[test]
    fn what_is_no_object_or_has_a_scope_missing_is_told_so() {
        let mut desk = Desk::new();
        assert_eq!(
            refused(desk.take(&message("hello")))["body"]["error"],
            "bad_json"
        );
        assert_eq!(
            refused(desk.take(&message("[]")))["body"]["error"],
            "bad_json"
        );
        let mut replay = message(r#"{"session":"00000000-0000-4000-8000-000000000001"}"#);
        replay.topic = "cib/desk/cmd/replay".to_owned();
        assert_eq!(
            refused(desk.take(&replay))["body"]["error"],
            "scope_missing"
        );
    }

    #[test]
    fn a_command_that_was_refused_is_answered_again_and_one_that_found_no_room_asked_anew() {
        let mut desk = Desk::new();
        let mut replay = message(r#"{"ref":"7","session":"00000000-0000-4000-8000-000000000001"}"#);
        replay.topic = "cib/desk/cmd/replay".to_owned();
        let Work::Answer(answer) = desk.take(&replay) else {
            panic!("it is allowed");
        };
        desk.memory.done(&answer);
        assert_eq!(
            refused(desk.take(&replay))["body"]["error"],
            "scope_missing"
        );
        let create = message(r#"{"ref":"7"}"#);
        let Work::Ask(_, back) = desk.take(&create) else {
            panic!("it is none");
        };
        desk.memory.undone(&back);
        assert!(matches!(desk.take(&create), Work::Ask(..)));
    }
}
