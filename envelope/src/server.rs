//! The server's end: tickets, sessions, and which messages are new.
//!
//! In the order of the specification: [`Server::judge`] looks at what a stranger can make too,
//! [`Candidate::opener`] derives the key and opens the first record, and only what opened goes to
//! [`Server::accept`], so nobody who lacks the secret uses up a number or a place.

use std::collections::{HashMap, VecDeque};

use subtle::ConstantTimeEq as _;

use crate::keys::{Key, KeyId, Sid, Traffic, mac};
use crate::message::{self, CHALLENGE, Kind, LEAD, NEXT, OPEN, Prefix, TICKET, at, lead};
use crate::record::{Opener, Sealer};
use crate::window::Window;

/// For how long a ticket opens a session, in milliseconds.
pub const TICKET_LIFE: u64 = 60_000;

/// How far a device's time may be from the server's, in milliseconds.
pub const TOLERANCE: u64 = 60_000;

/// After how long without a request a session is forgotten, in milliseconds.
pub const IDLE: u64 = 60 * 60 * 1000;

/// For how long a session lives, in milliseconds.
pub const LIFE: u64 = 24 * 60 * 60 * 1000;

/// Sessions that one token has at most. One more ends the one that was used longest ago.
pub const SESSIONS: usize = 8;

/// Sessions that one token may open within the life of a ticket.
pub const OPENINGS: usize = 64;

/// Why a message is not served. None of it is authentic to the device, and all of it is the same
/// for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no message.
    #[error("malformed")]
    Malformed,
    /// The ticket is too old or not of this server, or the session is gone.
    #[error("stale")]
    Stale,
    /// No such key, another key, or damage.
    #[error("refused")]
    Refused,
    /// It was here before.
    #[error("replayed")]
    Replayed,
    /// The token opens too many sessions.
    #[error("too_many_attempts")]
    TooMany,
}

#[derive(Debug)]
struct Session {
    key_id: KeyId,
    traffic: Traffic,
    window: Window,
    opened: u64,
    used: u64,
}

/// What one server knows between messages. It dies with it: nothing is written down.
#[derive(Debug)]
pub struct Server {
    boot_key: Key,
    sessions: HashMap<Sid, Session>,
    /// Sessions by who opened them lately, oldest first.
    started: HashMap<KeyId, VecDeque<(u64, Sid)>>,
}

/// A message that may be one: its records decide.
#[derive(Debug)]
pub struct Candidate {
    prefix: Begun,
    /// What it would be sealed with, if it is of a session that is there.
    of: Option<(KeyId, Traffic)>,
}

#[derive(Debug)]
enum Begun {
    Open(Box<[u8; OPEN]>, KeyId),
    Next([u8; NEXT]),
}

/// A message whose first record opened.
#[derive(Debug)]
pub struct Proven {
    key_id: KeyId,
    traffic: Traffic,
    number: u32,
    salt: [u8; 8],
    opens: bool,
}

/// How the answer to a message is sealed.
#[derive(Debug)]
pub struct Responder {
    key_id: KeyId,
    traffic: Traffic,
    number: u32,
    salt: [u8; 8],
}

impl Responder {
    /// Begins an answer: its prefix, which is sent first, and what seals its records.
    #[must_use]
    pub fn begin(&self, response_salt: [u8; 8]) -> (Vec<u8>, Sealer) {
        let prefix = message::response(self.number, response_salt);
        let key = self.traffic.response(self.number, self.salt, response_salt);
        (prefix.to_vec(), Sealer::new(&key, &prefix))
    }

    /// Whose request it was.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The session that it came in.
    #[must_use]
    pub fn sid(&self) -> Sid {
        self.traffic.sid()
    }

    /// What seals messages that the session has subscribed to. A session has one: each counts from 0.
    #[must_use]
    pub fn pusher(&self) -> Pusher {
        Pusher {
            traffic: self.traffic.clone(),
            next: Some(0),
        }
    }
}

/// Seals what a session has subscribed to, message by message. It cannot be copied, so no number
/// comes twice.
#[derive(Debug)]
pub struct Pusher {
    traffic: Traffic,
    next: Option<u32>,
}

impl Pusher {
    /// Begins the next message: its prefix, and what seals its records; nothing when there are no
    /// more numbers.
    pub fn begin(&mut self, salt: [u8; 8]) -> Option<(Vec<u8>, Sealer)> {
        let number = self.next?;
        self.next = number.checked_add(1);
        let prefix = message::push(self.traffic.sid(), number, salt);
        let key = self.traffic.push(number, salt);
        Some((prefix.to_vec(), Sealer::new(&key, &prefix)))
    }
}

impl Candidate {
    /// Whose it is, as it says. Nothing proves it yet.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        match (&self.of, &self.prefix) {
            (Some((id, _)), _) | (None, Begun::Open(_, id)) => *id,
            (None, Begun::Next(_)) => KeyId([0; 8]),
        }
    }

    /// What opens the records, with the secret of [`Candidate::key_id`]. It takes as long whether
    /// there is such a token or not. The message is proven when the first record opens.
    #[must_use]
    pub fn opener(self, secret: &Key) -> (Opener, Proven) {
        let key_id = self.key_id();
        let (prefix, number, salt, opens): (&[u8], _, _, _) = match &self.prefix {
            Begun::Open(bytes, _) => (&bytes[..], 0, at(&bytes[..], 76), true),
            Begun::Next(bytes) => {
                let number = u32::from_be_bytes(at(bytes, 24));
                (bytes, number, at(bytes, 28), false)
            }
        };
        let traffic = match self.of {
            Some((_, traffic)) => traffic,
            None => Traffic::derive(secret, &at(prefix, 0)),
        };
        let opener = Opener::new(&traffic.request(number, salt), prefix);
        let proven = Proven {
            key_id,
            traffic,
            number,
            salt,
            opens,
        };
        (opener, proven)
    }
}

impl Proven {
    /// Whose it is.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }
}

impl Server {
    /// A server with a key that was made at random for it and is kept nowhere.
    #[must_use]
    pub fn new(boot_key: Key) -> Self {
        Self {
            boot_key,
            sessions: HashMap::new(),
            started: HashMap::new(),
        }
    }

    /// The answer to a hello.
    #[must_use]
    pub fn challenge(&self, now: u64, random: [u8; 16]) -> [u8; CHALLENGE] {
        let mut bytes = [0; CHALLENGE];
        bytes[..LEAD].copy_from_slice(&lead(Kind::Challenge));
        bytes[8..16].copy_from_slice(&now.to_be_bytes());
        bytes[16..32].copy_from_slice(&random);
        let mac = self.ticket_mac(&bytes[8..32]);
        bytes[32..].copy_from_slice(&mac);
        bytes
    }

    fn ticket_mac(&self, time_and_random: &[u8]) -> [u8; 16] {
        at(
            &mac(self.boot_key.bytes(), &[b"CIB3 ticket", time_and_random]),
            0,
        )
    }

    fn is_fresh(&self, ticket: &[u8; TICKET], now: u64) -> bool {
        let expected = self.ticket_mac(&ticket[..24]);
        let is_ours = bool::from(expected[..].ct_eq(&ticket[24..]));
        let made = u64::from_be_bytes(at(ticket, 0));
        is_ours && now.checked_sub(made).is_some_and(|age| age <= TICKET_LIFE)
    }

    /// Whether a message can be one, from what it begins with.
    ///
    /// # Errors
    /// [`Refusal::Stale`]; [`Refusal::Malformed`] for a hello, which is answered elsewhere.
    pub fn judge(&self, prefix: &Prefix, now: u64) -> Result<Candidate, Refusal> {
        match prefix {
            Prefix::Hello => Err(Refusal::Malformed),
            Prefix::Open(open) => {
                if !self.is_fresh(&open.ticket(), now) {
                    return Err(Refusal::Stale);
                }
                Ok(Candidate {
                    prefix: Begun::Open(Box::new(open.bytes), open.key_id()),
                    of: None,
                })
            }
            Prefix::Next(next) => {
                let session = self.sessions.get(&next.sid());
                let session = session.filter(|session| session.lives(now));
                let session = session.ok_or(Refusal::Stale)?;
                Ok(Candidate {
                    prefix: Begun::Next(next.bytes),
                    of: Some((session.key_id, session.traffic.clone())),
                })
            }
        }
    }

    /// Takes a message whose first record opened, and whose token is one, if it is new.
    ///
    /// # Errors
    /// [`Refusal::Replayed`], [`Refusal::Stale`] or [`Refusal::TooMany`].
    pub fn accept(&mut self, proven: Proven, now: u64) -> Result<Responder, Refusal> {
        if proven.opens {
            self.begin(&proven, now)?;
        } else {
            let session = self.sessions.get_mut(&proven.traffic.sid());
            let session = session.filter(|session| session.lives(now));
            let session = session.ok_or(Refusal::Stale)?;
            if !session.window.take(proven.number) {
                return Err(Refusal::Replayed);
            }
            session.used = now;
        }
        Ok(Responder {
            key_id: proven.key_id,
            traffic: proven.traffic,
            number: proven.number,
            salt: proven.salt,
        })
    }

    fn begin(&mut self, proven: &Proven, now: u64) -> Result<(), Refusal> {
        let sid = proven.traffic.sid();
        // Longer than its ticket lives: the same opening is stale by then.
        self.started.retain(|_, started| {
            while started
                .front()
                .is_some_and(|(at, _)| now.saturating_sub(*at) > TICKET_LIFE)
            {
                started.pop_front();
            }
            !started.is_empty()
        });
        let started = self.started.entry(proven.key_id).or_default();
        if started.iter().any(|(_, other)| *other == sid) {
            return Err(Refusal::Replayed);
        }
        if started.len() >= OPENINGS {
            return Err(Refusal::TooMany);
        }
        started.push_back((now, sid));
        self.sessions.retain(|_, session| session.lives(now));
        let of_token = |session: &Session| session.key_id == proven.key_id;
        if self
            .sessions
            .values()
            .filter(|session| of_token(session))
            .count()
            >= SESSIONS
        {
            let own = self
                .sessions
                .iter()
                .filter(|(_, session)| of_token(session));
            let oldest = own
                .min_by_key(|(_, session)| session.used)
                .map(|(sid, _)| *sid);
            if let Some(oldest) = oldest {
                self.sessions.remove(&oldest);
            }
        }
        let session = Session {
            key_id: proven.key_id,
            traffic: proven.traffic.clone(),
            window: Window::new(),
            opened: now,
            used: now,
        };
        self.sessions.insert(sid, session);
        Ok(())
    }

    /// Forgets the sessions of a token that is no longer one.
    pub fn forget(&mut self, key_id: KeyId) {
        self.sessions.retain(|_, session| session.key_id != key_id);
    }

    /// Whether a session is there, and neither idle nor old.
    #[must_use]
    pub fn lives(&self, sid: Sid, now: u64) -> bool {
        let session = self.sessions.get(&sid);
        session.is_some_and(|session| session.lives(now))
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }
}

impl Session {
    fn lives(&self, now: u64) -> bool {
        now.saturating_sub(self.used) <= IDLE && now.saturating_sub(self.opened) <= LIFE
    }
}
