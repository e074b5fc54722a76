//! A number of a text that rolls along with it, by which a secret is found in other bytes by who
//! does not know it.
//!
//! The number has 24 bits: it says where to look closer, and tells next to nothing of the secret.

/// What a byte is multiplied with for each byte behind it.
const BASE: u64 = 0x9e37_79b1;

/// A prime, so that all bits of a text matter.
const PRIME: u64 = (1 << 31) - 1;

/// Bits that are told.
const TOLD: u64 = (1 << 24) - 1;

/// The number of a text.
#[must_use]
pub fn roll(text: &[u8]) -> u32 {
    let sum = text.iter().fold(0, |sum, byte| next(sum, *byte));
    told(sum)
}

/// The places at which a text of `length` bytes and that number may begin.
pub fn places(text: &[u8], length: usize, number: u32) -> impl Iterator<Item = usize> {
    // What the byte that is left behind has been multiplied with.
    let weight = (1..length).fold(1, |weight, _| weight * BASE % PRIME);
    let (first, rest) = match text.split_at_checked(length) {
        Some(parts) if length > 0 => parts,
        _ => (&text[..0], &text[..0]),
    };
    let mut sum = first.iter().fold(0, |sum, byte| next(sum, *byte));
    let begins = (!first.is_empty() && told(sum) == number).then_some(0);
    let rolled = rest.iter().zip(text).enumerate();
    let rolled = rolled.filter_map(move |(at, (comes, goes))| {
        let without = sum + PRIME - u64::from(*goes) * weight % PRIME;
        sum = next(without % PRIME, *comes);
        (told(sum) == number).then_some(at + 1)
    });
    begins.into_iter().chain(rolled)
}

fn next(sum: u64, byte: u8) -> u64 {
    (sum * BASE + u64::from(byte)) % PRIME
}

fn told(sum: u64) -> u32 {
    // Fits: it has 24 bits.
    u32::try_from(sum & TOLD).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_stands_and_almost_nothing_else_is() {
        let secret = b"correct-horse-battery";
        let number = roll(secret);
        for before in [0, 1, 7, 5000] {
            let mut text = vec![b'x'; before];
            text.extend(secret);
            text.extend(b"and more");
            let found: Vec<_> = places(&text, secret.len(), number).collect();
            assert_eq!(found, [before]);
        }
        assert_eq!(places(b"short", secret.len(), number).count(), 0);
        assert_eq!(places(b"", 0, roll(b"")).count(), 0);
        let noise: Vec<u8> = (0..200_000_u64).map(|n| (n * n).to_le_bytes()[1]).collect();
        assert!(places(&noise, secret.len(), number).count() < 5);
    }
}
