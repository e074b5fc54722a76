//! Keeps replies until their TTL runs out, up to a number of them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::wire::Key;

/// The longest an answer is kept, whatever its TTL says.
const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// An answer larger than this is not kept; an ordinary one has some 100 bytes.
const REPLY_MAX: usize = 4096;

/// Replies by question. The oldest one is removed when there are too many. A miss costs one
/// round trip, so it matters little which one is used most often.
#[derive(Debug)]
pub(crate) struct Cache {
    cap: usize,
    entries: HashMap<Key, Entry>,
    /// In the order of their coming, each with the number of the entry that it stands for; a
    /// number that the entry no longer has is a leftover.
    order: VecDeque<(Key, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    reply: Box<[u8]>,
    since: Instant,
    until: Instant,
}

impl Cache {
    /// A cache of at most `cap` replies; 0 keeps none.
    #[must_use]
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cap,
            entries: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }

    /// The reply to a question, if it is still good, with its age.
    pub(crate) fn get(&mut self, key: &Key, now: Instant) -> Option<(&[u8], Duration)> {
        if self.entries.get(key)?.until <= now {
            self.entries.remove(key);
            return None;
        }
        let entry = self.entries.get(key)?;
        Some((&entry.reply, now.saturating_duration_since(entry.since)))
    }

    /// Keeps a reply for `ttl`, in place of an older one to the same question.
    pub(crate) fn put(&mut self, key: Key, reply: &[u8], ttl: Duration, now: Instant) {
        if self.cap == 0 || ttl.is_zero() || reply.len() > REPLY_MAX {
            return;
        }
        let number = self.next;
        self.next += 1;
        let until = now + ttl.min(TTL_MAX);
        let entry = Entry {
            number,
            reply: reply.into(),
            since: now,
            until,
        };
        self.entries.insert(key.clone(), entry);
        self.order.push_back((key, number));
        while self.entries.len() > self.cap || self.order.len() > 2 * self.cap {
            let Some((key, number)) = self.order.pop_front() else {
                break;
            };
            if self
                .entries
                .get(&key)
                .is_some_and(|entry| entry.number == number)
            {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> Key {
        Key::for_test(number)
    }

    #[test]
    fn a_reply_is_given_until_its_ttl_has_run_out() {
        let start = Instant::now();
        let mut cache = Cache::new(4);
        cache.put(key(1), b"one", Duration::from_secs(60), start);
        let later = start + Duration::from_secs(59);
        assert_eq!(
            cache.get(&key(1), later),
            Some((&b"one"[..], Duration::from_secs(59)))
        );
        assert_eq!(cache.get(&key(1), start + Duration::from_secs(60)), None);
        assert!(cache.entries.is_empty());
    }

    #[test]
    fn a_reply_with_no_ttl_or_out_of_size_is_not_kept() {
        let now = Instant::now();
        let mut cache = Cache::new(4);
        cache.put(key(1), b"one", Duration::ZERO, now);
        cache.put(key(2), &[0; REPLY_MAX + 1], Duration::from_secs(1), now);
        assert!(cache.entries.is_empty());
    }

    proptest! {
        #[test]
        fn the_newest_replies_are_there_and_never_more_than_the_cap(
            puts in proptest::collection::vec(0..20_u8, 1..200),
            cap in 0..10_usize,
        ) {
            let now = Instant::now();
            let mut cache = Cache::new(cap);
            for &number in &puts {
                cache.put(key(number), &[number], Duration::from_secs(9), now);
                prop_assert!(cache.entries.len() <= cap);
                prop_assert!(cache.order.len() <= 2 * cap);
                let found = cache.get(&key(number), now).map(|(reply, _)| reply.to_vec());
                prop_assert_eq!(found, (cap > 0).then(|| vec![number]));
            }
        }
    }
}
