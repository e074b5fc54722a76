//! `docs/spec/threats.md` names a test or an attack behind each of its sentences, and each attack
//! of the table stands behind one.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose surroundings fail has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cib_testkit::attack::{attacks, plants};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/spec/threats.md")).unwrap()
}

/// The name of a sentence: a letter and a number.
fn is_name(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|c| c.is_ascii_uppercase())
        && word.len() > 1
        && letters.all(|c| c.is_ascii_digit())
}

/// The cells of a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(line.split(" | ").map(str::trim).collect())
}

/// What stands as code in a text.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The sentences of a page: their names, and what stands behind each.
fn sentences(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter_map(cells);
    rows.filter(|row| is_name(row[0]))
        .map(|row| (row[0], *row.last().unwrap()))
        .collect()
}

/// Every `file::test` on a page, the page's own word for that aside.
fn tests(page: &str) -> Vec<(&str, &str)> {
    let named = code(page).filter_map(|code| code.rsplit_once("::"));
    named.filter(|named| *named != ("file", "test")).collect()
}

/// The Rust sources of the workspace, by their path without the ending.
fn sources() -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for member in fs::read_dir(root()).unwrap() {
        let member = member.unwrap().path();
        if member.join("Cargo.toml").exists() {
            folders.extend(["src", "tests"].map(|name| member.join(name)));
        }
    }
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path.with_extension("").display().to_string(), text));
            }
        }
    }
    sources
}

/// Whether a source has a function of this name that is run as a test.
fn has_test(source: &str, test: &str) -> bool {
    let definition = format!("fn {test}(");
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&definition)
    });
    at.is_some_and(|at| {
        let above = lines[..at].iter().rev();
        above
            .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
            .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

/// What is wrong with a page.
fn faults(page: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let sources = sources();
    for (file, test) in tests(page) {
        let ending = format!("/{file}");
        let mut files = sources.iter().filter(|(path, _)| path.ends_with(&ending));
        if !files.any(|(_, source)| has_test(source, test)) {
            faults.push(format!("there is no test {file}::{test}"));
        }
    }

    let sentences = sentences(page);
    let known: BTreeSet<_> = attacks().iter().chain(plants()).map(|a| a.name).collect();
    let mut named = BTreeSet::new();
    for (name, proof) in &sentences {
        if code(proof).next().is_none() {
            faults.push(format!("nothing stands behind {name}"));
        }
        for attack in code(proof).filter(|code| !code.contains("::")) {
            if !known.contains(attack) {
                faults.push(format!("{name}: there is no attack {attack}"));
            }
            named.insert(attack);
        }
    }
    for attack in known.difference(&named) {
        faults.push(format!("the attack {attack} stands behind no sentence"));
    }

    let names: BTreeSet<_> = sentences.iter().map(|(name, _)| *name).collect();
    if names.len() != sentences.len() {
        faults.push("two sentences have one name".to_owned());
    }
    let words = page.split(|c: char| !c.is_ascii_alphanumeric());
    for word in words.filter(|word| is_name(word) && word.len() < 4) {
        if !names.contains(word) {
            faults.push(format!("there is no sentence {word}"));
        }
    }
    faults
}

#[test]
fn every_sentence_has_something_behind_it_and_every_attack_stands_behind_one() {
    let page = page();
    assert!(sentences(&page).len() > 40, "there are few sentences");
    assert!(tests(&page).len() > 80, "there are few tests");
    let faults = faults(&page);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn whoever_may_do_something_is_said_with_the_sentences_that_hold_him_to_it() {
    let page = page();
    let names: Vec<_> = sentences(&page).iter().map(|(name, _)| *name).collect();
    let (_, table) = page.split_once("\n## Who is who\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    // Two lines are the head.
    let rows: Vec<_> = table.lines().filter_map(cells).skip(1).collect();
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| !row[0].starts_with("--"))
        .collect();
    assert!(rows.len() >= 11, "{} principals", rows.len());
    for row in rows {
        assert_eq!(row.len(), 6, "reads, writes, reaches, stops: {row:?}");
        let held = row[5].split([',', ' ']).filter(|word| is_name(word));
        let held: Vec<_> = held.collect();
        let nothing = row[5] == "nothing";
        assert_ne!(held.is_empty(), !nothing, "{row:?}");
        for name in held {
            assert!(names.contains(&name), "{name} of {row:?}");
        }
    }
}

#[test]
fn a_page_that_names_what_is_not_there_is_told_so() {
    let page = page();
    let told = |from: &str, to: &str| {
        assert!(page.contains(from), "{from}");
        faults(&page.replace(from, to))
    };
    let [test, attack, reference] = [
        told("box_hostile::nothing_that", "box_hostile::anything_that"),
        told("`write-files`", "`write-flies`"),
        told("| A1 |", "| Q1 |"),
    ];
    assert!(test.iter().any(|fault| fault.contains("anything_that")));
    assert!(attack.iter().any(|fault| fault.contains("write-flies")));
    assert!(attack.iter().any(|fault| fault.contains("write-files")));
    assert!(reference.iter().any(|fault| fault.ends_with("sentence A1")));
    assert!(!has_test("fn helper() {}", "helper"));
}
