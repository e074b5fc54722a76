//! Under which topics what is said.

use cib_protocol::session::SessionId;

/// Where Home Assistant says that it has started.
pub(super) const HOME_ASSISTANT: &str = "homeassistant/status";

/// What a session is told by a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Input,
    Answer,
    Interrupt,
    Model,
    Permission,
    End,
}

/// What a message from the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A session is to be made.
    Create,
    /// Frames are to be said again.
    Replay,
    /// The sessions are to be listed.
    Sessions,
    /// Something for a session.
    Session(SessionId, Act),
    /// A sealed message, by the key id that its topic has.
    Sealed(String),
    /// Home Assistant has started, or ends.
    HomeAssistant,
    /// Nothing that is listened to.
    Other,
}

/// The topics of a box.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    prefix: String,
}

impl Topics {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// `online` or `offline`.
    pub(super) fn status(&self) -> String {
        format!("{}/status", self.prefix)
    }

    pub(super) fn info(&self) -> String {
        format!("{}/info", self.prefix)
    }

    pub(super) fn state(&self, session: SessionId) -> String {
        format!("{}/sessions/{session}/state", self.prefix)
    }

    /// A kind is of lower-case words with dots between them; what another one has is no topic.
    pub(super) fn frames(&self, session: SessionId, kind: &str) -> String {
        let mut topic = format!("{}/sessions/{session}/frames/", self.prefix);
        topic.extend(kind.chars().map(|c| match c {
            '.' => '/',
            c if c.is_ascii_alphanumeric() || "_-".contains(c) => c,
            _ => '_',
        }));
        topic
    }

    pub(super) fn command(&self, session: SessionId, word: &str) -> String {
        format!("{}/sessions/{session}/cmd/{word}", self.prefix)
    }

    pub(super) fn create(&self) -> String {
        format!("{}/cmd/create", self.prefix)
    }

    /// Where answers go if nothing is said.
    pub(super) fn reply(&self) -> String {
        format!("{}/reply", self.prefix)
    }

    /// Where an answer may go: below the default, so that nobody who may command the box makes it
    /// speak where they may not.
    pub(super) fn may_reply(&self, topic: &str) -> bool {
        let rest = topic.strip_prefix(&self.prefix);
        let rest = rest.and_then(|rest| rest.strip_prefix("/reply"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && topic.len() <= 512
            && !topic.contains(['+', '#', '\0'])
    }

    pub(super) fn sealed_out(&self, key_id: &str) -> String {
        format!("{}/sealed/{key_id}/out", self.prefix)
    }

    /// What the box wants to hear.
    pub(super) fn wanted(&self, commands: bool, home_assistant: bool) -> Vec<String> {
        let prefix = &self.prefix;
        let mut filters = vec![format!("{prefix}/sealed/+/in")];
        if commands {
            filters.push(format!("{prefix}/cmd/+"));
            filters.push(format!("{prefix}/sessions/+/cmd/+"));
        }
        if home_assistant {
            filters.push(HOME_ASSISTANT.to_owned());
        }
        filters
    }

    pub(super) fn subject(&self, topic: &str) -> Subject {
        if topic == HOME_ASSISTANT {
            return Subject::HomeAssistant;
        }
        let own = topic.strip_prefix(&self.prefix);
        let parts: Vec<&str> = match own.and_then(|own| own.strip_prefix('/')) {
            Some(own) => own.split('/').collect(),
            None => return Subject::Other,
        };
        match *parts {
            ["cmd", "create"] => Subject::Create,
            ["cmd", "replay"] => Subject::Replay,
            ["cmd", "sessions"] => Subject::Sessions,
            ["sealed", key_id, "in"] if is_key_id(key_id) => Subject::Sealed(key_id.to_owned()),
            ["sessions", id, "cmd", word] => {
                let act = match word {
                    "input" => Act::Input,
                    "answer" => Act::Answer,
                    "interrupt" => Act::Interrupt,
                    "model" => Act::Model,
                    "permission" => Act::Permission,
                    "end" => Act::End,
                    _ => return Subject::Other,
                };
                let id = id.parse();
                id.map_or(Subject::Other, |id| Subject::Session(id, act))
            }
            _ => Subject::Other,
        }
    }
}

fn is_key_id(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 16 && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn topics() -> Topics {
        Topics::new("cib/desk")
    }

    #[test]
    fn a_command_is_known_by_its_topic_and_nothing_else_is_one() {
        let id: SessionId = ID.parse().unwrap();
        let topics = topics();
        let topic = topics.command(id, "input");
        assert_eq!(topics.subject(&topic), Subject::Session(id, Act::Input));
        assert_eq!(topics.subject("cib/desk/cmd/create"), Subject::Create);
        let sealed = "cib/desk/sealed/0102030405060708/in";
        let key = "0102030405060708".to_owned();
        assert_eq!(topics.subject(sealed), Subject::Sealed(key));
        for other in [
            "",
            "cib/desk",
            "cib/deskx/cmd/create",
            "cib/desk/cmd/create/",
            "cib/desk/cmd/purge",
            "cib/desk/sessions/x/cmd/input",
            "cib/desk/sealed/../in",
            "cib/desk/sealed/0102030405060708/out",
        ] {
            assert_eq!(topics.subject(other), Subject::Other, "{other}");
        }
    }

    #[test]
    fn the_box_speaks_nowhere_but_below_its_own_replies() {
        let topics = topics();
        for good in ["cib/desk/reply", "cib/desk/reply/phone/7"] {
            assert!(topics.may_reply(good), "{good}");
        }
        for bad in [
            "",
            "cib/desk/replyx",
            "cib/desk/status",
            "cib/desk/cmd/create",
            "cib/other/reply",
            "homeassistant/device/x/config",
            "$SYS/x",
            "cib/desk/reply/#",
            "cib/desk/reply/+/x",
        ] {
            assert!(!topics.may_reply(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_kind_is_its_topic_is_one_of_the_sessions_frames(kind: String) {
            let topic = topics().frames(ID.parse().expect("an id"), &kind);
            let start = format!("cib/desk/sessions/{ID}/frames/");
            prop_assert!(topic.starts_with(&start));
            prop_assert!(!topic.contains(['+', '#', '\0']));
        }
    }
}
