//! What strangers may hand to init, by the corpus of the fuzzer and mutations of it.

use std::path::PathBuf;

use cib_init::fuzz;

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

/// Tries a target with its corpus.
fn try_all(name: &str, target: fn(&[u8])) {
    let dir: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus", name]
        .iter()
        .collect();
    cib_testkit::fuzz::try_all(&dir, WORDS, target);
}

#[test]
fn no_configuration_file_makes_init_panic_or_say_more_than_a_line_a_fault() {
    try_all("toml", fuzz::toml);
}

#[test]
fn no_environment_makes_init_panic_or_say_more_than_a_line_a_fault() {
    try_all("environment", fuzz::environment);
}

#[test]
fn no_stranger_at_the_socket_gets_more_than_replies() {
    try_all("socket", fuzz::socket);
}
