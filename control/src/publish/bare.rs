//! Control's own copy of a repository: bare, whole, fetched with the forge's token.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cib_forge::{ErrorKind, Forge, ForgeError, Slug};
use cib_protocol::task::TaskFault;

use super::git;
use crate::work;

/// How long a repository is fetched for.
const FETCHING: Duration = Duration::from_secs(20 * 60);

/// How long a push to the forge may take.
const PUSHING: Duration = Duration::from_secs(5 * 60);

/// How long what git does by itself may take.
pub const SOON: Duration = Duration::from_secs(60);

/// What could not be done, and of which kind that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its kind.
    pub kind: TaskFault,
    /// What was seen.
    pub detail: String,
}

impl Trouble {
    /// One of a kind.
    pub fn new(kind: TaskFault, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// Whether the same may be done a little later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.kind == TaskFault::ForgeDown
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::TimedOut => TaskFault::ForgeDown,
            _ => TaskFault::Unknown,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ForgeError> for Trouble {
    fn from(error: ForgeError) -> Self {
        let kind = match error.kind() {
            ErrorKind::AuthExpired | ErrorKind::NoRight => TaskFault::NoRight,
            ErrorKind::NotFound => TaskFault::NoRepo,
            ErrorKind::Limited | ErrorKind::ForgeDown => TaskFault::ForgeDown,
            ErrorKind::Refused => TaskFault::PushRefused,
            ErrorKind::Unsupported | ErrorKind::Unknown => TaskFault::Unknown,
        };
        Self::new(kind, error.to_string())
    }
}

/// A repository of control's own.
#[derive(Clone, Debug)]
pub struct Bare {
    /// Where it stands.
    pub path: PathBuf,
    /// The forge that it comes from.
    forge: Arc<Forge>,
    /// Where it is there.
    url: String,
    /// The way there.
    bridge: Option<SocketAddr>,
}

impl Bare {
    /// The one of this name on a forge.
    #[must_use]
    pub fn of(folder: &Path, forge: &Arc<Forge>, slug: &Slug, bridge: Option<SocketAddr>) -> Self {
        // Forges take capital letters for small ones, and a port makes an odd name of a folder.
        let host = forge.host().replace([':', '[', ']'], "_");
        let name = format!("{slug}.git").to_ascii_lowercase();
        Self {
            path: folder.join(host).join(name),
            url: forge.clone_url(slug),
            forge: Arc::clone(forge),
            bridge,
        }
    }

    /// The forge that it comes from.
    #[must_use]
    pub fn forge(&self) -> &Arc<Forge> {
        &self.forge
    }

    /// Whether it was ever fetched.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.join("HEAD").exists()
    }

    /// Fetches it anew, makes it if it is not there, and names its own branch. Branches that the
    /// forge has not any more go, but for `kept`.
    ///
    /// # Errors
    /// What git says.
    pub async fn fetch(&self, default: Option<&str>, kept: &[String]) -> Result<(), Trouble> {
        if !self.exists() {
            self.make().await?;
        }
        let mut words = vec![
            "fetch".to_owned(),
            "--quiet".to_owned(),
            "--prune".to_owned(),
            "--no-tags".to_owned(),
            "--no-write-fetch-head".to_owned(),
            "--".to_owned(),
            self.url.clone(),
            "+refs/heads/*:refs/heads/*".to_owned(),
            "+refs/tags/*:refs/tags/*".to_owned(),
        ];
        words.extend(kept.iter().map(|branch| format!("^refs/heads/{branch}")));
        let mut fetch = git::command(&self.path, &[], words);
        git::open(&mut fetch, &self.forge, &self.url, self.bridge);
        let output = git::run(fetch, FETCHING).await?;
        if !output.is_good() {
            let kind = match output.kind {
                TaskFault::Unknown => TaskFault::CloneFailed,
                kind => kind,
            };
            return Err(Trouble::new(kind, output.complaint));
        }
        if let Some(default) = default {
            let head = format!("refs/heads/{default}");
            self.checked(&["symbolic-ref", "HEAD", &head]).await?;
        }
        Ok(())
    }

    async fn make(&self) -> Result<(), Trouble> {
        let path = self.path.clone();
        let made = work::run(move || {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&path)
        });
        made.await
            .map_err(|fault| Trouble::new(TaskFault::Unknown, fault.detail()))?;
        let words = [
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--initial-branch=main",
        ];
        self.checked(&words).await.map(drop)
    }

    /// Git in it, which has to do what it is asked.
    ///
    /// # Errors
    /// What git says.
    pub async fn checked(&self, words: &[&str]) -> Result<Vec<u8>, Trouble> {
        let output = git::run(git::command(&self.path, &[], words), SOON).await?;
        if output.is_good() {
            Ok(output.stdout)
        } else {
            Err(Trouble::new(TaskFault::Unknown, output.complaint))
        }
    }

    /// Pushes a commit on to the forge, out of the objects that came with a push.
    ///
    /// # Errors
    /// What git and the forge say.
    pub async fn push(
        &self,
        to: &Slug,
        commit: &str,
        branch: &str,
        objects: Option<(&str, &str)>,
    ) -> Result<(), Trouble> {
        let url = self.forge.clone_url(to);
        let what = format!("{commit}:refs/heads/{branch}");
        let words = ["push", "--quiet", "--no-verify", "--", &url, &what];
        let mut push = git::command(&self.path, &[], words);
        git::open(&mut push, &self.forge, &url, self.bridge);
        if let Some((objects, alternates)) = objects {
            push.env("GIT_OBJECT_DIRECTORY", objects)
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternates);
        }
        let output = git::run(push, PUSHING).await?;
        if output.is_good() {
            return Ok(());
        }
        let kind = match output.kind {
            TaskFault::Unknown | TaskFault::NoRepo => TaskFault::PushRefused,
            kind => kind,
        };
        Err(Trouble::new(kind, output.complaint))
    }

    /// Bytes of its objects, roughly.
    ///
    /// # Errors
    /// What git says.
    pub async fn size(&self) -> Result<u64, Trouble> {
        self.count(None).await
    }

    /// Bytes of the objects that came with a push, roughly.
    ///
    /// # Errors
    /// What git says.
    pub async fn size_of(&self, objects: &str) -> Result<u64, Trouble> {
        self.count(Some(objects)).await
    }

    async fn count(&self, objects: Option<&str>) -> Result<u64, Trouble> {
        let mut count = git::command(&self.path, &[], ["count-objects", "-v"]);
        if let Some(objects) = objects {
            count.env("GIT_OBJECT_DIRECTORY", objects);
        }
        let output = git::run(count, SOON).await?;
        if !output.is_good() {
            return Err(Trouble::new(TaskFault::Unknown, output.complaint));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let kibibytes = text
            .lines()
            .filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                matches!(name, "size" | "size-pack").then(|| value.parse::<u64>().ok())?
            })
            .fold(0_u64, u64::saturating_add);
        Ok(kibibytes.saturating_mul(1024))
    }

    /// The commit that a branch is at, if it is there.
    ///
    /// # Errors
    /// What git says.
    pub async fn at(&self, branch: &str) -> Result<Option<String>, Trouble> {
        let name = format!("refs/heads/{branch}");
        let words = ["rev-parse", "--quiet", "--verify", &name];
        let output = git::run(git::command(&self.path, &[], words), SOON).await?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.is_good() && !text.is_empty()).then_some(text))
    }
}
