//! Forges: what the box asks of GitHub, GitLab and Gitea, and the part of a pull request that is
//! the box's.
//!
//! A [`Forges`] holds the accounts of the box, by host; a [`Forge`] is one of them, and its
//! methods are the calls. Tokens stay in here: they are in no error, no log and no answer, and
//! [`Forge::credential`] gives them to the one who runs git as the box's own user.
//!
//! Whoever answers is a stranger: answers are read up to a size, field by field, and what they say
//! in words is cut short. A [`body`] is made of what the agent said, so nothing in it calls a
//! person or closes an issue.
#![forbid(unsafe_code)]

pub mod body;
mod call;
mod error;
mod forge;
mod forges;
mod gitea;
mod github;
mod gitlab;
mod json;
mod large;
mod slug;
mod words;

pub use error::{ErrorKind, ForgeError};
pub use forge::Forge;
pub use forges::{Forges, ForgesFault};
pub use large::{Lacking, LargeFile};
pub use slug::{BadSlug, Slug};
pub use words::{
    Branch, Check, CheckState, Head, Listed, Me, NewPull, Opened, Pull, PullChange, PullState,
    Rate, Repository,
};
