//! The fuzzer's corpus, and for a while mutations of it: what `cargo fuzz` does for hours with
//! coverage, the tests do for seconds without. `CIB_FUZZ_SECONDS` lengthens it.
//!
//! A find is printed; kept as a file of the corpus it is tried first from then on.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cib_init::strangers;

/// Pieces that make a mutation more than noise.
const WORDS: &[&str] = &[
    "[service.a]\n",
    "command = [\"true\"]\n",
    "needs = [\"a\"]\n",
    "ready = { fd = 3 }\n",
    "\"notify\"",
    "limits = { memory = \"1G\" }\n",
    "grace = \"5s\"\n",
    "'''",
    "[settings]\n",
    "= -1\n",
    "\u{0}CIB_PROXY_URL=",
    "\u{0}CIB_AUTH_TOKEN=",
    "\u{0}CIB_SETUP_COMMANDS=[",
    "socks5://a:b@[::1]:1",
    "%00",
    "\u{0}PUID=4294967296",
    "{\"op\":\"status\"}\n",
    "{\"op\":\"logs\",\"service\":\"",
    "\"lines\":65536",
    "\\u0000",
    "\n",
    "\u{0}",
    "\u{202e}",
    "99999999999999999999",
    "-0",
    "1e400",
    "]]]]]]]]",
    "{{{{{{{{",
];

/// Numbers that look random and are the same in every run of one seed.
struct Luck(u64);

impl Luck {
    fn below(&mut self, bound: usize) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (bound.max(1) as u64)).unwrap()
    }

    fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            let until = at + self.below(bytes.len() - at + 1).min(32);
            match self.below(6) {
                0 => drop(bytes.splice(at..at, WORDS[self.below(WORDS.len())].bytes())),
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
                    let byte = u8::try_from(self.below(256)).unwrap();
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

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Tries the corpus, then mutations of it until the time is over.
fn try_all(name: &str, target: fn(&[u8])) {
    let seconds = std::env::var("CIB_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "the corpus of {name} is kept");
    let attempt = |bytes: &[u8]| {
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
        let survived = catch_unwind(AssertUnwindSafe(|| target(bytes)));
        assert!(survived.is_ok(), "{name} fails for {:?}", shown());
    };
    for entry in &corpus {
        attempt(entry);
    }
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut luck = Luck(0x9e37_79b9_7f4a_7c15);
    let mut tried = 0_u32;
    while Instant::now() < end {
        attempt(&luck.mutate(&corpus));
        tried += 1;
    }
    assert!(tried > 100, "only {tried} mutations of {name} were tried");
}

#[test]
fn no_configuration_file_makes_init_panic_or_say_more_than_a_line_a_fault() {
    try_all("toml", strangers::toml);
}

#[test]
fn no_environment_makes_init_panic_or_say_more_than_a_line_a_fault() {
    try_all("environment", strangers::environment);
}

#[test]
fn no_stranger_at_the_socket_gets_more_than_replies() {
    try_all("socket", strangers::socket);
}
