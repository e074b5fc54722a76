//! Which session has had a conversation, by what was said in it.
//!
//! It is known for as long as control lives, and of the newest only: what is not known is told to a
//! new session, which costs words and loses nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cib_protocol::session::SessionId;
use sha2::{Digest as _, Sha256};

use super::{Message, Speaker};
use crate::auth::Who;

/// Conversations that are known, the oldest forgotten first.
const MOST: usize = 1024;

/// What was said, as a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// That of a conversation. Whitespace says nothing: clients keep it as they like.
    #[must_use]
    pub fn of(system: &str, messages: &[Message]) -> Self {
        let mut hash = Sha256::new();
        add(&mut hash, b's', system);
        for message in messages {
            let who = match message.speaker {
                Speaker::User => b'u',
                Speaker::Assistant => b'a',
            };
            add(&mut hash, who, &message.text);
            for image in &message.images {
                add(&mut hash, b'i', &format!("{image:?}"));
            }
        }
        Self(hash.finalize().into())
    }
}

fn add(hash: &mut Sha256, who: u8, text: &str) {
    let text: String = text.split_whitespace().collect();
    hash.update([who]);
    hash.update(text.len().to_le_bytes());
    hash.update(text);
}

/// The conversations that are known.
#[derive(Debug, Default)]
pub struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<(String, Digest), (u64, SessionId)>,
    count: u64,
}

impl Known {
    /// The session of a caller's conversation. It goes on from there, so nobody else finds it so.
    pub fn take(&self, who: &Who, past: Digest) -> Option<SessionId> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = state.sessions.remove(&(who.to_string(), past));
        found.map(|(_, session)| session)
    }

    /// Remembers where a conversation has got to.
    pub fn put(&self, who: &Who, now: Digest, session: SessionId) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.sessions.len() >= MOST {
            let oldest = state.sessions.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                state.sessions.remove(&oldest);
            }
        }
        state.count += 1;
        let at = state.count;
        state.sessions.insert((who.to_string(), now), (at, session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text, &[])
    }

    #[test]
    fn a_conversation_is_found_once_and_by_whose_it_is() {
        let (known, id) = (Known::default(), SessionId::new_v4());
        known.put(&Who::Master, digest("a"), id);
        assert_eq!(known.take(&Who::Account("eve".into()), digest("a")), None);
        assert_eq!(known.take(&Who::Master, digest("b")), None);
        assert_eq!(known.take(&Who::Master, digest("a")), Some(id));
        assert_eq!(known.take(&Who::Master, digest("a")), None);
    }

    #[test]
    fn no_more_is_known_than_there_is_room_for() {
        let known = Known::default();
        for n in 0..MOST + 5 {
            known.put(&Who::Master, digest(&n.to_string()), SessionId::new_v4());
        }
        assert_eq!(known.0.lock().unwrap().sessions.len(), MOST);
        assert_eq!(known.take(&Who::Master, digest("4")), None);
        assert!(known.take(&Who::Master, digest("5")).is_some());
    }

    #[test]
    fn who_said_what_is_part_of_it() {
        let said = |speaker, text: &str| Message {
            text: text.to_owned(),
            ..Message::of(speaker)
        };
        let (user, claude) = (Speaker::User, Speaker::Assistant);
        let one = Digest::of("", &[said(user, "ab"), said(claude, "c")]);
        assert_eq!(
            one,
            Digest::of(" ", &[said(user, "a\nb"), said(claude, " c ")])
        );
        assert_ne!(one, Digest::of("", &[said(claude, "ab"), said(user, "c")]));
        assert_ne!(one, Digest::of("", &[said(user, "a"), said(claude, "bc")]));
    }
}
