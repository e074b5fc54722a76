//! The repository into a box: as a pack, into a box that has begun and waits for it.

use std::process::{ChildStdin, Command};
use std::time::Duration;

use super::Context;
use crate::boxes::{INIT, PLAIN};
use crate::engine::{Engine, find};
use crate::failure::Failure;
use crate::git::lfs::{self, Pointer};
use crate::git::pack::{Pack, PackError};
use crate::git::snapshot::{Snapshot, SnapshotError};
use crate::git::submodules::{self, Submodule};
use crate::git::{GitError, Repository};
use crate::output::Output;
use crate::process::{self, Ran};
use crate::surroundings::Surroundings;

/// Where pushes of the box's would go: nowhere, with an address that says why.
const NO_PUSH: &str = "cib://push-from-the-host";

/// How long one repository may take on its way.
const COPY: Duration = Duration::from_secs(4 * 3600);

/// Enters a box as soon as it takes a copy, and runs the rest of the words there. If `$1` is something,
/// the copy is complete then, and the box goes on.
const ENTER: &str = r#"export PATH=/usr/local/bin:/usr/bin:/bin
until [ -e /run/cib/awaits-copy ]; do sleep 0.02; done
last=$1
shift
"$@" || exit
[ -z "$last" ] || : >/run/cib/copied
"#;

/// Makes a repository of what comes, and of that what it was outside: below `$1`, on the branch `$2`
/// or at the commit `$6` alone, with the work `$4`. Of what comes the first `$8` bytes are the list of
/// commits that have no parents here. Large files stay pointers: their content comes by itself.
const UNPACK: &str = r#"set -e
export GIT_AUTHOR_NAME=cib GIT_AUTHOR_EMAIL=cib@localhost GIT_COMMITTER_NAME=cib GIT_COMMITTER_EMAIL=cib@localhost GIT_LFS_SKIP_SMUDGE=1
mkdir -p "/workspace/$1"
cd "/workspace/$1"
git init --quiet --initial-branch=cib-unborn --object-format="$7" .
[ "$8" = 0 ] || head -c "$8" >.git/shallow
if [ "$9" = whole ]; then
  tar -x --no-same-owner -C .git/objects/pack -f -
else
  git index-pack --stdin >/dev/null
fi
exec </dev/null >&2
if [ -n "$2" ]; then
  git update-ref "refs/heads/$2" "$6"
  git symbolic-ref HEAD "refs/heads/$2"
else
  git update-ref --no-deref HEAD "$6"
fi
git -c checkout.workers=0 reset --quiet --hard
[ -z "$4" ] || git stash apply --quiet --index "$4"
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
        around: &Surroundings,
        output: &Output,
        repository: &Repository,
        untracked: bool,
        large: bool,
    ) -> Result<Self, Failure> {
        let snapshot = Snapshot::take(repository, untracked, large)?;
        let found = submodules::of(around, repository)?;
        for line in &found.refused {
            output.warn(&format!("a submodule stays outside: {line}"));
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
pub(super) struct Origin<'a> {
    /// What is copied.
    pub load: &'a Load,
    /// The commit that the box begins with.
    pub commit: &'a str,
    /// Its branch in the box.
    pub branch: &'a str,
    /// The remote here that the branch is pushed to.
    pub remote: Option<&'a str>,
}

impl<'a> Origin<'a> {
    /// Whether the box begins with the commit that was looked at.
    fn is_here(&self) -> bool {
        self.commit == self.load.snapshot.head
    }

    /// Whether uncommitted work comes along: only with the commit that it is work on.
    pub(super) fn with_work(&self) -> Option<&'a str> {
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

    /// The history that goes in.
    pub(super) fn pack(&self, repository: &Repository) -> Result<Pack, PackError> {
        let commits: Vec<&str> = [self.commit].into_iter().chain(self.with_work()).collect();
        Pack::of(repository, &self.load.snapshot, &commits)
    }
}

/// One repository on its way into a box.
struct Parcel<'a> {
    repository: &'a Repository,
    snapshot: &'a Snapshot,
    pack: Pack,
    /// Below the workspace.
    path: &'a str,
    commit: &'a str,
    branch: Option<&'a str>,
    work: Option<&'a str>,
    remote: Option<&'a str>,
}

/// One thing that is done in the box.
enum Step<'a> {
    /// A repository comes.
    Take(Parcel<'a>),
    /// It becomes a submodule of the one in this folder, below which it lies so.
    Absorb(&'a str, &'a str),
    /// The contents of large files come.
    Large,
}

/// Where it goes.
struct Target<'a> {
    engine: &'a Engine,
    name: &'a str,
}

impl Target<'_> {
    /// A script in the box, as coder; whether it is the `last` one.
    fn script(&self, last: bool, script: &str, words: &[&str]) -> Command {
        let mut command = self.engine.command();
        command
            .args(["exec", "--interactive", "--user", "0", self.name])
            .args(["/bin/sh", "-c", ENTER, "sh", if last { "last" } else { "" }])
            .args([INIT, "exec", "--", "/usr/bin/env", "-i"])
            .args(PLAIN)
            .args(["sh", "-c", script, "sh"])
            .args(words);
        command
    }

    fn take(&self, last: bool, parcel: &Parcel<'_>) -> Result<(), Failure> {
        let url = match parcel.remote {
            Some(remote) => parcel
                .repository
                .configured(&format!("remote.{remote}.url"))?,
            None => None,
        };
        let url = url.map(|url| without_login(&url)).unwrap_or_default();
        let pack = &parcel.pack;
        let before = pack.before().to_string();
        let words = [
            parcel.path,
            parcel.branch.unwrap_or_default(),
            &url,
            parcel.work.unwrap_or_default(),
            NO_PUSH,
            parcel.commit,
            &pack.format,
            &before,
            if pack.is_whole() { "whole" } else { "stream" },
        ];
        let mut command = self.script(last, UNPACK, &words);
        let send = |stdin: ChildStdin| pack.send(parcel.repository, parcel.snapshot, stdin);
        let (ran, sent) = process::feed(&mut command, send, COPY)?;
        if let Some(Err(PackError::Git(error))) = sent {
            return Err(error.into());
        }
        taken("the repository cannot be unpacked in the box", &ran)?;
        Ok(sent.transpose().map(drop)?)
    }

    fn absorb(&self, last: bool, words: &[&str]) -> Result<(), Failure> {
        let mut command = self.script(last, ABSORB, words);
        let ran = process::run(&mut command, b"", COPY)?;
        taken("a submodule cannot be made in the box", &ran)
    }

    /// Puts the contents of large files there; whether git there put them in their place.
    fn large(
        &self,
        last: bool,
        repository: &Repository,
        large: &[Pointer],
    ) -> Result<bool, Failure> {
        let mut command = self.script(last, LARGE, &[]);
        let send = |stdin: ChildStdin| lfs::pack(repository, large, stdin);
        let (ran, sent) = process::feed(&mut command, send, COPY)?;
        taken("the box does not take the large files", &ran)?;
        sent.transpose()?;
        Ok(ran.stdout != b"pointers\n")
    }
}

/// What has to have succeeded.
fn taken(what: &str, ran: &Ran) -> Result<(), Failure> {
    if ran.good() {
        return Ok(());
    }
    let said = match ran.complaint() {
        said if said.is_empty() => format!("exit code {}", ran.code),
        said => said,
    };
    let failure = Failure::failed(format!("{what}: {said}"));
    Err(match find::remedy_of_refusal(&said) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    })
}

/// Puts the repository into a box that has begun and waits for it.
pub(super) fn put(
    context: &Context<'_>,
    engine: &Engine,
    repository: &Repository,
    origin: &Origin<'_>,
    pack: Pack,
    name: &str,
) -> Result<(), Failure> {
    let load = origin.load;
    let parts = if origin.is_here() {
        &load.parts[..]
    } else {
        &[]
    };
    let remotes: Vec<Option<String>> = parts
        .iter()
        .map(|part| part.submodule.repository.remote())
        .collect::<Result<_, GitError>>()?;
    for folder in &load.snapshot.left_out {
        context.output.warn(&format!(
            "{folder} is a repository of its own and stays outside"
        ));
    }
    if parts.len() < load.parts.len() {
        context
            .output
            .warn("submodules stay outside: the box begins at another commit");
    }
    let mut steps = vec![Step::Take(Parcel {
        repository,
        snapshot: &load.snapshot,
        pack,
        path: ".",
        commit: origin.commit,
        branch: Some(origin.branch),
        work: origin.with_work(),
        remote: origin.remote,
    })];
    for (part, remote) in parts.iter().zip(&remotes) {
        let inner = &part.submodule.repository;
        let (commit, work) = (&part.snapshot.head[..], part.snapshot.work.as_deref());
        let commits: Vec<&str> = [commit].into_iter().chain(work).collect();
        steps.push(Step::Take(Parcel {
            repository: inner,
            snapshot: &part.snapshot,
            pack: Pack::of(inner, &part.snapshot, &commits)?,
            path: &part.submodule.path,
            commit,
            branch: part.branch.as_deref(),
            work,
            remote: remote.as_deref(),
        }));
    }
    // The innermost first: what an outer one absorbs is complete then.
    for part in parts.iter().rev() {
        let Submodule { path, parent, .. } = &part.submodule;
        steps.push(if parent.is_empty() {
            Step::Absorb(".", path)
        } else {
            Step::Absorb(parent, path.get(parent.len() + 1..).unwrap_or_default())
        });
    }
    if origin.is_here() && !load.large.is_empty() {
        steps.push(Step::Large);
    }
    let target = Target { engine, name };
    let count = steps.len();
    for (at, step) in steps.iter().enumerate() {
        let last = at + 1 == count;
        match step {
            Step::Take(parcel) => target.take(last, parcel)?,
            Step::Absorb(folder, inner) => target.absorb(last, &[folder, inner])?,
            Step::Large => {
                if !target.large(last, repository, &load.large)? {
                    context.output.note(
                        "git in the box does not know large files: they are pointers there, and their content lies in .git/lfs",
                    );
                }
            }
        }
    }
    Ok(())
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
}
