//! What is not committed in a box: it becomes commits in the box, which come over as any other,
//! and in submodules the same.

use super::fetch::{FetchError, Place};
use super::{Repository, lfs, refs, run, submodules};
use crate::boxes::Found;
use crate::engine::Engine;
use crate::surroundings::Surroundings;
use crate::text;

/// The name of such a commit in the box.
const WIP: &str = "refs/cib/wip";

/// How deep submodules may lie in each other.
const DEPTH: usize = 8;

/// Submodules that are looked at, at most.
const MANY: usize = 1000;

/// Makes a commit below `$1` of everything that git there would add.
const MAKE: &str = r#"set -e
cd "/workspace/$1"
i=$(mktemp)
trap 'rm -f "$i" "$i.lock"' EXIT
cp "$(git rev-parse --git-path index)" "$i"
export GIT_INDEX_FILE="$i" GIT_AUTHOR_NAME=cib GIT_AUTHOR_EMAIL=cib@localhost GIT_COMMITTER_NAME=cib GIT_COMMITTER_EMAIL=cib@localhost
git add -A
t=$(git write-tree)
c=$(git commit-tree --no-gpg-sign -p HEAD -m 'uncommitted work' "$t")
git update-ref refs/cib/wip "$c"
printf '%s %s %s\n' "$c" "$t" "$(git rev-parse 'HEAD^{tree}')"
"#;

/// The trees of a box's working tree and of its `HEAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The commit in the box.
    pub commit: String,
    /// The tree of everything that git there would add.
    pub tree: String,
    /// The tree of its `HEAD`.
    pub head: String,
}

/// Uncommitted work of a submodule, here.
#[derive(Clone, Debug)]
pub struct Inner {
    /// The submodule's path below the top.
    pub path: String,
    /// Its repository here.
    pub repository: Repository,
}

/// Uncommitted work that was brought over.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// The ref that it has here, in this repository and in each submodule's.
    pub reference: String,
    /// Submodules that have some.
    pub inner: Vec<Inner>,
    /// Submodules that have some and could not be brought over, fit to be shown.
    pub missing: Vec<String>,
}

/// The ref that a box's uncommitted work has here.
#[must_use]
pub fn reference(name: &str) -> String {
    format!("refs/cib/{name}/wip")
}

/// Makes a commit of a box's uncommitted work, in the box: of the repository, or of a submodule
/// at this path.
///
/// # Errors
/// The box cannot, or does not say what it made.
pub fn make(engine: &Engine, found: &Found, path: &str) -> Result<Work, FetchError> {
    let mut command = found.shell(engine, MAKE, &[path]);
    let ran = run("make a commit in the box", &mut command, b"")?;
    let text = ran.text();
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        [commit, tree, head] if ran.good() && [commit, tree, head].into_iter().all(refs::is_id) => {
            Ok(Work {
                commit: commit.to_owned(),
                tree: tree.to_owned(),
                head: head.to_owned(),
            })
        }
        _ => Err(FetchError::Wip(ran.complaint())),
    }
}

/// The paths of the box's submodules that have uncommitted work, the outer ones first; and what
/// is no path that is used here, fit to be shown.
///
/// # Errors
/// The box does not say.
pub fn submodules(
    engine: &Engine,
    found: &Found,
) -> Result<(Vec<String>, Vec<String>), FetchError> {
    let mut listed = (Vec::new(), Vec::new());
    look(engine, found, "", DEPTH, &mut listed)?;
    Ok(listed)
}

fn look(
    engine: &Engine,
    found: &Found,
    at: &str,
    depth: usize,
    listed: &mut (Vec<String>, Vec<String>),
) -> Result<(), FetchError> {
    if depth == 0 {
        return Ok(());
    }
    let folder = format!("/workspace/{at}");
    let words = [
        "-C",
        &folder,
        "status",
        "--porcelain=v2",
        "-z",
        "--ignore-submodules=none",
        "--untracked-files=no",
    ];
    let ran = run(
        "look for changes in the box",
        &mut found.git(engine, &words),
        b"",
    )?;
    if !ran.good() {
        return Err(FetchError::Wip(ran.complaint()));
    }
    for path in dirty(&ran.stdout) {
        let whole = if at.is_empty() {
            path
        } else {
            format!("{at}/{path}")
        };
        if !submodules::is_path(&whole) {
            listed.1.push(text::line(&whole));
        } else if listed.0.len() < MANY && !listed.0.contains(&whole) {
            listed.0.push(whole.clone());
            look(engine, found, &whole, depth - 1, listed)?;
        }
    }
    Ok(())
}

/// The submodules in which something is changed or new, of what `git status --porcelain=v2 -z`
/// says.
fn dirty(status: &[u8]) -> Vec<String> {
    let mut fields = status.split(|byte| *byte == 0);
    let mut found = Vec::new();
    while let Some(line) = fields.next() {
        let line = String::from_utf8_lossy(line);
        let before = match line.bytes().next() {
            Some(b'1') => 8,
            Some(b'2') => {
                // Where it was before stands by itself.
                fields.next();
                9
            }
            Some(b'u') => 10,
            _ => continue,
        };
        let words: Vec<&str> = line.splitn(before + 1, ' ').collect();
        let state = words.get(2).map_or(&b""[..], |word| word.as_bytes());
        if let (&[b'S', _, changed, new], Some(path)) = (state, words.get(before))
            && (changed == b'M' || new == b'U')
        {
            found.push((*path).to_owned());
        }
    }
    found
}

/// Brings over a box's uncommitted work as commits.
///
/// # Errors
/// A [`FetchError`]. What a submodule does not give is no error: it is named.
pub fn fetch(
    around: &Surroundings,
    repository: &Repository,
    engine: &Engine,
    found: &Found,
    most: u64,
) -> Result<Brought, FetchError> {
    make(engine, found, "")?;
    let reference = reference(&found.name);
    let refspec = format!("+{WIP}:{reference}");
    let place = Place {
        around,
        engine,
        found,
        most,
    };
    place.bring(repository, "", std::slice::from_ref(&refspec))?;
    let before = format!("{reference}^");
    lfs::bring(repository, engine, found, &before, &reference, most)?;
    let (paths, missing) = submodules(engine, found)?;
    let mut brought = Brought {
        reference,
        inner: Vec::new(),
        missing,
    };
    for path in paths {
        let Some(inner) = submodules::at(around, repository, &path) else {
            brought.missing.push(path);
            continue;
        };
        let came = make(engine, found, &path)
            .and_then(|_| place.bring(&inner, &path, std::slice::from_ref(&refspec)));
        match came {
            Ok(()) => brought.inner.push(Inner {
                path,
                repository: inner,
            }),
            Err(_) => brought.missing.push(path),
        }
    }
    Ok(brought)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_with_changes_of_their_own_are_found_and_no_other() {
        let zeros = "0000000000000000000000000000000000000000";
        let line = |kind: &str, state: &str, path: &str| {
            format!("{kind} .M {state} 160000 160000 160000 {zeros} {zeros} {path}\0")
        };
        let mut status = line("1", "S.M.", "libs/one two");
        status += &line("1", "S..U", "new");
        status += &line("1", "SC..", "moved alone");
        status += &line("1", "N...", "file");
        status += &format!("2 R. S.MU 160000 160000 160000 {zeros} {zeros} R100 now\0before\0");
        status += "? S.MU x y z a b c unknown\0";
        assert_eq!(dirty(status.as_bytes()), ["libs/one two", "new", "now"]);
        assert!(dirty(b"1 S\0\xff\0u .. S.M.").is_empty());
    }
}
