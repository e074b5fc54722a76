//! The device's end, as the tests and other programs of ours use it.

use crate::head::{Answer, BadHead, Request};
use crate::keys::{Key, KeyId, Traffic};
use crate::message::{
    CHALLENGE, Kind, LEAD, Malformed, NEXT, OPEN, OPENING, RESPONSE, TICKET, at, lead,
};
use crate::record::{Bad, Opener, Record, Sealer};

/// Why an answer is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It does not begin as one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A record does not open.
    #[error(transparent)]
    Record(#[from] Bad),
    /// The first record is no head.
    #[error(transparent)]
    Head(#[from] BadHead),
    /// It ended before its last record.
    #[error("the answer was cut")]
    Cut,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its token's id.
    pub id: KeyId,
    /// Its token's secret.
    pub secret: Key,
}

/// A session of a device.
#[derive(Debug)]
pub struct Session {
    traffic: Traffic,
    opening: Option<[u8; OPENING]>,
    next: u32,
}

/// What opens the answer to one request.
#[derive(Clone, Debug)]
pub struct Pending {
    traffic: Traffic,
    number: u32,
    salt: [u8; 8],
}

impl Device {
    /// A session with the ticket of a challenge. `kind` is [`Kind::Open`] or [`Kind::Connect`].
    ///
    /// # Errors
    /// If it is no challenge.
    pub fn session(
        &self,
        kind: Kind,
        challenge: &[u8],
        nonce: [u8; 16],
    ) -> Result<Session, Malformed> {
        if challenge.len() != CHALLENGE || at(challenge, 0) != lead(Kind::Challenge) {
            return Err(Malformed);
        }
        let mut opening = [0; OPENING];
        opening[..LEAD].copy_from_slice(&lead(kind));
        opening[8..16].copy_from_slice(&self.id.0);
        opening[16..32].copy_from_slice(&nonce);
        opening[32..].copy_from_slice(&at::<TICKET>(challenge, LEAD));
        Ok(Session {
            traffic: Traffic::derive(&self.secret, &opening),
            opening: Some(opening),
            next: 0,
        })
    }
}

impl Session {
    /// The keys.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Opens a whole message that the session has subscribed to: its number, and what is in it. Who
    /// has seen a number before drops the message, and who misses one asks for what was in it.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn pushed(&self, message: &[u8]) -> Result<(u32, Vec<u8>), Unreadable> {
        let prefix = message.first_chunk::<NEXT>().ok_or(Malformed)?;
        if at::<LEAD>(prefix, 0) != lead(Kind::Push) || at(prefix, 8) != self.traffic.sid().0 {
            return Err(Malformed.into());
        }
        let number = u32::from_be_bytes(at(prefix, 24));
        let mut opener = Opener::new(&self.traffic.push(number, at(prefix, 28)), prefix);
        opener.push(&message[NEXT..]);
        let mut content = Vec::new();
        while let Some(Record { plain, .. }) = opener.record()? {
            content.extend_from_slice(&plain);
        }
        if opener.is_over() {
            Ok((number, content))
        } else {
            Err(Unreadable::Cut)
        }
    }

    /// Begins the next message: its prefix, what seals its records, and what opens the answer.
    pub fn begin(&mut self, salt: [u8; 8]) -> (Vec<u8>, Sealer, Pending) {
        let number = self.next;
        self.next += 1;
        let number_bytes = number.to_be_bytes();
        let prefix = match self.opening.take() {
            Some(opening) => [&opening[..], &number_bytes, &salt].concat(),
            None => {
                let sid = self.traffic.sid().0;
                [&lead(Kind::Next)[..], &sid, &number_bytes, &salt].concat()
            }
        };
        debug_assert!(prefix.len() == OPEN || prefix.len() == NEXT);
        let sealer = Sealer::new(&self.traffic.request(number, salt), &prefix);
        let pending = Pending {
            traffic: self.traffic.clone(),
            number,
            salt,
        };
        (prefix, sealer, pending)
    }

    /// A whole message: as much of the body as fits with the head in the first record, the rest in
    /// more.
    #[must_use]
    pub fn request(&mut self, head: &Request, body: &[u8], salt: [u8; 8]) -> (Vec<u8>, Pending) {
        let (mut message, mut sealer, pending) = self.begin(salt);
        let head = head.write();
        let room = crate::record::MAX.saturating_sub(head.len());
        let (first, rest) = body.split_at(room.min(body.len()));
        let mut seal = |plain: &[&[u8]], is_last| {
            // Only a body of 64 GB has too many records.
            let _ = sealer.seal(plain, is_last, &mut message);
        };
        seal(&[&head, first], rest.is_empty());
        let count = rest.chunks(crate::record::MAX).count();
        for (n, piece) in rest.chunks(crate::record::MAX).enumerate() {
            seal(&[piece], n + 1 == count);
        }
        (message, pending)
    }
}

impl Pending {
    /// What opens the records of the answer that begins so.
    ///
    /// # Errors
    /// If it is no answer to this request.
    pub fn opener(&self, prefix: &[u8; RESPONSE]) -> Result<Opener, Malformed> {
        if at::<LEAD>(prefix, 0) != lead(Kind::Response)
            || at(prefix, 8) != self.number.to_be_bytes()
        {
            return Err(Malformed);
        }
        let key = self
            .traffic
            .response(self.number, self.salt, at(prefix, 12));
        Ok(Opener::new(&key, prefix))
    }

    /// Opens a whole answer: its head, and the plaintexts of its records behind it.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn open(&self, message: &[u8]) -> Result<(Answer, Vec<Vec<u8>>), Unreadable> {
        let prefix = message.first_chunk::<RESPONSE>().ok_or(Malformed)?;
        let mut opener = self.opener(prefix)?;
        opener.push(&message[RESPONSE..]);
        let mut plains = Vec::new();
        while let Some(Record { plain, .. }) = opener.record()? {
            plains.push(plain);
        }
        if !opener.is_over() {
            return Err(Unreadable::Cut);
        }
        let first = plains.first().ok_or(Unreadable::Cut)?;
        let (head, rest) = Answer::parse(first)?;
        let rest = rest.to_vec();
        plains[0] = rest;
        Ok((head, plains))
    }
}
