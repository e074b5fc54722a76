//! A session as what answers in a conversation: the way in for protocols that send the whole
//! conversation with every message, and know no sessions.
//!
//! Which session a conversation is, is said by the client, or found by what was said so far, or a new
//! one is begun and given what was said. Nothing here reads a journal or speaks to a keeper: all of
//! it is asked of the table's routes, as the client could.

pub mod known;
pub(crate) mod question;
pub(crate) mod turn;

use cib_protocol::api::Content;
use cib_protocol::session::SessionId;
use http::HeaderMap;
use serde_json::Value;

use crate::fault::{Code, Fault};
use known::Digest;

/// The header that names the session of a conversation, both ways.
pub const SESSION: &str = "x-cib-session";

/// What the name of a model begins with that is a session.
pub const MODEL: &str = "session/";

/// Names of models that leave the choice to the box.
const ANY: [&str; 3] = ["claude-in-box", "claude-code", "default"];

/// Why a client's own tools are refused.
pub const NO_TOOLS: &str = "a session has the tools of Claude Code and takes none of a client's: \
    its program has no way to hand a call to whoever sent a message; send no `tools`, or \
    `tool_choice` `none`, or give the session an MCP server of yours";

/// The session that a request names by its header.
pub(crate) fn named(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION)?.to_str().ok()
}

/// What a tool gave, as a text.
pub(crate) fn output(output: &Value) -> String {
    match output {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The client.
    User,
    /// Claude.
    Assistant,
}

/// What somebody says.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who.
    pub speaker: Speaker,
    /// The text.
    pub text: String,
    /// The images.
    pub images: Vec<Content>,
}

impl Message {
    /// Nothing yet.
    #[must_use]
    pub fn of(speaker: Speaker) -> Self {
        Self {
            speaker,
            text: String::new(),
            images: Vec::new(),
        }
    }

    /// Says more, in a paragraph of its own.
    pub fn say(&mut self, text: &str) {
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.text.push_str(text);
    }
}

/// What a client asks.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The session, if the client names one.
    pub session: Option<SessionId>,
    /// The model of a new session.
    pub model: Option<String>,
    /// What a new session is told before anything else.
    pub system: String,
    /// The conversation.
    pub messages: Vec<Message>,
}

impl Wanted {
    /// Takes the name of a model, which may be that of a session.
    ///
    /// # Errors
    /// [`Code::NoSuchSession`] if it is that of a session and none can have it.
    pub fn name(&mut self, model: &str, header: Option<&str>) -> Result<(), Fault> {
        let named = model.strip_prefix(MODEL);
        if named.is_none() && !ANY.contains(&model) {
            self.model = Some(model.to_owned());
        }
        let id = header.or(named);
        let id = id.map(|id| {
            id.parse().map_err(|_| {
                let detail = format!("there is no session {id:?}; ids are UUIDs");
                Fault::new(Code::NoSuchSession, detail)
            })
        });
        self.session = id.transpose()?;
        Ok(())
    }

    /// Where the messages begin that nobody has answered.
    fn unanswered(&self) -> usize {
        let answered = |message: &Message| message.speaker == Speaker::Assistant;
        self.messages
            .iter()
            .rposition(answered)
            .map_or(0, |at| at + 1)
    }

    /// What is to be answered now.
    ///
    /// # Errors
    /// [`Code::BadValue`] if nothing is.
    pub fn last(&self) -> Result<Message, Fault> {
        let mut last = Message::of(Speaker::User);
        for message in &self.messages[self.unanswered()..] {
            last.say(&message.text);
            last.images.extend_from_slice(&message.images);
        }
        if last.text.trim().is_empty() && last.images.is_empty() {
            let detail = "the last message is not the user's, or says nothing";
            return Err(Fault::new(Code::BadValue, detail));
        }
        Ok(last)
    }

    /// What was said up to the last answer; nothing if there is none.
    #[must_use]
    pub fn past(&self) -> Option<Digest> {
        let at = self.unanswered();
        (at > 0).then(|| Digest::of(&self.system, &self.messages[..at]))
    }

    /// What will have been said when the answer is this.
    #[must_use]
    pub fn future(&self, answer: &str) -> Digest {
        let mut messages = self.messages.clone();
        messages.push(Message {
            text: answer.to_owned(),
            ..Message::of(Speaker::Assistant)
        });
        Digest::of(&self.system, &messages)
    }

    /// The last message for a session that knows nothing of the conversation.
    ///
    /// # Errors
    /// As [`Wanted::last`].
    pub fn told(&self) -> Result<Message, Fault> {
        let mut told = Message::of(Speaker::User);
        told.say(self.system.trim());
        let past = &self.messages[..self.unanswered()];
        if !past.is_empty() {
            told.say("What was said so far:");
            for message in past {
                let who = match message.speaker {
                    Speaker::User => "User",
                    Speaker::Assistant => "You",
                };
                told.say(&format!("{who}: {}", message.text));
                told.images.extend_from_slice(&message.images);
            }
            told.say("What is said now:");
        }
        let last = self.last()?;
        told.say(&last.text);
        told.images.extend(last.images);
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(speaker: Speaker, text: &str) -> Message {
        Message {
            text: text.to_owned(),
            ..Message::of(speaker)
        }
    }

    fn wanted(messages: &[Message]) -> Wanted {
        Wanted {
            messages: messages.to_vec(),
            ..Wanted::default()
        }
    }

    #[test]
    fn what_nobody_has_answered_is_the_last_message() {
        let [hi, hello, how, are] = [
            said(Speaker::User, "hi"),
            said(Speaker::Assistant, "hello"),
            said(Speaker::User, "how"),
            said(Speaker::User, "are you"),
        ];
        let one = wanted(std::slice::from_ref(&hi));
        assert_eq!(one.last().unwrap().text, "hi");
        assert_eq!(one.past(), None);
        let more = wanted(&[hi.clone(), hello.clone(), how, are]);
        assert_eq!(more.last().unwrap().text, "how\n\nare you");
        let told = more.told().unwrap().text;
        assert!(told.contains("User: hi\n\nYou: hello"), "{told}");
        assert!(wanted(&[hi, hello]).last().is_err());
        assert!(wanted(&[]).last().is_err());
        assert!(wanted(&[said(Speaker::User, " \n")]).last().is_err());
    }

    #[test]
    fn a_conversation_goes_on_where_its_answer_ended() {
        let first = wanted(&[said(Speaker::User, "hi")]);
        let after = first.future("hello there");
        let [hi, hello] = [
            said(Speaker::User, "hi"),
            said(Speaker::Assistant, "hello\n\nthere"),
        ];
        let then = wanted(&[hi.clone(), hello, said(Speaker::User, "bye")]);
        // How a client puts the pieces of an answer together is its own affair.
        assert_eq!(then.past().as_ref(), Some(&after));
        let other = wanted(&[
            hi,
            said(Speaker::Assistant, "hullo"),
            said(Speaker::User, "bye"),
        ]);
        assert_ne!(other.past().as_ref(), Some(&after));
        let mut told = then;
        told.system = "be brief".to_owned();
        assert_ne!(told.past().as_ref(), Some(&after));
    }

    #[test]
    fn a_session_is_named_by_a_header_or_as_a_model() {
        let id = SessionId::new_v4();
        let mut by_model = Wanted::default();
        by_model.name(&format!("session/{id}"), None).unwrap();
        assert_eq!((by_model.session, by_model.model), (Some(id), None));
        let mut by_header = Wanted::default();
        by_header.name("opus", Some(&id.to_string())).unwrap();
        assert_eq!(by_header.session, Some(id));
        let mut any = Wanted::default();
        any.name("claude-in-box", None).unwrap();
        assert_eq!((any.session, any.model), (None, None));
        let refused = Wanted::default().name("session/x", None).unwrap_err();
        assert_eq!(refused.code(), Code::NoSuchSession);
    }
}
