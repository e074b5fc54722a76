//! What is done with a commit as it is made: by itself, as the configuration has it, or by a menu.

use std::io::{BufRead as _, BufReader};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cib_testkit::terminal::Terminal;
use cib_testkit::wait::wait_until;

use crate::SOON;
use crate::forge::AtForge;
use crate::stage::{said, spawn};

/// What the tool before called its file.
const FILE: &str = "my repo/claude-run.config.json";

/// A machine with a box at a forge, and how many commits were made in it.
struct Watched {
    at: AtForge,
    commits: u32,
}

impl Watched {
    fn new() -> Self {
        let at = AtForge::new("GITEA_HOST", "GITEA_TOKEN");
        at.good(&["start", "--json", "--branch", "work"]);
        Self { at, commits: 0 }
    }

    /// Has a commit made in the box, and watches until it was told; the commit, and what was said.
    #[track_caller]
    fn commit(&mut self, file: Option<&str>, more: &[&str]) -> (String, String) {
        self.commits += 1;
        let text = format!("commit {}", self.commits);
        let made = self.at.stage.commit_inside("x", &text, &[&text]);
        (made, self.watch(file, more))
    }

    #[track_caller]
    fn watch(&self, file: Option<&str>, more: &[&str]) -> String {
        let path = self.at.stage.at(FILE);
        match file {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => drop(std::fs::remove_file(path)),
        }
        let words = [&["watch", "--json", "--count", "1"][..], more].concat();
        let output = self.at.cib(&words);
        assert!(output.status.success(), "{more:?}: {}", said(&output));
        said(&output)
    }
}

const BOTH: Option<&str> = Some(r#"{"autoPush": true, "autoCreatePR": true}"#);

#[test]
fn auto_push_and_auto_create_pr_do_what_they_say_and_nothing_without_them() {
    let mut box_ = Watched::new();
    // Nobody has said so, or somebody has said no: of a pull request alone nothing is pushed.
    let requests = Some(r#"{"autoPush": false, "autoCreatePR": true}"#);
    for (file, more) in [
        (None, &[][..]),
        (Some("{}"), &[]),
        (requests, &[]),
        (BOTH, &["--no-push"]),
    ] {
        let (_, said) = box_.commit(file, more);
        assert_eq!(box_.at.branch("work"), "", "{file:?} {more:?}: {said}");
    }
    let pushes = Some(r#"{"autoPush": true, "autoCreatePR": false}"#);
    for (file, more) in [(None, &["--auto-push"][..]), (pushes, &[])] {
        let (commit, said) = box_.commit(file, more);
        assert_eq!(box_.at.branch("work"), commit, "{file:?} {more:?}: {said}");
        assert!(said.contains(&format!("\"pushed\":\"{commit}\"")), "{said}");
        assert_eq!(box_.at.pulls(), 0, "{file:?} {more:?}: {said}");
    }
    // One pull request a branch, and whoever watches is told where it is.
    for (file, more) in [(BOTH, &[][..]), (None, &["--auto-pr"]), (BOTH, &[])] {
        let (commit, said) = box_.commit(file, more);
        assert_eq!(box_.at.branch("work"), commit, "{file:?} {more:?}: {said}");
        assert!(said.contains("/me/api/pull/1"), "{said}");
        assert_eq!(box_.at.pulls(), 1, "{file:?} {more:?}: {said}");
    }
    // What acts by itself once it is there is pushed by nobody who was not asked.
    let before = box_.at.branch("work");
    let (at, workflow) = (&box_.at.stage, ".github/workflows/build.yml");
    at.commit_inside(workflow, "on: push\n", &["A workflow"]);
    let said = box_.watch(BOTH, &[]);
    assert!(
        said.contains(workflow) && said.contains("not pushed"),
        "{said}"
    );
    assert_eq!(box_.at.branch("work"), before);
}

#[test]
fn what_was_said_when_a_box_was_made_beats_what_a_file_says_of_pushes() {
    let mut box_ = Watched::new();
    for (branch, flag, pushed) in [("quiet", "--no-push", false), ("asked", "--no-pr", true)] {
        box_.at.good(&["rm", "--force", &name(&box_.at)]);
        std::fs::remove_dir_all(box_.at.stage.at("state/workspace")).unwrap();
        box_.at.good(&["start", "--json", "--branch", branch, flag]);
        let (commit, said) = box_.commit(BOTH, &[]);
        let there = box_.at.branch(branch);
        assert_eq!(there == commit, pushed, "{flag}: {said}");
        assert_eq!(box_.at.pulls(), 0, "{flag}: {said}");
    }
    // And that is beaten by who says otherwise now.
    let (commit, _) = box_.commit(BOTH, &["--auto-pr"]);
    assert_eq!(box_.at.branch("asked"), commit);
    assert_eq!(box_.at.pulls(), 1);
}

fn name(at: &AtForge) -> String {
    let listed = at.good(&["list", "-a", "--json"]);
    listed[0]["name"].as_str().unwrap().to_owned()
}

#[test]
fn the_menu_of_a_commit_goes_on_pushes_opens_a_pull_request_and_ends() {
    let box_ = Watched::new();
    let at = &box_.at;
    let mut script = at.command("script");
    script.env("CIB_PAGER", "cat").env("NO_COLOR", "1");
    let line = format!("'{}' watch", env!("CARGO_BIN_EXE_cib"));
    let mut terminal = Terminal::running(script, &line);
    terminal.shows("Ctrl-C ends it");
    const MENU: &str = "[c]ontinue, [p]ush, push and open a pull [r]equest, [e]xit?";
    let mut commit = |word: &str, count: usize, answer: &str| {
        let made = at.stage.commit_inside(word, &format!("{word}\n"), &[word]);
        // The notice and the difference, then the question.
        terminal.shows(&format!("c: {word} ("));
        terminal.shows(&format!("+{word}"));
        terminal.shows_times(MENU, count);
        terminal.types(answer.as_bytes());
        made
    };
    commit("one", 1, "c\r");
    let two = commit("two", 2, "\r");
    assert_eq!(at.branch("work"), "", "it goes on, and nothing else");
    let three = commit("three", 3, "p\r");
    wait_until(SOON, "the push", || at.branch("work") == three);
    assert_eq!(
        at.stage.git(&["rev-parse", &format!("{three}^")]).trim(),
        two
    );
    let four = commit("four", 4, "r\r");
    wait_until(SOON, "the pull request", || at.pulls() == 1);
    assert_eq!(at.branch("work"), four);
    commit("five", 5, "e\r");
    terminal.shows("/me/api/pull/1");
    terminal.is_done(0);
    assert_eq!((at.branch("work"), at.pulls()), (four, 1));
}

#[test]
fn a_commit_is_told_within_three_seconds() {
    // What else runs on the machine may hold up one of them, but not each.
    const ROUNDS: u32 = 6;
    let box_ = Watched::new();
    let at = &box_.at;
    let mut watch = at.command(env!("CARGO_BIN_EXE_cib"));
    let mut watch = spawn(watch.args(["watch", "--json"]));
    let said = watch.0.as_mut().unwrap().stdout.take().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            let _ = tell.send((line, Instant::now()));
        }
    });
    wait_until(SOON, "the watch", || {
        at.stage.read("state/log").contains("for-each-ref")
    });
    let mut late = Vec::new();
    for round in 0..ROUNDS {
        let made = at.stage.commit_inside("x", &round.to_string(), &["x"]);
        let begun = Instant::now();
        let (line, ended) = told.recv_timeout(SOON).unwrap();
        assert!(line.contains(&made), "{line}");
        let took = ended.saturating_duration_since(begun);
        if took <= Duration::from_secs(3) {
            return;
        }
        late.push(took);
    }
    panic!("{late:?}");
}
