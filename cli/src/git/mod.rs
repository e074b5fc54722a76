//! The repository on this machine, by the person's own `git`.
//!
//! What came from a box is only ever an object: it is fetched with every check on, becomes a
//! ref, and is compared between commits. No hook, filter, driver or command that a box could
//! have configured runs here.

pub mod fetch;
pub mod guards;
pub mod helper;
pub mod lfs;
pub mod pack;
pub mod refs;
pub mod snapshot;
pub mod submodules;
pub mod work;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::failure::{Exit, Failure};
use crate::process::{self, Ran, RunError};
use crate::surroundings::Surroundings;

/// The oldest git whose options are used here.
const OLDEST: (u32, u32) = (2, 31);

/// How long a local command may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Variables that would make git look at another repository than the one in its folder:
/// `git rev-parse --local-env-vars`.
const LOCAL: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_EXTERNAL_DIFF",
];

/// A repository with a working tree.
#[derive(Clone, Debug)]
pub struct Repository {
    program: PathBuf,
    /// The top of its working tree.
    pub top: PathBuf,
    /// The folder that all its working trees share.
    pub common: PathBuf,
}

/// Why git did not do something.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("git is not installed")]
    Missing,
    /// It is too old.
    #[error("git is {0}, and 2.31 is needed")]
    Old(String),
    /// The folder is in no repository.
    #[error("{} is in no Git repository", .0.display())]
    NoRepository(PathBuf),
    /// It says no.
    #[error("git cannot {what}: {said}")]
    Refused {
        /// What was asked of it.
        what: String,
        /// What it said.
        said: String,
    },
    /// It was not run to its end.
    #[error("git did not {what}")]
    NotRun {
        /// What was asked of it.
        what: String,
        /// Why.
        #[source]
        source: RunError,
    },
    /// A branch has a name that is not used here.
    #[error("`{}` is no name of a branch that is used here", crate::text::line(.0))]
    Name(String),
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        let remedy = match &error {
            GitError::Missing => "install git",
            GitError::Old(_) => "install a newer git",
            GitError::NoRepository(_) => "go to a repository, or make one: git init",
            GitError::Name(_) => {
                "letters, digits, `.`, `_`, `/` and `-`, as git check-ref-format has it"
            }
            _ => return Self::failed(error),
        };
        let exit = match error {
            GitError::Name(_) => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, error).remedy(remedy)
    }
}

/// The person's git, if it is new enough: its path and version.
///
/// # Errors
/// There is none, or it is too old.
pub fn program(around: &Surroundings) -> Result<(PathBuf, String), GitError> {
    let program = around.program("git").ok_or(GitError::Missing)?;
    let ran = process::run(Command::new(&program).arg("version"), b"", PATIENCE);
    let ran = ran.map_err(|source| GitError::NotRun {
        what: "say its version".to_owned(),
        source,
    })?;
    let version = crate::text::line(ran.text().trim_start_matches("git version "));
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        return Err(GitError::Old(version));
    }
    Ok((program, version))
}

impl Repository {
    /// The repository that a folder is in.
    ///
    /// # Errors
    /// There is none, or no git.
    pub fn find(around: &Surroundings, folder: &Path) -> Result<Self, GitError> {
        let (program, _) = program(around)?;
        let mut repository = Self {
            program,
            top: folder.to_owned(),
            common: PathBuf::new(),
        };
        let ran = repository.run("find the repository", &["rev-parse", "--show-toplevel"])?;
        if !ran.good() {
            return Err(GitError::NoRepository(folder.to_owned()));
        }
        repository.top = path(&ran);
        let ran = repository.run(
            "find the repository",
            &["rev-parse", "--path-format=absolute", "--git-common-dir"],
        )?;
        let common = path(&good("find the repository", ran)?);
        repository.common = common.canonicalize().unwrap_or(common);
        Ok(repository)
    }

    /// What a box is recognised by as one of this repository, whatever working tree: a digest of
    /// where its shared folder is.
    #[must_use]
    pub fn id(&self) -> String {
        cib_base::hex::encode(&Sha256::digest(self.common.as_os_str().as_bytes()))
    }

    /// git, in the working tree.
    #[must_use]
    pub fn git(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.top);
        for name in LOCAL {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
        command
    }

    /// Runs git, whatever comes of it.
    ///
    /// # Errors
    /// It is not run to its end.
    pub fn run<S: AsRef<OsStr>>(&self, what: &str, arguments: &[S]) -> Result<Ran, GitError> {
        run(what, self.git().args(arguments), b"")
    }

    /// Runs git, which has to succeed, and returns what it said.
    ///
    /// # Errors
    /// It is not run to its end, or says no.
    pub fn ask<S: AsRef<OsStr>>(&self, what: &str, arguments: &[S]) -> Result<String, GitError> {
        let ran = self.run(what, arguments)?;
        Ok(good(what, ran)?.text())
    }

    /// The branch that is checked out; none if `HEAD` is detached.
    ///
    /// # Errors
    /// git is not run to its end.
    pub fn branch(&self) -> Result<Option<String>, GitError> {
        let ran = self.run(
            "find the branch",
            &["symbolic-ref", "--quiet", "--short", "HEAD"],
        )?;
        Ok(Some(ran.text()).filter(|name| ran.good() && refs::is_usable(name)))
    }

    /// A value of its configuration.
    ///
    /// # Errors
    /// git is not run to its end.
    pub fn configured(&self, name: &str) -> Result<Option<String>, GitError> {
        let ran = self.run("read its configuration", &["config", "--get", name])?;
        Ok(Some(ran.text()).filter(|value| ran.good() && !value.is_empty()))
    }

    /// The commit that a name stands for, if it does.
    ///
    /// # Errors
    /// git is not run to its end.
    pub fn commit(&self, name: &str) -> Result<Option<String>, GitError> {
        let name = format!("{name}^{{commit}}");
        let arguments = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ];
        let ran = self.run("look up a commit", &arguments)?;
        let text = ran.text();
        let id = text.lines().last().unwrap_or_default();
        Ok(Some(id.to_owned()).filter(|id| ran.good() && refs::is_id(id)))
    }

    /// Whether some ref here reaches a commit, so that it is not lost with a box.
    ///
    /// # Errors
    /// git is not run to its end.
    pub fn has(&self, commit: &str) -> Result<bool, GitError> {
        let contains = format!("--contains={commit}");
        let ran = self.run(
            "look for a commit",
            &["for-each-ref", "--count=1", "--format=1", &contains],
        )?;
        Ok(ran.good() && !ran.stdout.is_empty())
    }

    /// Where pushes of a branch would go: what git has been told, else `origin`, else the only
    /// remote.
    ///
    /// # Errors
    /// git is not run to its end.
    pub fn remote(&self) -> Result<Option<String>, GitError> {
        if let Some(name) = self.configured("remote.pushDefault")? {
            return Ok(Some(name));
        }
        let remotes = self.ask("list its remotes", &["remote"])?;
        let names: Vec<&str> = remotes.lines().collect();
        let name = if names.contains(&"origin") {
            Some("origin")
        } else if names.len() == 1 {
            names.first().copied()
        } else {
            None
        };
        Ok(name.map(str::to_owned))
    }

    /// Whether the working tree is as its commit, files that git does not know aside.
    ///
    /// # Errors
    /// git says no.
    pub fn is_clean(&self) -> Result<bool, GitError> {
        let status = self.ask(
            "look at the working tree",
            &["status", "--porcelain", "--untracked-files=no"],
        )?;
        Ok(status.is_empty())
    }
}

/// A path that git has printed.
fn path(ran: &Ran) -> PathBuf {
    let bytes = ran.stdout.strip_suffix(b"\n").unwrap_or(&ran.stdout);
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Runs a git, whatever comes of it.
///
/// # Errors
/// It is not run to its end.
pub fn run(what: &str, command: &mut Command, input: &[u8]) -> Result<Ran, GitError> {
    process::run(command, input, PATIENCE).map_err(|source| GitError::NotRun {
        what: what.to_owned(),
        source,
    })
}

/// What a git came to that has to have succeeded.
///
/// # Errors
/// It did not.
pub fn good(what: &str, ran: Ran) -> Result<Ran, GitError> {
    if ran.good() {
        return Ok(ran);
    }
    Err(GitError::Refused {
        what: what.to_owned(),
        said: ran.complaint(),
    })
}
