//! `cib watch`: each commit in a box as it is made.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use serde_json::json;

use super::{Context, diff, pr, push, renew};
use crate::args::{Pr, Push, Watch};
use crate::boxes::Found;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::git::{Repository, fetch, helper, refs};
use crate::text;

/// Bytes of one listing that are read.
const LISTING: usize = 2 << 20;

/// Lists the branches each second, with an empty line behind each list.
const LOOK: &str = "cd /workspace; while :; do git for-each-ref --format='%(objectname) %(refname)' refs/heads; echo; sleep 1; done";

pub(super) fn run(context: &Context<'_>, arguments: &Watch) -> Result<u8, Failure> {
    let (engine, found) = context.choose(arguments.which.name.as_deref())?;
    found.running()?;
    let repository = context.repository_of(&found)?;
    let configuration = context.configuration(Vec::new())?;
    let asked = arguments.auto_push || arguments.auto_pr;
    // What was said when the box was made beats what a file says.
    let push = configuration.is("autoPush") && !found.no_push;
    let push = (asked || push) && !arguments.no_push;
    let request = configuration.is("autoCreatePR") && !found.no_pr;
    let watcher = Watcher {
        context,
        engine: &engine,
        found: &found,
        repository: &repository,
        push,
        request: push && (arguments.auto_pr || request),
    };
    context.output.step(&format!(
        "Watching {} of {}; Ctrl-C ends it",
        found.branch, found.name
    ));
    let mut child = found
        .shell(&engine, LOOK, &[])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let outcome = match child.stdout.take() {
        Some(said) => watcher.follow(said, arguments.count),
        None => Ok(()),
    };
    // It may have ended with the box.
    let _ = child.kill();
    let _ = child.wait();
    outcome.map(|()| 0)
}

/// What goes on with a new commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Continue,
    Push,
    Request,
    Exit,
}

struct Watcher<'a> {
    context: &'a Context<'a>,
    engine: &'a Engine,
    found: &'a Found,
    repository: &'a Repository,
    push: bool,
    request: bool,
}

impl Watcher<'_> {
    fn follow(&self, said: impl std::io::Read, count: Option<u64>) -> Result<(), Failure> {
        let mut source = BufReader::new(said);
        let mut listing = Vec::new();
        let mut seen = self.known()?;
        let mut commits = 0;
        let mut told = renew::Told::default();
        loop {
            let begun = listing.len();
            let left = (LISTING - begun) as u64;
            let read = source.by_ref().take(left).read_until(b'\n', &mut listing)?;
            if read == 0 {
                return if listing.len() == LISTING {
                    Err(Failure::failed("the box has too many branches"))
                } else {
                    Err(Failure::failed(format!(
                        "the box {} has ended",
                        self.found.name
                    )))
                };
            }
            if listing[begun..] != *b"\n" {
                continue;
            }
            let own = refs::parse(&listing)
                .branches
                .into_iter()
                .find(|b| b.name == self.found.branch);
            listing.clear();
            told.once(self.context, self.found);
            if own.is_none_or(|branch| branch.id == seen) {
                continue;
            }
            commits += self.told(&seen)?;
            seen = self.known()?;
            match self.choose()? {
                Choice::Continue => {}
                Choice::Push => self.pushed(false)?,
                Choice::Request => self.pushed(true)?,
                Choice::Exit => return Ok(()),
            }
            if count.is_some_and(|count| commits >= count) {
                return Ok(());
            }
        }
    }

    /// The commit that was brought over last, or that the box began with.
    fn known(&self) -> Result<String, Failure> {
        let reference = fetch::reference(&self.found.name, &self.found.branch);
        Ok(self
            .repository
            .commit(&reference)?
            .unwrap_or_else(|| self.found.base.clone()))
    }

    /// Brings new commits over and tells of them; how many there are.
    fn told(&self, old: &str) -> Result<u64, Failure> {
        let output = self.context.output;
        fetch::fetch(
            self.context.around,
            self.repository,
            self.engine,
            self.found,
            false,
            helper::MAX_FETCH_DEFAULT,
        )?;
        let new = self.known()?;
        let range = format!("{old}..{new}");
        let log = self.repository.ask(
            "list commits",
            &[
                "log",
                "--reverse",
                "--no-show-signature",
                "--format=%H%x00%an%x00%s",
                "--end-of-options",
                &range,
            ],
        )?;
        let mut count = 0;
        for line in log.lines() {
            let words: Vec<String> = line.split('\0').map(text::line).collect();
            let [id, author, subject] = &words[..] else {
                continue;
            };
            count += 1;
            let stat = self.repository.ask(
                "measure a commit",
                &[
                    "show",
                    "--no-show-signature",
                    "--no-ext-diff",
                    "--no-textconv",
                    "--format=",
                    "--shortstat",
                    "--end-of-options",
                    id,
                ],
            )?;
            let stat = text::line(stat.trim());
            let value =
                json!({"commit": id, "author": author, "subject": subject, "changes": stat});
            output.result(&value, || {
                format!(
                    "{} {author}: {subject} ({stat})",
                    output.colored("33", id.get(..10).unwrap_or_default())
                )
            });
        }
        let difference = fetch::compare(self.repository, old, &new)?;
        if !output.json {
            if self.context.can_ask {
                let patch =
                    diff::patch(self.context, self.repository, old, &new, &difference, false)?;
                diff::page(self.context, &patch, false);
            } else if !difference.guarded.is_empty() {
                output.warn(diff::guards(self.context, &difference).trim_end());
            }
        }
        Ok(count)
    }

    /// What goes on: as the configuration has it, else as a person says.
    fn choose(&self) -> Result<Choice, Failure> {
        if self.push {
            return Ok(if self.request {
                Choice::Request
            } else {
                Choice::Push
            });
        }
        if !self.context.can_ask {
            return Ok(Choice::Continue);
        }
        let question = "[c]ontinue, [p]ush, push and open a pull [r]equest, [e]xit? ";
        let answer = self.context.ask(question, "--no-input")?;
        Ok(match answer.to_lowercase().as_str() {
            "p" | "push" => Choice::Push,
            "r" | "pr" => Choice::Request,
            "e" | "exit" | "q" => Choice::Exit,
            _ => Choice::Continue,
        })
    }

    /// Pushes; what cannot be pushed is told, and the watch goes on.
    fn pushed(&self, request: bool) -> Result<(), Failure> {
        // It looks at what it has brought over itself, and has a person agree to that and nothing later.
        let arguments = Push::default();
        let (context, found) = (self.context, self.found.clone());
        let outcome = if request {
            let arguments = Pr {
                push: arguments,
                ..Pr::default()
            };
            pr::open(context, self.engine, found, &arguments)
        } else {
            push::push(context, self.engine, found, &arguments, &[]).map(|_| None)
        };
        let url = match outcome {
            Ok(url) => url,
            Err(failure) => {
                context.output.failure(&failure);
                context.output.warn("not pushed: `cib push` tries again");
                return Ok(());
            }
        };
        let (branch, commit) = (&self.found.branch, self.known()?);
        let value = json!({"pushed": commit, "branch": branch, "url": url});
        context.output.result(&value, || match url {
            Some(url) => format!("The pull request of {branch}: {url}"),
            None => format!("Pushed {branch}"),
        });
        Ok(())
    }
}
