//! What devices have subscribed to under sealed topics: frames of a journal, each a message of the
//! device's own session, which nobody else reads, and which counts so that it is known if it comes twice.
//!
//! They outlive the connection to the broker and end with the device's session or token.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cib_envelope::head::Method;
use cib_envelope::keys::{KeyId, Sid};
use cib_envelope::message::NEXT;
use cib_envelope::record::{AROUND, MAX};
use cib_envelope::server::{Pusher, Responder};
use cib_protocol::session::SessionId;
use serde::Deserialize;
use serde_json::json;
use tokio::task::AbortHandle;

use super::positions::Position;
use super::sources::Place;
use crate::auth::Caller;
use crate::auth::scope::Scope;
use crate::envelope::{Asked, Sealed};
use crate::fault::{Code, Fault};
use crate::journal::cursor::Kinds;
use crate::stream::preview;

/// Where it is asked for. There is no such route: elsewhere a stream of events does as much.
const TARGET: &str = "/api/subscriptions";

/// Subscriptions that one session of a device has at most, one key in all its sessions, and all of them
/// together.
const EACH: usize = 4;
const OF_KEY: usize = 16;
const MOST: usize = 64;

/// The least that a device takes of a frame, as streams have it.
const MIN_FRAME: usize = 256;

/// The longest that pieces wait for more of the same.
const MAX_COALESCE: u64 = 10_000;

/// Tells one subscription from another, also from those of another start of the box.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// What a device asks for.
#[derive(Debug)]
pub(super) enum Wish {
    /// Frames of a session.
    Begin(Wanted),
    /// No more of any.
    End,
}

/// Frames that a device wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) session: SessionId,
    /// Behind this seq.
    #[serde(default)]
    from: u64,
    #[serde(default)]
    kinds: Vec<String>,
    /// The longest that it takes.
    #[serde(default)]
    max_frame: Option<usize>,
    /// For how long pieces of a text are joined into one.
    #[serde(default)]
    coalesce_ms: u64,
}

/// What a request asks for, if it is no route's.
pub(super) fn wish(asked: &Asked) -> Option<Result<Wish, Fault>> {
    if asked.target != TARGET {
        return None;
    }
    let wish = match asked.method {
        Method::Post => wanted(asked).map(Wish::Begin),
        Method::Delete => Ok(Wish::End),
        _ => return None,
    };
    Some(wish)
}

fn wanted(asked: &Asked) -> Result<Wanted, Fault> {
    if !asked.caller.scopes.allows(Scope::SessionsRead) {
        return Err(Fault::scope_missing(Scope::SessionsRead));
    }
    let wanted: Wanted = serde_json::from_slice(&asked.body)
        .map_err(|error| Fault::new(Code::BadValue, error.to_string()))?;
    if wanted.max_frame.is_some_and(|most| most < MIN_FRAME) {
        let detail = format!("`max_frame` is at least {MIN_FRAME}");
        return Err(Fault::new(Code::BadValue, detail));
    }
    if wanted.coalesce_ms > MAX_COALESCE {
        let detail = format!("`coalesce_ms` is at most {MAX_COALESCE}");
        return Err(Fault::new(Code::BadValue, detail));
    }
    Ok(wanted)
}

/// A subscription.
#[derive(Debug)]
struct Push {
    key_id: KeyId,
    sid: Sid,
    caller: Caller,
    wanted: Wanted,
    max_record: usize,
    position: Position,
    reading: Option<AbortHandle>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    all: BTreeMap<u64, Push>,
    /// One for each session of a device, however many subscriptions it has.
    pushers: HashMap<Sid, Pusher>,
}

impl Pushes {
    /// Takes one up, in place of one of the same device's session for the same journal.
    ///
    /// # Errors
    /// If there are too many.
    pub(super) fn begin(
        &mut self,
        sealed: &Sealed,
        caller: Caller,
        wanted: Wanted,
    ) -> Result<u64, Fault> {
        let responder: &Responder = &sealed.responder;
        let sid = responder.sid();
        let is_same = |push: &Push| push.sid == sid && push.wanted.session == wanted.session;
        let same = self.all.iter().find(|(_, push)| is_same(push));
        if let Some(number) = same.map(|(number, _)| *number) {
            self.remove(number);
        }
        let own = self.all.values().filter(|push| push.sid == sid).count();
        let key_id = responder.key_id();
        let of_key = self.all.values().filter(|push| push.key_id == key_id);
        if own >= EACH || of_key.count() >= OF_KEY || self.all.len() >= MOST {
            let detail = format!(
                "there are {EACH} subscriptions in a session, {OF_KEY} of a key, and {MOST} in all"
            );
            return Err(Fault::new(Code::Busy, detail));
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        self.pushers
            .entry(sid)
            .or_insert_with(|| responder.pusher());
        let push = Push {
            key_id,
            sid,
            caller,
            position: Position::at(wanted.from),
            wanted,
            max_record: sealed.max_record.min(MAX),
            reading: None,
        };
        self.all.insert(number, push);
        Ok(number)
    }

    /// Ends those of a device's session; how many these were.
    pub(super) fn end(&mut self, sid: Sid) -> usize {
        let before = self.all.len();
        self.drop_all(|push| push.sid == sid);
        before - self.all.len()
    }

    /// Ends those of a journal that is no more.
    pub(super) fn gone(&mut self, session: SessionId) {
        self.drop_all(|push| push.wanted.session == session);
    }

    /// Ends those whose device is none any more. `lives` knows the sessions of devices.
    pub(super) fn sweep(&mut self, lives: impl Fn(Sid) -> bool) {
        self.drop_all(|push| push.caller.lapsed().is_some() || !lives(push.sid));
        // Its numbers go on for as long as the session may ask for more.
        self.pushers.retain(|sid, _| lives(*sid));
    }

    /// Whose it is, if it may still be told something.
    pub(super) fn whose(&self, number: u64, lives: impl Fn(Sid) -> bool) -> Option<KeyId> {
        let push = self.all.get(&number)?;
        let may = push.caller.lapsed().is_none() && lives(push.sid);
        may.then_some(push.key_id)
    }

    /// Ends one.
    pub(super) fn remove(&mut self, number: u64) {
        if let Some(reading) = self.all.remove(&number).and_then(|push| push.reading) {
            reading.abort();
        }
    }

    fn drop_all(&mut self, is_over: impl Fn(&Push) -> bool) {
        let over = self.all.iter().filter(|(_, push)| is_over(push));
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        for number in over {
            self.remove(number);
        }
    }

    /// Those of a journal that nobody reads for them, and which have something to come.
    pub(super) fn resting(&self, session: SessionId, is_live: bool, last_seq: u64) -> Vec<u64> {
        let is_resting = |push: &Push| {
            let has_more = is_live || push.position.acknowledged() < last_seq;
            push.wanted.session == session && push.reading.is_none() && has_more
        };
        let resting = self.all.iter().filter(|(_, push)| is_resting(push));
        resting.map(|(number, _)| *number).collect()
    }

    /// Where one goes on.
    pub(super) fn place(&self, number: u64) -> Option<Place> {
        let push = self.all.get(&number)?;
        Some(Place {
            session: push.wanted.session,
            after: push.position.acknowledged(),
            kinds: Kinds::parse(&push.wanted.kinds.join(",")),
            coalesce: Duration::from_millis(push.wanted.coalesce_ms),
        })
    }

    /// Its journal is being read.
    pub(super) fn reads(&mut self, number: u64, reading: AbortHandle) {
        if let Some(push) = self.all.get_mut(&number) {
            push.reading = Some(reading);
        }
    }

    /// Its journal is read no more, for now; which one that is.
    pub(super) fn rests(&mut self, number: u64) -> Option<SessionId> {
        let push = self.all.get_mut(&number)?;
        push.reading = None;
        Some(push.wanted.session)
    }

    /// A frame as a message of at most so many bytes; nothing if there can be none any more.
    pub(super) fn seal(&mut self, number: u64, line: &[u8], most: usize) -> Option<Vec<u8>> {
        let push = self.all.get(&number)?;
        let max = push.max_record;
        let room = plain_room(most.checked_sub(NEXT)?, max);
        let room = push.wanted.max_frame.map_or(room, |most| most.min(room));
        let cut = (line.len() > room).then(|| preview::shortened(line, room));
        let line = cut.as_deref().unwrap_or(line);
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).ok()?;
        let (mut out, mut sealer) = self.pushers.get_mut(&push.sid)?.begin(salt)?;
        let count = line.len().div_ceil(max).max(1);
        out.reserve(line.len() + count * AROUND);
        for (n, piece) in line.chunks(max).enumerate() {
            sealer.seal(&[piece], n + 1 == count, &mut out).ok()?;
        }
        Some(out)
    }

    /// A frame is on its way.
    pub(super) fn sent(&mut self, number: u64, seq: u64) {
        if let Some(push) = self.all.get_mut(&number) {
            push.position.sent(seq);
        }
    }

    /// The broker has a frame.
    pub(super) fn acknowledged(&mut self, number: u64, seq: u64) {
        if let Some(push) = self.all.get_mut(&number) {
            push.position.acknowledge(seq);
        }
    }

    /// Nothing is on its way any more, and nobody reads.
    pub(super) fn grounded(&mut self) {
        for push in self.all.values_mut() {
            push.position.ground();
            if let Some(reading) = push.reading.take() {
                reading.abort();
            }
        }
    }
}

/// Bytes that fit into records of so many bytes at most, all of them together in a room.
fn plain_room(room: usize, max: usize) -> usize {
    let whole = room / (max + AROUND);
    whole * max + (room % (max + AROUND)).saturating_sub(AROUND)
}

/// What whoever subscribes is told.
pub(super) fn begun(session: SessionId, from: u64) -> Vec<u8> {
    json!({"session": session, "from": from})
        .to_string()
        .into_bytes()
}

/// What whoever wants no more is told.
pub(super) fn ended(count: usize) -> Vec<u8> {
    json!({ "ended": count }).to_string().into_bytes()
}

impl Wanted {
    /// Behind which seq it begins.
    pub(super) fn from(&self) -> u64 {
        self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_to_a_room_fits_there_with_all_its_records() {
        for max in [256, 257, 4096] {
            for room in 0..3 * (max + AROUND) {
                let plain = plain_room(room, max);
                let records = plain.div_ceil(max);
                assert!(plain + records * AROUND <= room, "{room} {max}");
                // A byte more would not.
                let records = (plain + 1).div_ceil(max);
                assert!(plain + 1 + records * AROUND > room, "{room} {max}");
            }
        }
    }
}
