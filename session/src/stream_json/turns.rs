//! Whose turn it is that ends: the user's, by the ids of the messages that it answered, or one
//! that the CLI began itself, when a command in the background has ended for instance.

use std::collections::VecDeque;

use cib_foreign::json::{self, Object};
use cib_protocol::frame::By;

/// Messages remembered, oldest forgotten first.
const MAX: usize = 1024;

/// Messages of the user that no turn has answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    waiting: VecDeque<String>,
    /// Those of them that the running turn took up.
    begun: Vec<String>,
    /// Whether this CLI says of every turn which messages it answered.
    tells: bool,
    /// Whether a task told of its end since a turn of the CLI's own.
    notified: bool,
}

impl Turns {
    /// A message goes to the CLI.
    pub(super) fn sent(&mut self, id: String) {
        if self.waiting.len() == MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(id);
    }

    /// The CLI takes a message up. What is no message of ours is not noted.
    pub(super) fn begun(&mut self, id: &str) {
        if self.waiting.iter().any(|known| known == id) {
            self.waiting.retain(|known| known != id);
            self.begun.push(id.to_owned());
        }
    }

    /// What the CLI says of the life of a message.
    pub(super) fn lives(&mut self, id: &str, state: Option<&str>) {
        self.tells = true;
        match state {
            Some("started") => self.begun(id),
            Some("cancelled") => self.waiting.retain(|known| known != id),
            _ => {}
        }
    }

    /// A task in the background ended, which makes the CLI begin a turn unless one runs.
    pub(super) fn notified(&mut self) {
        self.notified = true;
    }

    /// A turn ended with a `result`. Returns whose it was and which messages it answered.
    pub(super) fn ended(&mut self, result: &Object<'_>) -> (By, Vec<String>) {
        for item in result.items("user_message_uuids").unwrap_or_default() {
            if let Some(id) = json::string(item) {
                self.begun(&id);
            }
        }
        let mut answered = std::mem::take(&mut self.begun);
        if !answered.is_empty() {
            return (By::User, answered);
        }
        let origin = result.object("origin");
        let is_own = origin.is_some_and(|origin| {
            let kind = origin.text("kind");
            kind.is_some_and(|kind| kind != "human")
        });
        if is_own || self.tells || std::mem::take(&mut self.notified) {
            return (By::Claude, answered);
        }
        // 2.1.112 repeats a message that it takes up, but no command: those come in order.
        answered.extend(self.waiting.pop_front());
        (By::User, answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(turns: &mut Turns, result: &str) -> (By, Vec<String>) {
        turns.ended(&Object::read(result).unwrap())
    }

    #[test]
    fn a_turn_is_the_users_if_it_answered_a_message_and_by_id_not_by_order() {
        let mut turns = Turns::default();
        turns.sent("a".to_owned());
        turns.lives("a", Some("started"));
        turns.lives("somebody else's", Some("started"));
        assert_eq!(ended(&mut turns, "{}"), (By::User, vec!["a".to_owned()]));
        turns.sent("b".to_owned());
        // The CLI's own turn ends while the message waits.
        let own = r#"{"origin":{"kind":"task-notification"}}"#;
        assert_eq!(ended(&mut turns, own), (By::Claude, Vec::new()));
        assert_eq!(ended(&mut turns, "{}"), (By::Claude, Vec::new()));
        let named = r#"{"user_message_uuids":[7,"b","c"],"origin":null}"#;
        assert_eq!(ended(&mut turns, named), (By::User, vec!["b".to_owned()]));
    }

    #[test]
    fn a_cli_that_repeats_messages_and_no_commands_is_understood_as_well() {
        let mut turns = Turns::default();
        turns.sent("a".to_owned());
        turns.begun("a");
        turns.notified();
        assert_eq!(ended(&mut turns, "{}"), (By::User, vec!["a".to_owned()]));
        turns.sent("/cost".to_owned());
        assert_eq!(ended(&mut turns, "{}"), (By::Claude, Vec::new()));
        let command = (By::User, vec!["/cost".to_owned()]);
        assert_eq!(ended(&mut turns, "{}"), command);
        assert_eq!(ended(&mut turns, "{}"), (By::User, Vec::new()));
    }
}
