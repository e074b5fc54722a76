//! The golden rulesets of `nft/rulesets/`: the text that a person reads, as `nft list table`
//! prints it, and the JSON that the kernel is given. `CIB_GOLDEN=write` writes them anew.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

#[expect(dead_code, reason = "the golden rulesets need no network")]
mod common;

use std::path::{Path, PathBuf};

use cib_nft::Ruleset;
use common::policies::golden;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rulesets")
}

/// The golden file, after it was written anew if that is wanted.
fn read(name: &str, kind: &str, rendered: &str) -> String {
    let path = folder().join(format!("{name}.{kind}"));
    if std::env::var_os("CIB_GOLDEN").is_some_and(|word| word == "write") {
        std::fs::write(&path, rendered).unwrap();
    }
    std::fs::read_to_string(&path).unwrap()
}

/// One object a line, so that a difference is one line.
fn lines(ruleset: &Ruleset) -> String {
    let document: serde_json::Value =
        serde_json::from_str(&ruleset.apply().stdin.unwrap()).unwrap();
    let objects = document["nftables"].as_array().unwrap();
    objects.iter().map(|object| format!("{object}\n")).collect()
}

#[test]
fn every_policy_reads_as_its_golden_ruleset() {
    for (name, ruleset) in golden() {
        let rendered = ruleset.to_string();
        assert_eq!(rendered, read(name, "nft", &rendered), "{name}.nft");
    }
}

#[test]
fn every_policy_is_sent_as_its_golden_document() {
    for (name, ruleset) in golden() {
        let rendered = lines(&ruleset);
        let golden = read(name, "json", &rendered);
        // As values, for the order of fields is of no meaning.
        let values = |lines: &str| -> Vec<serde_json::Value> {
            lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        };
        assert_eq!(values(&rendered), values(&golden), "{name}.json");
    }
}

#[test]
fn no_golden_file_is_left_over() {
    let names: Vec<_> = golden().into_iter().map(|(name, _)| name).collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(names.contains(&stem), "no policy for {}", path.display());
    }
}
