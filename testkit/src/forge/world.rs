//! What the stand-in knows: people, repositories, pull requests. Repositories are real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When everything was made, as far as anybody is told.
pub(super) const MADE: &str = "2024-01-01T00:00:00Z";

/// A token, and whose it is.
#[derive(Clone, Debug, Deserialize)]
pub struct Token {
    /// The token itself.
    pub token: String,
    /// Whose.
    pub login: String,
    /// What `X-OAuth-Scopes` says; without any, as of a fine-grained token, it says nothing.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}

/// A repository that is to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NewRepository {
    /// `owner/name`.
    pub slug: String,
    /// What its owner says of it.
    pub description: String,
    /// Who may push besides the owner.
    pub writers: Vec<String>,
    /// Whether only they see it.
    pub private: bool,
    /// Whether nobody may push.
    pub archived: bool,
    /// Whether nobody may fork it.
    pub no_forks: bool,
    /// Whether pull requests can be no drafts.
    pub no_drafts: bool,
    /// Whether large files (Git LFS) have no place there.
    pub no_large: bool,
    /// Its branch; `main` if empty.
    pub branch: String,
    /// Files of its first commit, by path.
    pub files: BTreeMap<String, String>,
}

/// What becomes of calls that have a method and a piece of path.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// The method; empty for any.
    pub method: String,
    /// What the path has in it; empty for any.
    pub path: String,
    /// How many calls it meets.
    pub times: u32,
    /// The status; 0 lets the call be answered as ever, after the delay.
    pub status: u16,
    /// The body's `message`.
    pub message: String,
    /// More headers.
    pub headers: BTreeMap<String, String>,
    /// How long is waited before.
    pub delay_ms: u64,
    /// Whether what is asked for is done all the same, before the wait.
    pub done: bool,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            method: String::new(),
            path: String::new(),
            times: 1,
            status: 0,
            message: "a fault that was asked for".to_owned(),
            headers: BTreeMap::new(),
            delay_ms: 0,
            done: false,
        }
    }
}

/// A call that was answered.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// Who asked, if a token said so.
    pub login: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// The body, if it was JSON; of a query of GraphQL its name alone.
    pub body: Value,
}

#[derive(Clone, Debug)]
pub(super) struct Repo {
    pub(super) id: u64,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) writers: BTreeSet<String>,
    pub(super) private: bool,
    pub(super) archived: bool,
    pub(super) no_forks: bool,
    pub(super) no_drafts: bool,
    pub(super) no_large: bool,
    pub(super) parent: Option<u64>,
    pub(super) dir: PathBuf,
    pub(super) last_number: u64,
    pub(super) checks: Vec<Value>,
}

#[derive(Clone, Debug)]
pub(super) struct PullRequest {
    pub(super) id: u64,
    pub(super) repo: u64,
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) draft: bool,
    pub(super) open: bool,
    pub(super) merged: bool,
    pub(super) base: String,
    pub(super) head_repo: u64,
    pub(super) head: String,
    pub(super) author: String,
}

#[derive(Clone, Debug)]
pub(super) struct Remark {
    pub(super) id: u64,
    pub(super) repo: u64,
    pub(super) number: u64,
    pub(super) author: String,
    pub(super) body: String,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) root: PathBuf,
    pub(super) tokens: Vec<Token>,
    pub(super) repos: Vec<Repo>,
    pub(super) moved: BTreeMap<String, u64>,
    pub(super) pulls: Vec<PullRequest>,
    pub(super) remarks: Vec<Remark>,
    pub(super) faults: Vec<Fault>,
    pub(super) events: Vec<Event>,
    /// Contents of large files, by their digests.
    pub(super) large: BTreeMap<String, Bytes>,
    pub(super) remaining: u64,
    pub(super) last_id: u64,
}

impl World {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            tokens: Vec::new(),
            repos: Vec::new(),
            moved: BTreeMap::new(),
            pulls: Vec::new(),
            remarks: Vec::new(),
            faults: Vec::new(),
            events: Vec::new(),
            large: BTreeMap::new(),
            remaining: 5000,
            last_id: 100,
        }
    }

    pub(super) fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn add(&mut self, new: &NewRepository) -> io::Result<u64> {
        let (owner, name) = new
            .slug
            .split_once('/')
            .ok_or(io::ErrorKind::InvalidInput)?;
        let id = self.id();
        let dir = self.root.join(format!("{id}.git"));
        let branch = if new.branch.is_empty() {
            "main"
        } else {
            &new.branch
        };
        git(
            &self.root,
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch",
                branch,
                &dir.display().to_string(),
            ],
            None,
        )?;
        for (key, value) in [
            ("http.receivepack", "true"),
            ("uploadpack.allowFilter", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
        ] {
            git(&dir, &["config", key, value], None)?;
        }
        if !new.files.is_empty() {
            let mut stream = format!(
                "commit refs/heads/{branch}\ncommitter A Person <person@example.com> 1700000000 +0000\ndata 5\nfirst\n"
            );
            for (path, content) in &new.files {
                stream.push_str(&format!(
                    "M 100644 inline {path}\ndata {}\n{content}\n",
                    content.len()
                ));
            }
            git(&dir, &["fast-import", "--quiet"], Some(&stream))?;
        }
        self.repos.push(Repo {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            description: new.description.clone(),
            writers: new
                .writers
                .iter()
                .cloned()
                .chain([owner.to_owned()])
                .collect(),
            private: new.private,
            archived: new.archived,
            no_forks: new.no_forks,
            no_drafts: new.no_drafts,
            no_large: new.no_large,
            parent: None,
            dir,
            last_number: 0,
            checks: Vec::new(),
        });
        Ok(id)
    }

    pub(super) fn fork(&mut self, of: u64, owner: &str) -> io::Result<u64> {
        let found = self
            .repos
            .iter()
            .find(|r| r.parent == Some(of) && r.owner == owner);
        if let Some(found) = found {
            return Ok(found.id);
        }
        let parent = self.repo(of).clone();
        let id = self.id();
        let dir = self.root.join(format!("{id}.git"));
        git(
            &self.root,
            &[
                "clone",
                "--quiet",
                "--bare",
                &parent.dir.display().to_string(),
                &dir.display().to_string(),
            ],
            None,
        )?;
        git(&dir, &["config", "http.receivepack", "true"], None)?;
        self.repos.push(Repo {
            id,
            owner: owner.to_owned(),
            writers: [owner.to_owned()].into(),
            archived: false,
            parent: Some(of),
            dir,
            last_number: 0,
            checks: Vec::new(),
            ..parent
        });
        Ok(id)
    }

    pub(super) fn repo(&self, id: u64) -> &Repo {
        self.repos
            .iter()
            .find(|repo| repo.id == id)
            .unwrap_or(&self.repos[0])
    }

    /// A repository by its name now; the flag is set if it once had this name.
    pub(super) fn named(&self, slug: &str) -> Option<(&Repo, bool)> {
        let is_it = |repo: &&Repo| repo.slug().eq_ignore_ascii_case(slug);
        if let Some(repo) = self.repos.iter().find(is_it) {
            return Some((repo, false));
        }
        let id = self.moved.get(&slug.to_ascii_lowercase())?;
        Some((self.repo(*id), true))
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some((owner, name)) = to.split_once('/') else {
            return false;
        };
        let Some(id) = self.named(from).map(|(repo, _)| repo.id) else {
            return false;
        };
        for repo in self.repos.iter_mut().filter(|repo| repo.id == id) {
            (repo.owner, repo.name) = (owner.to_owned(), name.to_owned());
        }
        self.moved.insert(from.to_ascii_lowercase(), id);
        true
    }

    /// The number and the place of a pull request of a head and a base that is open.
    pub(super) fn open(
        &self,
        repo: u64,
        head_repo: u64,
        head: &str,
        base: &str,
    ) -> Option<&PullRequest> {
        self.pulls.iter().find(|p| {
            p.open && p.repo == repo && p.head_repo == head_repo && p.head == head && p.base == base
        })
    }
}

impl Repo {
    pub(super) fn slug(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub(super) fn may_push(&self, login: Option<&str>) -> bool {
        !self.archived && login.is_some_and(|login| self.writers.contains(login))
    }

    pub(super) fn may_see(&self, login: Option<&str>) -> bool {
        !self.private || login.is_some_and(|login| self.writers.contains(login))
    }

    pub(super) fn default_branch(&self) -> String {
        let head = git(&self.dir, &["symbolic-ref", "--short", "HEAD"], None);
        head.unwrap_or_default()
    }

    pub(super) fn commit(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        git(
            &self.dir,
            &[
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &name,
            ],
            None,
        )
        .ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        let refs = git(
            &self.dir,
            &["for-each-ref", "--count=1", "refs/heads"],
            None,
        );
        refs.unwrap_or_default().is_empty()
    }

    /// Commits of one branch of another repository that are not in one of this.
    pub(super) fn ahead(&self, base: &str, of: &Self, head: &str) -> Option<usize> {
        let (base, head) = (self.commit(base)?, of.commit(head)?);
        let counted = git(
            &of.dir,
            &["rev-list", "--count", &head, &format!("^{base}")],
            None,
        );
        counted.ok()?.parse().ok()
    }

    pub(super) fn file(&self, at: &str, path: &str) -> Option<String> {
        let at = self.commit(at).unwrap_or_else(|| at.to_owned());
        git(
            &self.dir,
            &["show", "--end-of-options", &format!("{at}:{path}")],
            None,
        )
        .ok()
    }
}

/// Runs git in a folder; its output without the last line's end.
pub(super) fn git(dir: &Path, words: &[&str], input: Option<&str>) -> io::Result<String> {
    let mut command = Command::new("git");
    command
        .args(words)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
        .env_remove("GIT_DIR")
        .env_remove("GIT_QUARANTINE_PATH")
        .env_remove("GIT_OBJECT_DIRECTORY")
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        io::Write::write_all(&mut stdin, input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("git {words:?}: {said}")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}
