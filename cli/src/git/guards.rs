//! Guards: what a change touches that acts later, without being asked.
//!
//! A checkout is harmless. The next `npm install`, `direnv`, editor, hook or run of CI is not, so
//! whatever of a box's work reaches those is named before it is pushed or checked out.

use std::collections::BTreeMap;

use crate::text;

/// A change of one file between two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its mode before; zeros if it was not there.
    pub old_mode: String,
    /// Its mode after; zeros if it is gone.
    pub new_mode: String,
    /// Its object before.
    pub old_id: String,
    /// Its object after.
    pub new_id: String,
    /// `A`, `M`, `D` or `T`.
    pub status: char,
    /// Its path, as git has it.
    pub path: Vec<u8>,
}

/// A change that a person should look at first.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Guarded {
    /// Its path, fit to be shown.
    pub path: String,
    /// What it could do.
    pub why: &'static str,
}

/// Reads `git diff-tree -r --raw -z --no-renames`.
///
/// Whatever is not as git writes it ends the list; nothing of it is guessed.
#[must_use]
pub fn parse(said: &[u8]) -> Vec<Change> {
    let mut parts = said.split(|byte| *byte == 0);
    let mut changes = Vec::new();
    while let (Some(about), Some(path)) = (parts.next(), parts.next()) {
        let Some(change) = change(about, path) else {
            break;
        };
        changes.push(change);
    }
    changes
}

fn change(about: &[u8], path: &[u8]) -> Option<Change> {
    let about = std::str::from_utf8(about).ok()?.strip_prefix(':')?;
    let mut words = about.split(' ').map(str::to_owned);
    let (old_mode, new_mode) = (words.next()?, words.next()?);
    let (old_id, new_id) = (words.next()?, words.next()?);
    let status = words.next()?.chars().next()?;
    Some(Change {
        old_mode,
        new_mode,
        old_id,
        new_id,
        status,
        path: path.to_owned(),
    })
}

/// The changes to look at first. `links` has what each new symbolic link says, by its object.
#[must_use]
pub fn guarded(changes: &[Change], links: &BTreeMap<String, Vec<u8>>) -> Vec<Guarded> {
    let mut found = Vec::new();
    for change in changes {
        if change.status == 'D' {
            continue;
        }
        let path = String::from_utf8_lossy(&change.path).into_owned();
        let why = of_name(&path)
            .or_else(|| of_modes(change))
            .or_else(|| of_link(change, links));
        if let Some(why) = why {
            let path = text::line(&path);
            found.push(Guarded { path, why });
        }
    }
    found
}

fn of_modes(change: &Change) -> Option<&'static str> {
    match (change.old_mode.as_str(), change.new_mode.as_str()) {
        (_, "160000") => Some("another repository"),
        ("100644" | "120000" | "000000", "100755") => Some("a program"),
        _ => None,
    }
}

fn of_link(change: &Change, links: &BTreeMap<String, Vec<u8>>) -> Option<&'static str> {
    if change.new_mode != "120000" {
        return None;
    }
    let inside = links
        .get(&change.new_id)
        .is_some_and(|target| stays_inside(&change.path, target));
    (!inside).then_some("a link that leaves the repository")
}

/// Whether a link at `path` leads to something below the top, as far as names can tell: one that goes
/// up again behind a name may go through another link.
fn stays_inside(path: &[u8], target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return false;
    }
    let mut depth = path.split(|byte| *byte == b'/').count() - 1;
    let mut is_named = false;
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 || is_named => return false,
            b".." => depth -= 1,
            _ => is_named = true,
        }
    }
    true
}

/// Folders whose files act by themselves, wherever they are.
const FOLDERS: &[(&str, &str)] = &[
    (".github", "runs on the forge"),
    (".gitea", "runs on the forge"),
    (".forgejo", "runs on the forge"),
    (".circleci", "runs in CI"),
    (".buildkite", "runs in CI"),
    (".woodpecker", "runs in CI"),
    (".githooks", "runs as a hook of git"),
    (".husky", "runs as a hook of git"),
    (".claude", "instructs or runs with Claude"),
    (".cib", "configures boxes"),
    (".vscode", "runs in an editor"),
    (".idea", "runs in an editor"),
    (".zed", "runs in an editor"),
    (".cursor", "instructs agents"),
    (".mise", "runs when the folder is entered"),
    (".devcontainer", "builds a container"),
    (".cargo", "changes what cargo runs"),
];

/// Files that act by themselves, wherever they are; in lower case.
const FILES: &[(&str, &str)] = &[
    (".gitattributes", "changes how git reads files"),
    (".gitmodules", "names other repositories"),
    (".lfsconfig", "says where large files come from"),
    (".gitlab-ci.yml", "runs in CI"),
    (".travis.yml", "runs in CI"),
    (".drone.yml", "runs in CI"),
    (".woodpecker.yml", "runs in CI"),
    ("azure-pipelines.yml", "runs in CI"),
    ("bitbucket-pipelines.yml", "runs in CI"),
    ("jenkinsfile", "runs in CI"),
    (".pre-commit-config.yaml", "runs as a hook of git"),
    ("lefthook.yml", "runs as a hook of git"),
    ("lefthook.yaml", "runs as a hook of git"),
    (".lefthook.yml", "runs as a hook of git"),
    (".mcp.json", "starts servers for Claude"),
    ("claude.md", "instructs Claude"),
    ("agents.md", "instructs agents"),
    ("claude-run.config.json", "configures boxes"),
    ("cib.toml", "configures boxes"),
    (".envrc", "runs when the folder is entered"),
    (".mise.toml", "runs when the folder is entered"),
    ("mise.toml", "runs when the folder is entered"),
    (".tool-versions", "chooses what is installed"),
    ("mise.local.toml", "runs when the folder is entered"),
    ("build.rs", "runs when it is built"),
    ("cargo.toml", "may say what runs when it is built"),
    ("pyproject.toml", "may say what runs when it is installed"),
    ("setup.py", "runs when it is installed"),
    ("conftest.py", "runs with the tests"),
    (
        "package.json",
        "may have scripts that run when it is installed",
    ),
    (".npmrc", "says where packages come from"),
    (".yarnrc.yml", "says where packages come from"),
    ("makefile", "runs when it is built"),
    ("gnumakefile", "runs when it is built"),
    ("dockerfile", "builds a container"),
];

fn of_name(path: &str) -> Option<&'static str> {
    let path = path.to_lowercase();
    let mut parts: Vec<&str> = path.split('/').collect();
    let file = parts.pop().unwrap_or_default();
    let folder = |part: &&str| FOLDERS.iter().find(|(name, _)| name == part);
    let of_folder = parts.iter().find_map(folder).map(|(_, why)| *why);
    of_folder.or_else(|| {
        let found = FILES.iter().find(|(name, _)| *name == file);
        found.map(|(_, why)| *why)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef01234567";

    fn changed(old: &str, new: &str, path: &str) -> Change {
        Change {
            old_mode: old.into(),
            new_mode: new.into(),
            old_id: A.into(),
            new_id: A.into(),
            status: 'M',
            path: path.into(),
        }
    }

    fn why(change: Change, link: &str) -> Option<&'static str> {
        let links = [(A.to_owned(), link.as_bytes().to_vec())].into();
        guarded(&[change], &links).first().map(|found| found.why)
    }

    #[test]
    fn what_acts_by_itself_is_named_and_what_does_not_is_not() {
        let file = |path| why(changed("100644", "100644", path), "");
        for path in [
            ".github/workflows/ci.yml",
            "sub/.husky/pre-commit",
            ".GitHub/workflows/x.yml",
            ".claude/settings.json",
            ".mcp.json",
            "deep/er/.envrc",
            "package.json",
            "Makefile",
            "crate/build.rs",
            "GNUmakefile",
            "crate/Cargo.toml",
            ".zed/tasks.json",
            ".gitattributes",
        ] {
            assert!(file(path).is_some(), "{path}");
        }
        for path in [
            "src/main.rs",
            "README.md",
            "github/x",
            "docs/package.json.md",
        ] {
            assert_eq!(file(path), None, "{path}");
        }
    }

    #[test]
    fn programs_other_repositories_and_links_outside_are_named() {
        assert_eq!(why(changed("100644", "100755", "a"), ""), Some("a program"));
        assert_eq!(why(changed("100755", "100755", "a"), ""), None);
        assert_eq!(
            why(changed("000000", "160000", "a"), ""),
            Some("another repository")
        );
        for (path, target, inside) in [
            ("a", "b", true),
            ("a/b", "../c", true),
            ("a", "../c", false),
            ("a/b", "../../c", false),
            ("a", "/etc/passwd", false),
            ("a", "x/../../y", false),
            ("a", "x/y/up/../z", false),
            ("a/b/c", "./.././../x//y", true),
        ] {
            let found = why(changed("000000", "120000", path), target);
            assert_eq!(found.is_none(), inside, "{path} -> {target}");
        }
        let unread = guarded(&[changed("000000", "120000", "a")], &BTreeMap::new());
        assert_eq!(unread.len(), 1);
    }

    #[test]
    fn a_deleted_file_does_nothing() {
        let mut change = changed("100644", "000000", ".envrc");
        change.status = 'D';
        assert_eq!(why(change, ""), None);
    }

    #[test]
    fn names_with_anything_in_them_are_read_and_shown_harmless() {
        let said =
            format!(":100644 100644 {A} {A} M\0.github/\x1b[2J\nx\0:000000 100644 {A} {A} A\0b\0");
        let changes = parse(said.as_bytes());
        assert_eq!(changes.len(), 2);
        let found = guarded(&changes, &BTreeMap::new());
        assert_eq!(found[0].path, ".github/\\u{1b}[2J\\u{a}x");
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_read_without_a_panic(said: Vec<u8>) {
            let found = guarded(&parse(&said), &BTreeMap::new());
            prop_assert!(found.iter().all(|one| !one.path.chars().any(char::is_control)));
        }
    }
}
