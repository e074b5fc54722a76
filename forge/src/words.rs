//! What is asked and what is answered, in the same words for every forge.

use crate::error::ForgeError;
use crate::slug::Slug;

/// How many more calls a forge takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls in a period.
    pub limit: u64,
    /// Calls that are left of it.
    pub remaining: u64,
    /// When the next period begins: seconds since 1970.
    pub reset: u64,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// The name that repositories and pull requests have.
    pub login: String,
    /// What the token may do, in the forge's words; `None` where the forge does not tell.
    pub scopes: Option<Vec<String>>,
    /// How many more calls it takes; `None` where the forge does not tell.
    pub rate: Option<Rate>,
}

/// A repository, as whoever has the token sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its name now. It is another than was asked for if the repository was renamed meanwhile.
    pub slug: Slug,
    /// What its owner says of it, at most 300 characters; a stranger's words.
    pub description: String,
    /// The branch that it is read by; empty in a repository without commits.
    pub default_branch: String,
    /// Whether the token may push to it.
    pub may_push: bool,
    /// Whether it may be forked, as far as the forge tells.
    pub may_fork: bool,
    /// Whether nobody may push to it.
    pub archived: bool,
    /// What it is a fork of, where the forge tells.
    pub parent: Option<Slug>,
    /// Whether it is a fork.
    pub fork: bool,
    /// Whether not everybody sees it.
    pub private: bool,
    /// Bytes, roughly, where the forge tells.
    pub size: Option<u64>,
}

/// A page of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The repositories; those that were pushed to last come first.
    pub items: Vec<Repository>,
    /// The number of the next page, if there is one.
    pub next: Option<u32>,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// The commit that it is at.
    pub commit: String,
    /// Whether the forge has rules for who may push to it.
    pub protected: bool,
}

/// The branch that a pull request brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The repository that it is in: the same one, or a fork of it.
    pub slug: Slug,
    /// Its name.
    pub branch: String,
}

impl Head {
    /// As GitHub and Gitea name it in a repository.
    pub(crate) fn at(&self, slug: &Slug) -> String {
        if self.slug.is(slug) {
            self.branch.clone()
        } else {
            format!("{}:{}", self.slug.owner(), self.branch)
        }
    }
}

/// A pull request that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPull {
    /// One line, without any prefix for drafts.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// What it brings.
    pub head: Head,
    /// The branch that it is to be merged into.
    pub base: String,
    /// Whether it is not ready yet.
    pub draft: bool,
}

/// Where a pull request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullState {
    /// It waits.
    Open,
    /// Somebody closed it.
    Closed,
    /// It is in the base.
    Merged,
}

/// A pull request; GitLab calls it a merge request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Its number in the repository.
    pub number: u64,
    /// Where people open it.
    pub url: String,
    /// Its title, as it is there: with whatever prefix makes it a draft.
    pub title: String,
    /// Its body; people may have changed it.
    pub body: String,
    /// Where it stands.
    pub state: PullState,
    /// Whether it is a draft, by the forge's own or by its title.
    pub draft: bool,
    /// The branch that it is to be merged into.
    pub base: String,
    /// The commit that it brings.
    pub commit: String,
    /// How GitHub's GraphQL calls it; empty elsewhere.
    pub(crate) node: String,
}

/// What [`crate::Forge::open_pull`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The pull request.
    pub pull: Pull,
    /// Whether it was open already, so that none was made.
    pub adopted: bool,
}

impl Opened {
    /// One that was made.
    pub(crate) fn made(pull: Pull) -> Self {
        Self {
            pull,
            adopted: false,
        }
    }

    /// The one among these that is open already for a base.
    pub(crate) fn adopted(found: Vec<Pull>, base: &str) -> Option<Self> {
        let open = |pull: &Pull| pull.state == PullState::Open && pull.base == base;
        let pull = found.into_iter().find(open)?;
        Some(Self {
            pull,
            adopted: true,
        })
    }

    /// At a forge that answers 409 where there is one already: the one that was made, or that one
    /// among the earlier, which are asked for only then.
    pub(crate) async fn made_or_adopted(
        made: Result<Pull, ForgeError>,
        earlier: impl Future<Output = Result<Vec<Pull>, ForgeError>>,
        base: &str,
    ) -> Result<Self, ForgeError> {
        match made {
            Ok(pull) => Ok(Self::made(pull)),
            Err(refused @ ForgeError::Refused { status: 409, .. }) => {
                Self::adopted(earlier.await?, base).ok_or(refused)
            }
            Err(error) => Err(error),
        }
    }
}

/// What is to be another in a pull request; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullChange {
    /// The title.
    pub title: Option<String>,
    /// The body.
    pub body: Option<String>,
}

/// How a check of a commit went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// It has not ended.
    Running,
    /// It passed, or does not matter.
    Passed,
    /// It did not.
    Failed,
}

/// A check of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, at most 200 characters.
    pub name: String,
    /// How it went.
    pub state: CheckState,
    /// Where people read more; may be empty.
    pub url: String,
}
