//! One forge, and everything that is asked of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cib_https::{Body, Client};
use cib_protocol::forge::{ForgeAccount, ForgeKind};
use cib_protocol::secret::Secret;
use serde_json::{Value, json};

use crate::call::Line;
use crate::error::ForgeError;
use crate::large::{Lacking, LargeFile, Store};
use crate::slug::Slug;
use crate::words::{
    Branch, Check, Head, Listed, Me, NewPull, Opened, Pull, PullChange, Rate, Repository,
};
use crate::{gitea, github, gitlab};

/// How long a fork may take until it can be fetched.
const FORKING: Duration = Duration::from_secs(60);

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(2);

/// How long a list of the token's own repositories is searched before it is asked for again.
const FRESH: Duration = Duration::from_secs(60);

/// Pages of them, at most.
const PAGES: u32 = 10;

/// Bytes of a file, at most.
const FILE: usize = 256 << 10;

/// A forge that the box has an account at, or at which it is a stranger.
///
/// Every call takes as long as the client's patience at most, and [`Forge::fork`] a minute. A call
/// is made once: whether and when to try again is for whoever asked, by
/// [`ForgeError::is_passing`] and [`ForgeError::retry_at`]. While a forge has said that it takes
/// no calls, none is made. Of calls that change something one is made at a time.
#[derive(Debug)]
pub struct Forge {
    line: Line,
    url: String,
    own: Mutex<Option<(Instant, Arc<[Repository]>)>>,
}

impl Forge {
    /// By an account; `None` if its address is none of `http` or `https` with a host alone.
    #[must_use]
    pub fn new(account: &ForgeAccount, https: Arc<Client>) -> Option<Self> {
        let url = account.url.trim_end_matches('/');
        let (scheme, host) = url.split_once("://")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
        if !matches!(scheme, "http" | "https") || host.is_empty() || !host.chars().all(fits) {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let url = format!("{scheme}://{host}");
        let (origin, base) = match account.kind {
            ForgeKind::GitHub => github::api(scheme, &host),
            ForgeKind::GitLab => (url.clone(), gitlab::BASE),
            ForgeKind::Gitea => (url.clone(), gitea::BASE),
            ForgeKind::Git => (url.clone(), ""),
        };
        let token = account.token.clone();
        Some(Self {
            line: Line::new(account.kind, host, origin, base, token, https),
            url,
            own: Mutex::default(),
        })
    }

    /// Whose API it speaks.
    #[must_use]
    pub fn kind(&self) -> ForgeKind {
        self.line.kind
    }

    /// Its name, with the port if it has one of its own: `github.com`, `127.0.0.1:8000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.line.host
    }

    /// Whether there is a token.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.line.token.is_some()
    }

    /// User name and token for git over HTTP. Whoever takes them answers for where they go: to
    /// git that runs as the box's own user, by a helper or its environment, never by an argument.
    #[must_use]
    pub fn credential(&self) -> Option<(&'static str, &Secret)> {
        Some((self.user(), self.line.token.as_ref()?))
    }

    fn user(&self) -> &'static str {
        match self.kind() {
            ForgeKind::GitLab => "oauth2",
            _ => "x-access-token",
        }
    }

    /// How many more calls it takes, as it said with its last answer.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.line.rate()
    }

    /// Where git fetches a repository; without a credential in it.
    #[must_use]
    pub fn clone_url(&self, slug: &Slug) -> String {
        format!("{}/{slug}.git", self.url)
    }

    /// Which of these large files (Git LFS) a repository's store lacks.
    ///
    /// # Errors
    /// A [`ForgeError`]; also that there is no such store.
    pub async fn lacking(
        &self,
        slug: &Slug,
        files: &[LargeFile],
    ) -> Result<Vec<Lacking>, ForgeError> {
        self.store(slug).lacking(files).await
    }

    /// Gives it the content of one.
    ///
    /// # Errors
    /// A [`ForgeError`]; also that the content breaks off.
    pub async fn give(
        &self,
        slug: &Slug,
        lacking: Lacking,
        content: Body,
    ) -> Result<(), ForgeError> {
        self.store(slug).give(lacking, content).await
    }

    /// Where the large files of a repository are.
    pub(crate) fn store(&self, slug: &Slug) -> Store<'_> {
        Store {
            line: &self.line,
            forge: &self.url,
            url: self.clone_url(slug),
            user: self.user(),
        }
    }

    /// Where people open a repository.
    #[must_use]
    pub fn page(&self, slug: &Slug) -> String {
        format!("{}/{slug}", self.url)
    }

    /// Where people see what a branch of the same repository would bring into its base.
    #[must_use]
    pub fn compare_page(&self, slug: &Slug, base: &str, branch: &str) -> Option<String> {
        let (page, base, branch) = (
            self.page(slug),
            github::encoded(base),
            github::encoded(branch),
        );
        match self.kind() {
            ForgeKind::GitHub | ForgeKind::Gitea => {
                Some(format!("{page}/compare/{base}...{branch}"))
            }
            ForgeKind::GitLab => Some(format!("{page}/-/compare/{base}...{branch}")),
            ForgeKind::Git => None,
        }
    }

    /// Whose the token is, what it may do, and how many more calls the forge takes.
    ///
    /// # Errors
    /// A [`ForgeError`], as from every call.
    pub async fn me(&self) -> Result<Me, ForgeError> {
        let line = &self.line;
        match self.kind() {
            ForgeKind::GitHub => github::me(line).await,
            ForgeKind::GitLab => gitlab::me(line).await,
            ForgeKind::Gitea => gitea::me(line).await,
            ForgeKind::Git => self.lacks("accounts"),
        }
    }

    /// Repositories, 100 a page at most; pages count from 1. Without a query those of the token's
    /// own, of its organisations and those that it works on; with one those of them that have it
    /// in their name or description, and only where there is none what the forge's search finds.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn repositories(&self, query: &str, page: u32) -> Result<Listed, ForgeError> {
        let (line, query, page) = (&self.line, query.trim(), page.max(1));
        match self.kind() {
            ForgeKind::GitHub | ForgeKind::Gitea if query.is_empty() => self.own_page(page).await,
            ForgeKind::GitHub | ForgeKind::Gitea => {
                let has = |text: &str| text.to_lowercase().contains(&query.to_lowercase());
                let is_meant =
                    |one: &&Repository| has(&one.slug.to_string()) || has(&one.description);
                let own = if self.has_token() {
                    self.own().await?
                } else {
                    Arc::from([])
                };
                let items: Vec<_> = own.iter().filter(is_meant).take(100).cloned().collect();
                if !items.is_empty() {
                    let next = None;
                    return Ok(Listed { items, next });
                }
                match self.kind() {
                    ForgeKind::GitHub => github::search(line, query, page).await,
                    _ => gitea::search(line, query, page).await,
                }
            }
            ForgeKind::GitLab => gitlab::list(line, query, page).await,
            ForgeKind::Git => self.lacks("list of repositories"),
        }
    }

    /// Repositories of the account's own, of its organisations and those that it works on, as many
    /// as are looked through: nothing that only a search of the forge would find.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn own_repositories(&self) -> Result<Arc<[Repository]>, ForgeError> {
        match self.kind() {
            ForgeKind::Git => self.lacks("list of repositories"),
            _ if !self.has_token() => Ok(Arc::from([])),
            _ => self.own().await,
        }
    }

    async fn own_page(&self, page: u32) -> Result<Listed, ForgeError> {
        match self.kind() {
            ForgeKind::GitLab => gitlab::list(&self.line, "", page).await,
            ForgeKind::GitHub => github::own(&self.line, page).await,
            _ => gitea::own(&self.line, page).await,
        }
    }

    /// The token's repositories, as many as are looked through.
    async fn own(&self) -> Result<Arc<[Repository]>, ForgeError> {
        let kept = self
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, kept)) = kept.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(kept);
        }
        let mut all = Vec::new();
        let mut next = Some(1);
        while let Some(page) = next.filter(|page| *page <= PAGES) {
            let listed = self.own_page(page).await?;
            all.extend(listed.items);
            next = listed.next;
        }
        let all: Arc<[Repository]> = all.into();
        let kept = (Instant::now(), Arc::clone(&all));
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(all)
    }

    /// A repository. After a rename the old name leads to it, and the answer has the new one.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn repository(&self, slug: &Slug) -> Result<Repository, ForgeError> {
        match self.kind() {
            ForgeKind::GitHub | ForgeKind::Gitea => github::repository(&self.line, slug).await,
            ForgeKind::GitLab => gitlab::repository(&self.line, slug).await,
            ForgeKind::Git => self.lacks("description of repositories"),
        }
    }

    /// A branch.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn branch(&self, slug: &Slug, name: &str) -> Result<Branch, ForgeError> {
        match self.kind() {
            ForgeKind::GitHub => github::branch(&self.line, slug, name).await,
            ForgeKind::GitLab => gitlab::branch(&self.line, slug, name).await,
            ForgeKind::Gitea => gitea::branch(&self.line, slug, name).await,
            ForgeKind::Git => self.lacks("description of branches"),
        }
    }

    /// Every pull request of `slug` that brings a branch, whatever became of it; the newest first.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn pulls_of(&self, slug: &Slug, head: &Head) -> Result<Vec<Pull>, ForgeError> {
        match self.kind() {
            ForgeKind::GitHub => github::pulls_of(&self.line, slug, head).await,
            ForgeKind::GitLab => gitlab::pulls_of(&self.line, slug, head).await,
            ForgeKind::Gitea => gitea::pulls_of(&self.line, slug, head).await,
            ForgeKind::Git => Ok(Vec::new()),
        }
    }

    /// A pull request as it is now.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn pull(&self, slug: &Slug, number: u64) -> Result<Pull, ForgeError> {
        match self.kind() {
            ForgeKind::GitHub => github::pull(&self.line, slug, number).await,
            ForgeKind::GitLab => gitlab::pull(&self.line, slug, number).await,
            ForgeKind::Gitea => gitea::pull(&self.line, slug, number).await,
            ForgeKind::Git => self.lacks("pull requests"),
        }
    }

    /// Opens a pull request into `slug`, or finds the one that is open for the same head and base
    /// already. Where there are no drafts, a title says that it is not ready: `[WIP] ` at GitHub,
    /// `Draft: ` at GitLab, `WIP: ` at Gitea.
    ///
    /// # Errors
    /// A [`ForgeError`]; [`ForgeError::NoCommits`] if nothing differs.
    pub async fn open_pull(&self, slug: &Slug, new: &NewPull) -> Result<Opened, ForgeError> {
        match self.kind() {
            ForgeKind::GitHub => github::open_pull(&self.line, slug, new).await,
            ForgeKind::GitLab => gitlab::open_pull(&self.line, slug, new).await,
            ForgeKind::Gitea => gitea::open_pull(&self.line, slug, new).await,
            ForgeKind::Git => self.lacks("pull requests"),
        }
    }

    /// Changes title or body. A title is as people see it: with its prefix, if it has one.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn change_pull(
        &self,
        slug: &Slug,
        number: u64,
        change: &PullChange,
    ) -> Result<Pull, ForgeError> {
        let mut body = github::change(change);
        if self.kind() == ForgeKind::GitLab
            && let Some(text) = body.as_object_mut().and_then(|body| body.remove("body"))
        {
            body["description"] = text;
        }
        self.patch(slug, number, &body).await
    }

    async fn patch(&self, slug: &Slug, number: u64, body: &Value) -> Result<Pull, ForgeError> {
        match self.kind() {
            ForgeKind::GitHub => github::change_pull(&self.line, slug, number, body).await,
            ForgeKind::GitLab => gitlab::change_pull(&self.line, slug, number, body).await,
            ForgeKind::Gitea => gitea::change_pull(&self.line, slug, number, body).await,
            ForgeKind::Git => self.lacks("pull requests"),
        }
    }

    /// Says that a pull request is ready for review; one that is already stays as it is.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn ready(&self, slug: &Slug, number: u64) -> Result<(), ForgeError> {
        let pull = self.pull(slug, number).await?;
        if !pull.draft {
            return Ok(());
        }
        let prefixes: &[&str] = match self.kind() {
            ForgeKind::GitHub => &[github::WIP],
            ForgeKind::GitLab => &[gitlab::DRAFT, "[Draft] ", "(Draft) "],
            _ => &[gitea::DRAFT, github::WIP],
        };
        let plain = prefixes
            .iter()
            .find_map(|prefix| pull.title.strip_prefix(prefix));
        match plain {
            Some(title) => self
                .patch(slug, number, &json!({"title": title}))
                .await
                .map(drop),
            None if self.kind() == ForgeKind::GitHub => github::mark_ready(&self.line, &pull).await,
            None => self.lacks("way to make this draft ready"),
        }
    }

    /// Closes a pull request without merging it.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn close_pull(&self, slug: &Slug, number: u64) -> Result<(), ForgeError> {
        let body = match self.kind() {
            ForgeKind::GitLab => json!({"state_event": "close"}),
            _ => json!({"state": "closed"}),
        };
        self.patch(slug, number, &body).await.map(drop)
    }

    /// Comments on a pull request; the answer is the comment's id.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn comment(&self, slug: &Slug, number: u64, body: &str) -> Result<u64, ForgeError> {
        match self.kind() {
            ForgeKind::GitHub | ForgeKind::Gitea => {
                github::comment(&self.line, slug, number, body).await
            }
            ForgeKind::GitLab => gitlab::comment(&self.line, slug, number, body).await,
            ForgeKind::Git => self.lacks("pull requests"),
        }
    }

    /// Changes a comment on a pull request.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn change_comment(
        &self,
        slug: &Slug,
        number: u64,
        comment: u64,
        body: &str,
    ) -> Result<(), ForgeError> {
        match self.kind() {
            ForgeKind::GitHub | ForgeKind::Gitea => {
                github::change_comment(&self.line, slug, comment, body).await
            }
            ForgeKind::GitLab => {
                gitlab::change_comment(&self.line, slug, number, comment, body).await
            }
            ForgeKind::Git => self.lacks("pull requests"),
        }
    }

    /// Forks a repository to whoever has the token, or finds the fork that is there, and waits
    /// until it can be fetched, a minute at most.
    ///
    /// # Errors
    /// A [`ForgeError`]; [`ForgeError::Unfinished`] after that minute.
    pub async fn fork(&self, slug: &Slug) -> Result<Repository, ForgeError> {
        let fork = match self.kind() {
            ForgeKind::GitHub => github::fork(&self.line, slug).await?,
            ForgeKind::GitLab => gitlab::fork(&self.line, slug).await?,
            ForgeKind::Gitea => gitea::fork(&self.line, slug).await?,
            ForgeKind::Git => return self.lacks("forks"),
        };
        let url = self.clone_url(&fork.slug);
        let until = Instant::now() + FORKING;
        while !self.line.is_fetchable(&url, self.user()).await {
            if Instant::now() + LOOK > until {
                return Err(ForgeError::Unfinished {
                    host: self.host().to_owned(),
                    what: "the fork",
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(fork)
    }

    /// Brings a fork's branch to where the branch of what it was forked from is. A forge does so
    /// only if nothing is lost.
    ///
    /// # Errors
    /// A [`ForgeError`]; [`crate::ErrorKind::Refused`] if something would be.
    pub async fn merge_upstream(&self, fork: &Slug, branch: &str) -> Result<(), ForgeError> {
        match self.kind() {
            ForgeKind::GitHub | ForgeKind::Gitea => {
                github::merge_upstream(&self.line, fork, branch).await
            }
            _ => self.lacks("way to update a fork"),
        }
    }

    /// The checks of a commit, 100 at most.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn checks(&self, slug: &Slug, commit: &str) -> Result<Vec<Check>, ForgeError> {
        let commit = github::encoded(commit);
        match self.kind() {
            ForgeKind::GitHub => github::checks(&self.line, slug, &commit).await,
            ForgeKind::GitLab => gitlab::checks(&self.line, slug, &commit).await,
            ForgeKind::Gitea => gitea::checks(&self.line, slug, &commit).await,
            ForgeKind::Git => Ok(Vec::new()),
        }
    }

    /// A file of a repository at a branch or commit, as text: 256 KiB of it at most. A path has no
    /// `.` or `..` in it.
    ///
    /// # Errors
    /// A [`ForgeError`].
    pub async fn file(&self, slug: &Slug, path: &str, at: &str) -> Result<String, ForgeError> {
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.is_empty() || parts.iter().any(|part| matches!(*part, "." | "..")) {
            return Err(ForgeError::NotFound {
                host: self.host().to_owned(),
                what: "such file".to_owned(),
            });
        }
        let parts: Vec<_> = parts.into_iter().map(github::encoded).collect();
        let path = parts.join("/");
        let mut bytes = match self.kind() {
            ForgeKind::GitHub => github::file(&self.line, slug, &path, at).await?,
            ForgeKind::GitLab => gitlab::file(&self.line, slug, &path, at).await?,
            ForgeKind::Gitea => gitea::file(&self.line, slug, &path, at).await?,
            ForgeKind::Git => return self.lacks("way to read a file"),
        };
        bytes.truncate(FILE);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn lacks<T>(&self, what: &'static str) -> Result<T, ForgeError> {
        Err(ForgeError::Unsupported {
            kind: self.kind(),
            what,
        })
    }
}
