//! Which repository is meant.

use cib_protocol::task::{TaskFault, TaskRepository};
use cib_protocol::trees::FoundTree;

/// Bytes of a repository's name or address, at most.
const MOST: usize = 1000;

/// Characters of a tree's name.
const MAX_NAME: usize = 64;

/// Forges on which a repository is the first two parts of an address's path.
const FORGES: [&str; 3] = ["github.com", "gitlab.com", "codeberg.org"];

/// Why what was named cannot be a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is empty, or far too long.
    #[error("is empty or longer than {MOST} bytes")]
    Length,
    /// It has characters that no address has.
    #[error("has spaces, control characters or a `..` in it")]
    Characters,
    /// git would take it for an option.
    #[error("begins with `-`")]
    Option,
    /// git would start a program for it, or speak a protocol that nobody is sure of.
    #[error("is no `https`, `http` or `ssh` address, no `user@host:path`, and no folder")]
    Scheme,
    /// It has a password in it, which would end up in logs.
    #[error("has a credential in it; give the box's git one by other means")]
    Credential,
    /// It has a host and nothing behind it.
    #[error("names no repository")]
    Name,
}

/// What a repository was named as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An address that git is given.
    Address(TaskRepository),
    /// A folder of the workspace: its name, or its absolute path.
    Folder(String),
}

/// Reads what was named.
///
/// # Errors
/// Why it cannot be used.
pub fn parse(text: &str) -> Result<Named, Unusable> {
    if text.is_empty() || text.len() > MOST {
        return Err(Unusable::Length);
    }
    let odd = |letter: char| letter.is_whitespace() || letter.is_control();
    if text.contains(odd) || text.split('/').any(|part| part == "..") {
        return Err(Unusable::Characters);
    }
    if text.starts_with('-') {
        return Err(Unusable::Option);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        if !matches!(scheme, "https" | "http" | "ssh") {
            return Err(Unusable::Scheme);
        }
        let (authority, path) = rest.split_once('/').ok_or(Unusable::Name)?;
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        // Who logs in by ssh has a name, and nothing that is secret.
        if user.contains(':') || (!user.is_empty() && scheme != "ssh") {
            return Err(Unusable::Credential);
        }
        if host.is_empty() || host.starts_with('-') || user.starts_with('-') {
            return Err(Unusable::Scheme);
        }
        if path.contains(['?', '#']) {
            return Err(Unusable::Characters);
        }
        return address(text, path);
    }
    if text.starts_with('/') {
        return Ok(Named::Folder(text.trim_end_matches('/').to_owned()));
    }
    match text.split_once(':') {
        // `ext::`, `fd::` and their like are programs.
        Some((_, path)) if path.starts_with(':') => Err(Unusable::Scheme),
        Some((host, path)) if host.contains('@') && !host.contains('/') => address(text, path),
        Some(_) => Err(Unusable::Scheme),
        None => Ok(Named::Folder(text.trim_matches('/').to_owned())),
    }
}

fn address(text: &str, path: &str) -> Result<Named, Unusable> {
    let last = path.trim_end_matches('/').rsplit('/').next();
    let name = last.map(|last| last.strip_suffix(".git").unwrap_or(last));
    match name {
        Some(name) if !name.is_empty() => Ok(Named::Address(TaskRepository {
            source: text.to_owned(),
            name: tree_name(name),
            forge: None,
        })),
        _ => Err(Unusable::Name),
    }
}

/// How a work tree is called: letters, digits, `.`, `_` and `-`, and nothing that hides.
#[must_use]
pub fn tree_name(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let name: String = name
        .chars()
        .map(|letter| if plain(letter) { letter } else { '-' })
        .take(MAX_NAME)
        .collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() {
        "repository".to_owned()
    } else {
        name.to_owned()
    }
}

/// Repositories that are named of several, at most.
const MAX_CANDIDATES: usize = 10;

/// That no repository is meant for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfound {
    /// Why not.
    pub kind: TaskFault,
    /// The same in a sentence.
    pub detail: String,
    /// Which may be meant.
    pub candidates: Vec<String>,
}

impl Unfound {
    /// None is.
    #[must_use]
    pub fn none(detail: String) -> Self {
        Self {
            kind: TaskFault::NoRepo,
            detail,
            candidates: Vec::new(),
        }
    }

    /// Each of these may be.
    #[must_use]
    pub fn several(mut candidates: Vec<String>) -> Self {
        candidates.truncate(MAX_CANDIDATES);
        Self {
            kind: TaskFault::AmbiguousRepo,
            detail: format!("the task may mean {}", candidates.join(", ")),
            candidates,
        }
    }
}

/// Which of these repositories of a forge a text names, by `owner/name` or, where none is named so,
/// by the name alone.
#[must_use]
pub fn named_in<'a>(text: &str, repositories: &'a [String]) -> Vec<&'a str> {
    let lower = text.to_lowercase();
    let by = |part: fn(&str) -> &str| -> Vec<&'a str> {
        let is_named = |one: &&String| has_word(&lower, &part(one).to_lowercase());
        repositories
            .iter()
            .filter(is_named)
            .map(String::as_str)
            .collect()
    };
    match by(|one| one) {
        none if none.is_empty() => by(|one| one.rsplit('/').next().unwrap_or(one)),
        named => named,
    }
}

/// Finds what is meant by a task's words, among the repositories of the workspace.
///
/// # Errors
/// That none is meant, or several may be.
pub fn find(
    named: Option<&str>,
    prompt: &str,
    found: &[FoundTree],
) -> Result<TaskRepository, Unfound> {
    if let Some(named) = named {
        return match parse(named) {
            Ok(Named::Address(repository)) => Ok(repository),
            Ok(Named::Folder(folder)) => {
                let is_it = |tree: &&FoundTree| tree.path == folder || tree.name == folder;
                found.iter().find(is_it).map(of).ok_or_else(|| {
                    let hint = hint(&folder);
                    let detail =
                        format!("there is no repository `{folder}` in the workspace{hint}");
                    Unfound::none(detail)
                })
            }
            Err(why) => Err(Unfound::none(format!("`repo` {why}"))),
        };
    }
    let mut meant = addresses(prompt);
    if meant.is_empty() {
        let is_named = |tree: &&FoundTree| has_word(prompt, &tree.name);
        meant = found.iter().filter(is_named).map(of).collect();
    }
    if meant.is_empty() && found.len() == 1 {
        meant = found.iter().map(of).collect();
    }
    match &*meant {
        [one] => Ok(one.clone()),
        [] => {
            let detail = format!(
                "the task names no repository, and the workspace has {} of them",
                found.len()
            );
            Err(Unfound::none(detail))
        }
        several => Err(Unfound::several(
            several.iter().map(|one| one.source.clone()).collect(),
        )),
    }
}

/// What to say of a name that is none, behind that: as a page shows it, or as people say it, an address
/// has no scheme.
#[must_use]
pub fn hint(name: &str) -> &'static str {
    match name.split_once('/') {
        Some((host, path)) if host.contains('.') && path.contains('/') => {
            "; an address begins with `https://`"
        }
        _ => "",
    }
}

fn of(tree: &FoundTree) -> TaskRepository {
    TaskRepository {
        source: tree.path.clone(),
        name: tree_name(&tree.name),
        forge: None,
    }
}

/// The repositories whose addresses stand in a text, each once.
fn addresses(text: &str) -> Vec<TaskRepository> {
    let mut found: Vec<TaskRepository> = Vec::new();
    for word in text.split_whitespace() {
        let word = word.trim_matches(|letter: char| "<>()[]{}\"'`,;!?".contains(letter));
        let word = word.trim_end_matches(['.', ':']);
        let address = if word.ends_with(".git") {
            word.to_owned()
        } else {
            let parts = word.strip_prefix("https://").map(|rest| rest.split('/'));
            let parts: Vec<_> = parts.into_iter().flatten().take(3).collect();
            match &*parts {
                [host, owner, name] if FORGES.contains(host) && !owner.is_empty() => {
                    format!("https://{host}/{owner}/{name}.git")
                }
                _ => continue,
            }
        };
        if let Ok(Named::Address(one)) = parse(&address)
            && !found.iter().any(|known| known.source == one.source)
        {
            found.push(one);
        }
    }
    found
}

/// Whether a text has a name as a word of its own.
fn has_word(text: &str, name: &str) -> bool {
    let of_a_word = |letter: char| letter.is_alphanumeric() || "_-".contains(letter);
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + name.len()..].chars().next();
        !before.is_some_and(of_a_word) && !behind.is_some_and(of_a_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str) -> FoundTree {
        FoundTree {
            name: name.to_owned(),
            path: format!("/workspace/{name}"),
        }
    }

    fn source(found: Result<TaskRepository, Unfound>) -> String {
        found.map_or_else(
            |unfound| unfound.kind.as_str().to_owned(),
            |found| found.source,
        )
    }

    #[test]
    fn repositories_of_a_forge_are_named_as_a_whole_or_by_their_name() {
        let known = ["acme/api", "acme/web", "me/api", "acme/api-docs"].map(str::to_owned);
        for (text, named) in [
            ("Mend the login of web.", &["acme/web"][..]),
            ("Mend acme/api", &["acme/api"]),
            ("Mend the API", &["acme/api", "me/api"]),
            ("Mend api-docs", &["acme/api-docs"]),
            ("Mend it", &[]),
        ] {
            assert_eq!(named_in(text, &known), named, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_an_address_without_its_scheme_is_told_so() {
        let why = |name| find(Some(name), "", &[]).unwrap_err().detail;
        assert!(why("github.com/acme/api").ends_with("begins with `https://`"));
        for name in [
            "api",
            "acme/api",
            "acme/api.js",
            "group/sub.group/api",
            "v1.0",
        ] {
            assert!(why(name).ends_with("in the workspace"), "{name}");
        }
    }

    #[test]
    fn addresses_and_folders_are_told_apart_and_what_git_would_run_is_refused() {
        for (text, name) in [
            ("https://example.com/a/b.git", "b"),
            ("http://127.0.0.1:8080/r", "r"),
            ("ssh://git@example.com:22/a/b.git/", "b"),
            ("git@example.com:a/b.git", "b"),
            ("https://example.com/a/%20x", "-20x"),
        ] {
            let Ok(Named::Address(found)) = parse(text) else {
                panic!("{text}");
            };
            assert_eq!(
                (&*found.source, &*found.name),
                (text, name.trim_start_matches('-'))
            );
        }
        for (text, folder) in [("api", "api"), ("/workspace/api/", "/workspace/api")] {
            assert_eq!(parse(text), Ok(Named::Folder(folder.to_owned())));
        }
        for (text, why) in [
            ("", Unusable::Length),
            ("--upload-pack=touch /tmp/x", Unusable::Characters),
            ("--upload-pack=x", Unusable::Option),
            ("ext::sh", Unusable::Scheme),
            ("file:///etc", Unusable::Scheme),
            ("git://example.com/a", Unusable::Scheme),
            ("C:x", Unusable::Scheme),
            ("ssh://-oProxyCommand=x/a", Unusable::Scheme),
            ("https://me:secret@example.com/a", Unusable::Credential),
            ("https://token@example.com/a", Unusable::Credential),
            ("https://example.com", Unusable::Name),
            ("https://example.com/", Unusable::Name),
            ("https://example.com/a?token=b", Unusable::Characters),
            ("/workspace/../etc", Unusable::Characters),
            ("a\nb", Unusable::Characters),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_tree_is_called_by_nothing_that_hides_or_leads_elsewhere() {
        for (name, tree) in [
            ("..", "repository"),
            (".git", "git"),
            ("-x", "x"),
            ("a b/c", "a-b-c"),
        ] {
            assert_eq!(tree_name(name), tree);
        }
        assert_eq!(tree_name(&"x".repeat(500)).len(), MAX_NAME);
    }

    #[test]
    fn a_repository_is_found_by_words_and_never_guessed() {
        let trees = [tree("api"), tree("web"), tree("api-docs")];
        let by = |prompt: &str| source(find(None, prompt, &trees));
        assert_eq!(by("Mend the login of api."), "/workspace/api");
        assert_eq!(by("Mend api-docs"), "/workspace/api-docs");
        assert_eq!(by("Mend api and web"), "ambiguous_repo");
        assert_eq!(by("Mend the login"), "no_repo");
        assert_eq!(
            by("See https://github.com/acme/api/issues/5, in web"),
            "https://github.com/acme/api.git"
        );
        assert_eq!(source(find(None, "Mend it", &trees[..1])), "/workspace/api");
        assert_eq!(source(find(None, "Mend it", &[])), "no_repo");
        let named = |name| source(find(Some(name), "", &trees));
        assert_eq!(named("web"), "/workspace/web");
        assert_eq!(named("/workspace/web"), "/workspace/web");
        assert_eq!(named("none"), "no_repo");
        assert_eq!(
            named("https://example.com/a.git"),
            "https://example.com/a.git"
        );
    }
}
