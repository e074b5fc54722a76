//! A fuzzer's corpus, and for a while mutations of it: what `cargo fuzz` does for hours with
//! coverage, the tests do for seconds without. `CIB_FUZZ_SECONDS` lengthens it.
//!
//! A find is printed; kept as a file of the corpus it is tried first from then on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Numbers that look random and are the same in every run of one seed.
struct Luck(u64);

impl Luck {
    fn below(&mut self, bound: usize) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (bound.max(1) as u64)).unwrap_or(0)
    }

    fn mutate(&mut self, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            let until = at + self.below(bytes.len() - at + 1).min(32);
            match self.below(6) {
                0 => drop(bytes.splice(at..at, words[self.below(words.len())].bytes())),
                1 => drop(bytes.drain(at..until)),
                2 => {
                    let piece = bytes[at..until].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                3 => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len() + 1);
                    bytes.splice(at..until, other[from..].iter().copied());
                }
                4 => bytes.truncate(at),
                _ => {
                    let byte = u8::try_from(self.below(256)).unwrap_or(0);
                    if let Some(place) = bytes.get_mut(at) {
                        *place = byte;
                    }
                }
            }
            bytes.truncate(64 * 1024);
        }
        bytes
    }
}

/// The files of a corpus, in the order of their names.
fn corpus(dir: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        })
        .collect()
}

/// Tries the files of a corpus, then mutations of them until two seconds are over. `words` are
/// pieces that make a mutation more than noise.
///
/// # Panics
/// The target panics, or there is hardly anything to try.
pub fn try_all(corpus_dir: &Path, words: &[&str], target: impl Fn(&[u8])) {
    let name = corpus_dir.display();
    let seconds = std::env::var("CIB_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let corpus = corpus(corpus_dir);
    assert!(corpus.len() >= 5, "the corpus {name} is kept");
    let attempt = |bytes: &[u8]| {
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
        let survived = catch_unwind(AssertUnwindSafe(|| target(bytes)));
        assert!(survived.is_ok(), "{name}: {:?} is a find", shown());
    };
    for entry in &corpus {
        attempt(entry);
    }
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut luck = Luck(0x9e37_79b9_7f4a_7c15);
    let mut tried = 0_u32;
    while Instant::now() < end {
        attempt(&luck.mutate(&corpus, words));
        tried += 1;
    }
    assert!(tried > 100, "only {tried} mutations of {name} were tried");
}
