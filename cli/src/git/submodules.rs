//! Submodules of a working tree: those with a repository of their own, at paths and addresses that
//! can be meant.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{GitError, Repository, good};
use crate::surroundings::Surroundings;
use crate::text;

/// How deep submodules may lie in each other.
const DEPTH: usize = 8;

/// A submodule that was checked out here.
#[derive(Clone, Debug)]
pub struct Submodule {
    /// Its path below the top of the outermost repository.
    pub path: String,
    /// The path of the repository that it is a submodule of, as `path`; empty for the outermost.
    pub parent: String,
    /// Its repository.
    pub repository: Repository,
}

/// What there is of submodules.
#[derive(Clone, Debug, Default)]
pub struct Submodules {
    /// Each after the one that it lies in.
    pub all: Vec<Submodule>,
    /// Those that cannot be used, each with why, fit to be shown.
    pub refused: Vec<String>,
}

/// Finds the submodules of a working tree, and theirs.
///
/// # Errors
/// git says no.
pub fn of(around: &Surroundings, repository: &Repository) -> Result<Submodules, GitError> {
    let mut found = Submodules::default();
    look(around, repository, "", &mut found, DEPTH)?;
    Ok(found)
}

fn look(
    around: &Surroundings,
    repository: &Repository,
    parent: &str,
    found: &mut Submodules,
    depth: usize,
) -> Result<(), GitError> {
    const WHAT: &str = "list submodules";
    if !repository.top.join(".gitmodules").exists() || depth == 0 {
        return Ok(());
    }
    let staged = repository.run(WHAT, &["ls-files", "--stage", "-z"])?;
    let staged = good(WHAT, staged)?.stdout;
    let entries = entries(repository)?;
    for line in staged.split(|byte| *byte == 0) {
        if !line.starts_with(b"160000 ") {
            continue;
        }
        let path = line.split(|byte| *byte == b'\t').nth(1).unwrap_or_default();
        let shown = text::line(&String::from_utf8_lossy(path));
        let Some(path) = std::str::from_utf8(path).ok().filter(|path| is_path(path)) else {
            found
                .refused
                .push(format!("{shown}: its path is not used here"));
            continue;
        };
        let Some(inner) = at(around, repository, path) else {
            continue;
        };
        let entry = entries.iter().find(|(_, entry)| entry.path == path);
        let why = match entry {
            None => Some("nothing in .gitmodules names it"),
            Some((name, _)) if !is_path(name) => Some("its name is not used here"),
            Some((_, entry)) if !is_address(&entry.url) => Some("its address is not used here"),
            Some(_) => None,
        };
        if let Some(why) = why {
            found.refused.push(format!("{shown}: {why}"));
            continue;
        }
        let whole = if parent.is_empty() {
            path.to_owned()
        } else {
            format!("{parent}/{path}")
        };
        found.all.push(Submodule {
            path: whole.clone(),
            parent: parent.to_owned(),
            repository: inner.clone(),
        });
        look(around, &inner, &whole, found, depth - 1)?;
    }
    Ok(())
}

/// The repository of a submodule, if it was checked out: no link leads there.
#[must_use]
pub fn at(around: &Surroundings, repository: &Repository, path: &str) -> Option<Repository> {
    let folder = repository.top.join(path);
    let top = repository.top.canonicalize().ok()?;
    if folder.canonicalize().ok()? != top.join(path) || !folder.join(".git").exists() {
        return None;
    }
    let inner = Repository::find(around, &folder).ok()?;
    (inner.top.canonicalize().ok()? == top.join(path)).then_some(inner)
}

#[derive(Default)]
struct Entry {
    path: String,
    url: String,
}

/// What `.gitmodules` says, by name.
fn entries(repository: &Repository) -> Result<BTreeMap<String, Entry>, GitError> {
    let ran = repository.run(
        "read .gitmodules",
        &["config", "-z", "--file", ".gitmodules", "--list"],
    )?;
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for pair in String::from_utf8_lossy(&ran.stdout).split('\0') {
        let Some((key, value)) = pair.split_once('\n') else {
            continue;
        };
        let Some((name, key)) = key
            .strip_prefix("submodule.")
            .and_then(|key| key.rsplit_once('.'))
        else {
            continue;
        };
        let entry = entries.entry(name.to_owned()).or_default();
        match key {
            "path" => value.clone_into(&mut entry.path),
            "url" => value.clone_into(&mut entry.url),
            _ => {}
        }
    }
    Ok(entries)
}

/// Whether a name or a path of a submodule is below where it stands, and nothing reads it
/// otherwise.
#[must_use]
pub fn is_path(path: &str) -> bool {
    let plain = |part: Component<'_>| match part {
        Component::Normal(part) => !part.eq_ignore_ascii_case(".git"),
        _ => false,
    };
    !path.is_empty()
        && path.len() <= 400
        && !path.starts_with('-')
        && text::line(path) == path
        && Path::new(path).components().all(plain)
        && PathBuf::from(path)
            .components()
            .collect::<PathBuf>()
            .as_os_str()
            == path
}

/// Whether a submodule's address is one of a remote, and not what git would start a program for.
#[must_use]
pub fn is_address(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let known = |scheme| matches!(scheme, "http" | "https" | "ssh" | "git" | "file");
    !url.is_empty()
        && !url.starts_with('-')
        && !url.contains("::")
        && !url.chars().any(char::is_control)
        && scheme.is_none_or(known)
        // git takes the host of an address for an option of ssh's otherwise.
        && !url.contains("://-")
        && !url.contains("@-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_git_would_run_something_for_are_refused() {
        for url in [
            "",
            "--upload-pack=touch x",
            "-x",
            "ext::sh -c touch",
            "fd::7",
            "a\nb",
            "ssh://-oProxyCommand=touch/x",
            "ssh://u@-oProxyCommand=touch/x",
            "gopher://x",
        ] {
            assert!(!is_address(url), "{url:?}");
        }
        for url in [
            "https://host/a.git",
            "git@host:a/b",
            "ssh://git@host/a",
            "../sibling",
            "./x",
            "/srv/a b.git",
            "file:///srv/a",
        ] {
            assert!(is_address(url), "{url:?}");
        }
    }

    #[test]
    fn paths_and_names_that_lead_elsewhere_are_refused() {
        for path in [
            "",
            "..",
            "../x",
            "a/../b",
            "/a",
            "a//b",
            "a/",
            "./a",
            ".git",
            "a/.GIT/hooks",
            "-a",
            "a\nb",
            "a\u{202e}b",
        ] {
            assert!(!is_path(path), "{path:?}");
        }
        for path in ["a", "a/b c", ".github", "libs/é"] {
            assert!(is_path(path), "{path:?}");
        }
    }
}
