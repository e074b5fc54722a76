//! What holds for records whatever is in them and however the line cuts them.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use cib_envelope::keys::Key;
use cib_envelope::record::{Opener, Sealer};
use proptest::prelude::*;

/// Seals pieces as one message, each record by itself.
fn seal(key: [u8; 32], prefix: &[u8], pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut sealer = Sealer::new(&Key::new(key), prefix);
    let records = pieces.iter().enumerate().map(|(n, piece)| {
        let mut out = Vec::new();
        sealer
            .seal(&[piece], n + 1 == pieces.len(), &mut out)
            .unwrap();
        out
    });
    records.collect()
}

/// What opens of some bytes, and whether that is a whole message.
fn open(key: [u8; 32], prefix: &[u8], bytes: &[u8], cut: usize) -> (Vec<Vec<u8>>, bool) {
    let mut opener = Opener::new(&Key::new(key), prefix);
    let mut plains = Vec::new();
    for piece in bytes.chunks(cut) {
        opener.push(piece);
        loop {
            match opener.record() {
                Ok(Some(record)) => plains.push(record.plain),
                Ok(None) => break,
                Err(_) => return (plains, false),
            }
        }
    }
    let is_whole = opener.is_over();
    (plains, is_whole)
}

proptest! {
    #[test]
    fn a_message_opens_as_it_was_sealed_however_it_is_cut(
        key: [u8; 32],
        prefix in prop::collection::vec(any::<u8>(), 20..84),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
        cut in 1_usize..400,
    ) {
        let records = seal(key, &prefix, &pieces).concat();
        prop_assert_eq!(open(key, &prefix, &records, cut), (pieces, true));
    }

    #[test]
    fn records_that_are_moved_dropped_doubled_cut_or_changed_never_make_a_whole_message(
        key: [u8; 32],
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
        order in prop::collection::vec(0_usize..6, 0..8),
        (at, bit) in (any::<prop::sample::Index>(), 0_u8..8),
    ) {
        let records = seal(key, b"prefix", &pieces);
        let is_as_sent = order.len() == records.len() && order.iter().enumerate().all(|(n, from)| n == *from);
        let moved: Vec<u8> = order.iter().filter_map(|from| records.get(*from)).flatten().copied().collect();
        let (plains, is_whole) = open(key, b"prefix", &moved, 4096);
        prop_assert_eq!(is_whole, is_as_sent || moved == records.concat());
        // What opened is what was sealed, in its order.
        prop_assert!(plains.iter().zip(&pieces).all(|(plain, piece)| plain == piece));
        let mut changed = records.concat();
        let end = at.index(changed.len());
        prop_assert!(!open(key, b"prefix", &changed[..end], 4096).1);
        changed[end] ^= 1 << bit;
        prop_assert!(!open(key, b"prefix", &changed, 4096).1);
        prop_assert!(!open(key, b"prefiX", &records.concat(), 4096).1);
    }
}
