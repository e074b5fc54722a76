//! Who asked for what the frames tell. A frame may come long after what caused it: Claude takes a
//! message up when it is ready to, and confirms a model when it has changed to it.

use std::collections::VecDeque;

use cib_protocol::frame::{Data, Role};
use cib_protocol::keeper::{KeeperRequest, MAX_BY};
use uuid::Uuid;

/// Messages whose authors are remembered, the oldest forgotten first.
const MESSAGES: usize = 256;

/// Those whose frames are still to come.
#[derive(Debug, Default)]
pub(super) struct Authors {
    /// By the ids of their messages.
    messages: VecDeque<(String, Option<String>)>,
    /// By the id of the question.
    answer: Option<(String, String)>,
    title: Option<String>,
    model: Option<String>,
    effort: Option<String>,
    permission: Option<String>,
    driver: Option<String>,
    size: Option<String>,
    interrupt: Option<String>,
    end: Option<String>,
}

/// A name as it is written down: of a bearable length, and in one line.
pub(super) fn name(by: &str) -> String {
    let mut name = String::new();
    for char in by.chars().filter(|char| !char.is_control()) {
        if name.len() + char.len_utf8() > MAX_BY {
            break;
        }
        name.push(char);
    }
    name
}

impl Authors {
    /// Whether a message of that id was taken.
    pub(super) fn has(&self, id: Uuid) -> bool {
        let id = id.to_string();
        self.messages.iter().any(|(message, _)| *message == id)
    }

    /// Forgets a message that was not taken.
    pub(super) fn forget(&mut self, id: Uuid) {
        let id = id.to_string();
        self.messages.retain(|(message, _)| *message != id);
    }

    /// Remembers who asks.
    pub(super) fn note(&mut self, request: &KeeperRequest, by: Option<&String>) {
        let by = by.cloned();
        match request {
            KeeperRequest::Input { id: Some(id), .. } => {
                if self.messages.len() == MESSAGES {
                    self.messages.pop_front();
                }
                self.messages.push_back((id.to_string(), by));
            }
            KeeperRequest::Answer { id, .. } => self.answer = by.map(|by| (id.clone(), by)),
            KeeperRequest::SetTitle { .. } => self.title = by,
            KeeperRequest::SetModel { .. } => self.model = by,
            KeeperRequest::SetEffort { .. } => self.effort = by,
            KeeperRequest::SetPermissionMode { .. } => self.permission = by,
            KeeperRequest::SetDriver { .. } => self.driver = by,
            KeeperRequest::Resize { .. } => self.size = by,
            KeeperRequest::Interrupt => self.interrupt = by,
            KeeperRequest::Stop { .. } => self.end = self.end.take().or(by),
            KeeperRequest::Input { id: None, .. }
            | KeeperRequest::Raw { .. }
            | KeeperRequest::As { .. }
            | KeeperRequest::Hooks
            | KeeperRequest::SetHooks { .. }
            | KeeperRequest::Status
            | KeeperRequest::Offers => {}
        }
    }

    /// Writes into a frame who caused it.
    pub(super) fn sign(&mut self, data: &mut Data) {
        match data {
            Data::Text(text) if text.role == Role::User => {
                let id = text.message_id.as_deref();
                let mut messages = self.messages.iter();
                let known = messages.find(|(message, _)| Some(message.as_str()) == id);
                text.by = known.and_then(|(_, by)| by.clone());
            }
            Data::AskAnswer(answer) => {
                let asked = self.answer.take_if(|(id, _)| *id == answer.id);
                // One that nobody gave here was given by nobody who is known here.
                answer.by = asked.map(|(_, by)| by).filter(|_| answer.answers.is_some());
            }
            Data::Meta(meta) => {
                let news = [
                    (meta.title.is_some(), &mut self.title),
                    (meta.model.is_some(), &mut self.model),
                    (meta.effort.is_some(), &mut self.effort),
                    (meta.permission_mode.is_some(), &mut self.permission),
                    (meta.driver.is_some(), &mut self.driver),
                ];
                for by in news
                    .into_iter()
                    .filter_map(|(is_told, by)| is_told.then_some(by))
                {
                    meta.by = by.take().or(meta.by.take());
                }
            }
            Data::PtySize(size) => size.by = self.size.take(),
            Data::Stop(stop) if stop.last => stop.asked_by = self.end.take(),
            Data::Stop(stop) => {
                let by = self.interrupt.take();
                stop.asked_by = by.filter(|_| stop.reason == "interrupted");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use cib_protocol::frame::{AskAnswer, Meta, Stop, Text};

    use super::*;

    fn input(id: u128) -> KeeperRequest {
        KeeperRequest::Input {
            text: String::new(),
            id: Some(Uuid::from_u128(id)),
            command: false,
            images: Vec::new(),
        }
    }

    fn signed(authors: &mut Authors, mut data: Data) -> Data {
        authors.sign(&mut data);
        data
    }

    fn said(id: u128) -> Data {
        Data::Text(Text {
            role: Role::User,
            message_id: Some(Uuid::from_u128(id).to_string()),
            ..Text::default()
        })
    }

    fn by(data: &Data) -> Option<&str> {
        match data {
            Data::Text(text) => text.by.as_deref(),
            Data::Meta(meta) => meta.by.as_deref(),
            Data::AskAnswer(answer) => answer.by.as_deref(),
            Data::Stop(stop) => stop.asked_by.as_deref(),
            _ => None,
        }
    }

    #[test]
    fn a_message_has_its_author_whenever_claude_takes_it_up() {
        let mut authors = Authors::default();
        authors.note(&input(1), Some(&"ann".to_owned()));
        authors.note(&input(2), Some(&"bob".to_owned()));
        authors.note(&input(3), None);
        assert_eq!(by(&signed(&mut authors, said(2))), Some("bob"));
        assert_eq!(by(&signed(&mut authors, said(1))), Some("ann"));
        assert_eq!(by(&signed(&mut authors, said(3))), None);
        assert!(authors.has(Uuid::from_u128(3)));
        authors.forget(Uuid::from_u128(3));
        assert!(!authors.has(Uuid::from_u128(3)) && authors.has(Uuid::from_u128(1)));
        for id in 10..10 + MESSAGES as u128 {
            authors.note(&input(id), Some(&"many".to_owned()));
        }
        assert_eq!(by(&signed(&mut authors, said(1))), None);
        assert_eq!(authors.messages.len(), MESSAGES);
    }

    #[test]
    fn an_answer_that_nobody_gave_here_has_no_author() {
        let mut authors = Authors::default();
        let answer = |id: &str, given: bool| {
            Data::AskAnswer(AskAnswer {
                id: id.to_owned(),
                answers: given.then(Default::default),
                by: None,
            })
        };
        let asked = KeeperRequest::Answer {
            id: "q".to_owned(),
            answers: [].into(),
        };
        authors.note(&asked, Some(&"ann".to_owned()));
        assert_eq!(by(&signed(&mut authors, answer("p", true))), None);
        assert_eq!(by(&signed(&mut authors, answer("q", true))), Some("ann"));
        assert_eq!(by(&signed(&mut authors, answer("q", true))), None);
        authors.note(&asked, Some(&"ann".to_owned()));
        assert_eq!(by(&signed(&mut authors, answer("q", false))), None);
    }

    #[test]
    fn a_change_and_an_end_have_the_author_of_their_own_request_alone() {
        let mut authors = Authors::default();
        let ann = "ann".to_owned();
        let model = KeeperRequest::SetModel {
            model: String::new(),
        };
        authors.note(&model, Some(&ann));
        let title = Data::Meta(Meta {
            title: Some(String::new()),
            ..Meta::default()
        });
        let model = Data::Meta(Meta {
            model: Some(String::new()),
            ..Meta::default()
        });
        assert_eq!(by(&signed(&mut authors, title)), None);
        assert_eq!(by(&signed(&mut authors, model.clone())), Some("ann"));
        assert_eq!(by(&signed(&mut authors, model)), None);
        let stop = |reason: &str, last| {
            Data::Stop(Stop {
                reason: reason.to_owned(),
                last,
                ..Stop::default()
            })
        };
        authors.note(&KeeperRequest::Interrupt, Some(&ann));
        assert_eq!(by(&signed(&mut authors, stop("turn_end", false))), None);
        assert_eq!(by(&signed(&mut authors, stop("interrupted", false))), None);
        authors.note(&KeeperRequest::Interrupt, Some(&ann));
        assert_eq!(
            by(&signed(&mut authors, stop("interrupted", false))),
            Some("ann")
        );
        authors.note(&KeeperRequest::Stop { kill: false }, Some(&ann));
        authors.note(&KeeperRequest::Stop { kill: true }, None);
        assert_eq!(by(&signed(&mut authors, stop("exit", true))), Some("ann"));
    }

    #[test]
    fn a_name_is_short_and_in_one_line() {
        assert_eq!(name("a\nb\u{7f}c\u{9b}"), "abc");
        assert_eq!(name(&"é".repeat(MAX_BY)).len(), MAX_BY);
    }
}
