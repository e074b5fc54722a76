//! The repository into a box: by git, into the box's volume, before the box starts.

use std::process::{Command, Stdio};

use super::Context;
use crate::boxes::aside;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::git::lfs::{self, Pointer};
use crate::git::snapshot::{Snapshot, SnapshotError};
use crate::git::submodules::{self, Submodule};
use crate::git::{self, Repository};
use crate::text;

/// Where pushes of the box's would go: nowhere, with an address that says why.
const NO_PUSH: &str = "cib://push-from-the-host";

/// Makes the repository, in which no branch is checked out, and takes a push. `$1` is its path
/// below the workspace.
const RECEIVE: &str = r#"set -e; mkdir -p "/workspace/$1"; cd "/workspace/$1"; git init --quiet --initial-branch=cib-unborn .; git config receive.shallowUpdate true; git receive-pack .
"#;

/// What is said when all of a script was done: git does not tell how what it pushed to has ended.
const DONE: &str = "cib: unpacked";

/// Makes of what was pushed what it was outside: below `$1`, on the branch `$2` or at the commit
/// that came as `refs/cib/head`. Large files stay pointers: their content has come by itself.
const UNPACK: &str = r#"set -e
cd "/workspace/$1"
export GIT_AUTHOR_NAME=cib GIT_AUTHOR_EMAIL=cib@localhost GIT_COMMITTER_NAME=cib GIT_COMMITTER_EMAIL=cib@localhost GIT_LFS_SKIP_SMUDGE=1
if [ -n "$2" ]; then
  git symbolic-ref HEAD "refs/heads/$2"
else
  git update-ref --no-deref HEAD "$(git rev-parse refs/cib/head)"
  git update-ref -d refs/cib/head
fi
git -c checkout.workers=0 reset --quiet --hard
if [ "$4" = work ]; then
  git stash apply --quiet --index refs/cib/wip
  git update-ref -d refs/cib/wip
fi
if [ -n "$3" ]; then
  git remote add origin "$3"
  git remote set-url --push origin "$5"
fi
"#;

/// Makes submodules of repositories that lie below another.
const ABSORB: &str = r#"set -e
cd "/workspace/$1"
shift
git submodule --quiet init -- "$@"
git submodule --quiet absorbgitdirs -- "$@"
"#;

/// Takes the contents of large files, and puts them in their place if git there knows how.
const LARGE: &str = r#"set -e
cd /workspace
mkdir -p .git/lfs/objects
tar -x --no-same-owner -C .git/lfs/objects -f -
if git lfs version >/dev/null 2>&1; then
  git lfs install --local --skip-repo >/dev/null
  git lfs checkout >/dev/null
else
  echo pointers
fi
"#;

/// A submodule with its snapshot.
#[derive(Debug)]
pub(super) struct Part {
    /// The submodule.
    pub submodule: Submodule,
    /// Its snapshot.
    pub snapshot: Snapshot,
    /// Its branch here, if it is on one.
    pub branch: Option<String>,
}

/// Everything that is copied.
#[derive(Debug)]
pub(super) struct Load {
    /// The snapshot of the working tree.
    pub snapshot: Snapshot,
    /// The submodules that were checked out.
    pub parts: Vec<Part>,
    /// Large files whose content is here.
    pub large: Vec<Pointer>,
}

impl Load {
    /// Looks at everything, and takes the snapshots.
    pub(super) fn take(
        context: &Context<'_>,
        repository: &Repository,
        untracked: bool,
        large: bool,
    ) -> Result<Self, Failure> {
        let snapshot = Snapshot::take(repository, untracked, large)?;
        let found = submodules::of(context.around, repository)?;
        for line in &found.refused {
            context
                .output
                .warn(&format!("a submodule stays outside: {line}"));
        }
        let mut parts = Vec::new();
        for submodule in found.all {
            let snapshot = match Snapshot::take(&submodule.repository, untracked, large) {
                Err(SnapshotError::Unborn) => continue,
                other => other?,
            };
            let branch = submodule.repository.branch()?;
            parts.push(Part {
                submodule,
                snapshot,
                branch,
            });
        }
        let large = lfs::of_snapshot(repository, &snapshot)?;
        Ok(Self {
            snapshot,
            parts,
            large,
        })
    }
}

/// What goes into a box.
#[derive(Debug)]
pub(super) struct Origin {
    /// What is copied.
    pub load: Load,
    /// The commit that the box begins with.
    pub commit: String,
    /// Its branch in the box.
    pub branch: String,
    /// The remote here that the branch is pushed to.
    pub remote: Option<String>,
}

impl Origin {
    /// Whether the box begins with the commit that was looked at.
    fn is_here(&self) -> bool {
        self.commit == self.load.snapshot.head
    }

    /// Whether uncommitted work comes along: only with the commit that it is work on.
    pub(super) fn with_work(&self) -> Option<&str> {
        let work = self.load.snapshot.work.as_deref();
        work.filter(|_| self.is_here())
    }

    /// The tree that the box begins with.
    pub(super) fn tree(&self, repository: &Repository) -> Result<String, Failure> {
        if self.is_here() {
            return Ok(self.load.snapshot.tree.clone());
        }
        let tree = format!("{}^{{tree}}", self.commit);
        Ok(repository.ask("read a commit", &["rev-parse", &tree])?)
    }
}

/// One repository on its way into a box.
struct Parcel<'a> {
    repository: &'a Repository,
    snapshot: &'a Snapshot,
    /// Below the workspace.
    path: &'a str,
    commit: &'a str,
    branch: Option<&'a str>,
    work: Option<&'a str>,
    remote: Option<&'a str>,
}

/// Where it goes.
struct Target<'a> {
    engine: &'a Engine,
    image: &'a str,
    volume: String,
}

impl Target<'_> {
    /// A script in a container beside the box.
    fn script<'a>(&'a self, script: &'a str, words: &[&'a str]) -> Vec<&'a str> {
        let mut all = aside(&[&self.volume]);
        all.extend(["sh", self.image, "-c", script, "sh"]);
        all.extend(words);
        all
    }

    fn put(&self, parcel: &Parcel<'_>) -> Result<(), Failure> {
        let target = match parcel.branch {
            Some(branch) => format!("refs/heads/{branch}"),
            None => "refs/cib/head".to_owned(),
        };
        let mut refspecs = vec![format!("{}:{target}", parcel.commit)];
        refspecs.extend(parcel.work.map(|work| format!("{work}:refs/cib/wip")));
        // git takes one ref at a time of what is shallow.
        let shallow = parcel.repository.ask(
            "look at its depth",
            &["rev-parse", "--is-shallow-repository"],
        )?;
        let at_once = if shallow == "true" { 1 } else { refspecs.len() };
        let url = match parcel.remote {
            Some(remote) => parcel
                .repository
                .configured(&format!("remote.{remote}.url"))?,
            None => None,
        };
        let url = url.map(|url| without_login(&url)).unwrap_or_default();
        let work = if parcel.work.is_some() {
            "work"
        } else {
            "none"
        };
        let branch = parcel.branch.unwrap_or_default();
        // One container takes the last push and unpacks: another one costs more than both.
        let unpack = format!("{RECEIVE}exec </dev/null >&2\n{UNPACK}echo '{DONE}'\n");
        let words = [parcel.path, branch, &url, work, NO_PUSH];
        let mut chunks = refspecs.chunks(at_once).peekable();
        while let Some(refspecs) = chunks.next() {
            if chunks.peek().is_some() {
                self.push(parcel, refspecs, RECEIVE, &[parcel.path])?;
                continue;
            }
            let said = self.push(parcel, refspecs, &unpack, &words)?;
            if !said.lines().any(|line| line == DONE) {
                let what = "the repository cannot be unpacked in the box";
                return Err(Failure::failed(format!("{what}: {}", said.trim())));
            }
        }
        Ok(())
    }

    /// Pushes to a script in a container beside the box; what that has said.
    fn push(
        &self,
        parcel: &Parcel<'_>,
        refspecs: &[String],
        script: &str,
        arguments: &[&str],
    ) -> Result<String, Failure> {
        const WHAT: &str = "push into the box";
        let mut words = vec![self.engine.program.display().to_string()];
        let receive = self.script(script, arguments);
        words.extend(receive.into_iter().map(str::to_owned));
        let mut command = parcel.snapshot.git(parcel.repository);
        for (name, value) in self.engine.command().get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        // One address of this one call starts a program, and nothing that a repository configures
        // runs beside it.
        command
            .args(["-c", "protocol.ext.allow=always"])
            .args(["-c", "core.hooksPath=/dev/null"])
            .args(["-c", "push.gpgSign=false", "-c", "push.pushOption="])
            .args(["push", "--quiet", "--no-verify", "--no-follow-tags"])
            .args(["--no-signed", "--recurse-submodules=no", "--end-of-options"])
            .arg(external(&words))
            .args(refspecs);
        let ran = git::run(WHAT, &mut command, b"")?;
        let said = text::plain_bytes(&ran.stderr);
        git::good(WHAT, ran)?;
        Ok(said)
    }

    fn run(&self, what: &str, script: &str, words: &[&str]) -> Result<(), Failure> {
        let mut command: Command = self.engine.command();
        command.args(self.script(script, words));
        git::good(what, git::run(what, &mut command, b"")?)?;
        Ok(())
    }

    /// Puts the contents of large files there; whether git there put them in their place.
    fn large(&self, repository: &Repository, large: &[Pointer]) -> Result<bool, Failure> {
        let mut child = self
            .engine
            .command()
            .args(self.script(LARGE, &[]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let packed = match child.stdin.take() {
            Some(sink) => lfs::pack(repository, large, sink),
            None => Ok(()),
        };
        let ended = child.wait_with_output()?;
        if !ended.status.success() {
            let said = text::plain_bytes(&ended.stderr);
            let what = format!("the box does not take the large files: {}", said.trim());
            return Err(Failure::failed(what));
        }
        packed?;
        Ok(ended.stdout != b"pointers\n")
    }
}

/// Puts the repository into the volume of a box that is going to be.
pub(super) fn put(
    context: &Context<'_>,
    engine: &Engine,
    repository: &Repository,
    origin: &Origin,
    image: &str,
    name: &str,
) -> Result<(), Failure> {
    let target = Target {
        engine,
        image,
        volume: format!("{name}-workspace:/workspace"),
    };
    let load = &origin.load;
    target.put(&Parcel {
        repository,
        snapshot: &load.snapshot,
        path: ".",
        commit: &origin.commit,
        branch: Some(&origin.branch),
        work: origin.with_work(),
        remote: origin.remote.as_deref(),
    })?;
    for folder in &load.snapshot.left_out {
        context.output.warn(&format!(
            "{folder} is a repository of its own and stays outside"
        ));
    }
    if !origin.is_here() {
        if !load.parts.is_empty() {
            context
                .output
                .warn("submodules stay outside: the box begins at another commit");
        }
        return Ok(());
    }
    for part in &load.parts {
        let inner = &part.submodule.repository;
        let remote = inner.remote()?;
        target.put(&Parcel {
            repository: inner,
            snapshot: &part.snapshot,
            path: &part.submodule.path,
            commit: &part.snapshot.head,
            branch: part.branch.as_deref(),
            work: part.snapshot.work.as_deref(),
            remote: remote.as_deref(),
        })?;
    }
    // The innermost first: what an outer one absorbs is complete then.
    for part in load.parts.iter().rev() {
        let Submodule { path, parent, .. } = &part.submodule;
        let (folder, inner) = if parent.is_empty() {
            (".", path.as_str())
        } else {
            (
                parent.as_str(),
                path.get(parent.len() + 1..).unwrap_or_default(),
            )
        };
        target.run("make a submodule in the box", ABSORB, &[folder, inner])?;
    }
    if !load.large.is_empty() && !target.large(repository, &load.large)? {
        context.output.note(
            "git in the box does not know large files: they are pointers there, and their content lies in .git/lfs",
        );
    }
    Ok(())
}

/// A program with its arguments as an address of git's `ext` transport (git-remote-ext(1)).
fn external(words: &[String]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.replace('%', "%%").replace(' ', "% "))
        .collect();
    format!("ext::{}", words.join(" "))
}

/// A remote's address without the user and password that may stand in it.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    match host.rsplit_once('@') {
        // The user of an ssh address is no secret, and part of where it leads.
        Some((login, host)) if scheme == "ssh" => {
            let user = login.split(':').next().unwrap_or(login);
            format!("{scheme}://{user}@{host}{path}")
        }
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remotes_address_goes_in_without_user_and_password() {
        for (url, expected) in [
            ("https://user:token@host/a/b.git", "https://host/a/b.git"),
            ("https://token@host/a@b", "https://host/a@b"),
            ("https://host/a", "https://host/a"),
            ("ssh://git:pass@host:22/a", "ssh://git@host:22/a"),
            ("git@host:a/b.git", "git@host:a/b.git"),
            ("/srv/a.git", "/srv/a.git"),
        ] {
            assert_eq!(without_login(url), expected);
        }
    }

    #[test]
    fn words_of_a_program_stay_words() {
        let words = ["/a b/docker", "-c", "set -e; 100%"].map(str::to_owned);
        assert_eq!(external(&words), "ext::/a% b/docker -c set% -e;% 100%%");
    }
}
