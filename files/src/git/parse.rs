//! What git prints, taken apart. Whatever does not fit its format is passed over: a repository may
//! be damaged on purpose.

use std::collections::VecDeque;

use cib_protocol::api::{GitCommit, GitDiff, GitFile, GitPatch, GitState, GitStatus};
use cib_protocol::files::{MAX_DIFF, escape};
use cib_protocol::time::Timestamp;
use serde::Serialize;

use super::run::Output;

/// Bytes of one file's patch that are told.
const MAX_PATCH: usize = 1024 * 1024;

/// Files that are told of, at most.
const MAX_FILES: usize = 5000;

/// Bytes that a status, a log or a diff has as JSON, about.
const MAX_JSON: usize = 1024 * 1024;
const MAX_DIFF_JSON: usize = MAX_DIFF - 2 * MAX_JSON;

/// Keeps as many as have room; whether those are all.
fn fit<T: Serialize>(items: &mut Vec<T>) -> bool {
    let mut room = MAX_JSON;
    let fits = |item: &T| {
        let size = serde_json::to_string(item).map_or(0, |text| text.len());
        let has_room = size <= room;
        room = room.saturating_sub(size);
        has_room
    };
    let count = items.iter().map(fits).take_while(|fits| *fits).count();
    let are_all = count == items.len();
    items.truncate(count);
    are_all
}

/// Characters of a subject, a name or an address that are told.
const MAX_WORDS: usize = 1000;

/// `git status --porcelain=v2 -z --branch`.
pub(super) fn status(text: &[u8], cut: bool) -> GitStatus {
    let mut status = GitStatus {
        branch: None,
        head: None,
        upstream: None,
        ahead: 0,
        behind: 0,
        files: Vec::new(),
        incomplete: cut,
    };
    let mut lines = text.split(|byte| *byte == 0);
    while let Some(line) = lines.next() {
        if status.files.len() == MAX_FILES {
            status.incomplete = true;
            break;
        }
        match line.first() {
            Some(b'#') => header(&mut status, &String::from_utf8_lossy(line)),
            Some(b'1') => status.files.extend(changed(line, 9, None)),
            Some(b'2') => {
                let from = lines.next().map(escape);
                status.files.extend(changed(line, 10, from));
            }
            Some(b'u') => status.files.extend(unmerged(line)),
            Some(b'?') => status.files.extend(line.get(2..).map(|path| GitFile {
                path: escape(path),
                from: None,
                staged: GitState::Same,
                unstaged: GitState::Untracked,
            })),
            _ => {}
        }
    }
    if !fit(&mut status.files) {
        status.incomplete = true;
    }
    status
}

fn header(status: &mut GitStatus, line: &str) {
    let Some((key, value)) = line.trim_start_matches("# ").split_once(' ') else {
        return;
    };
    let value = words(value);
    match key {
        "branch.oid" if value != "(initial)" => status.head = Some(value),
        "branch.head" if value != "(detached)" => status.branch = Some(value),
        "branch.upstream" => status.upstream = Some(value),
        "branch.ab" => {
            let mut numbers = value.split(' ').map(|number| {
                let digits = number.trim_start_matches(['+', '-']);
                digits.parse().unwrap_or(0)
            });
            status.ahead = numbers.next().unwrap_or(0);
            status.behind = numbers.next().unwrap_or(0);
        }
        _ => {}
    }
}

/// A line of a file that git knows; its path is the last of so many fields.
fn changed(line: &[u8], fields: usize, from: Option<String>) -> Option<GitFile> {
    let parts: Vec<_> = line.splitn(fields, |byte| *byte == b' ').collect();
    let (letters, path) = (parts.get(1)?, parts.get(fields - 1)?);
    Some(GitFile {
        path: escape(path),
        from,
        staged: state(*letters.first()?),
        unstaged: state(*letters.get(1)?),
    })
}

fn unmerged(line: &[u8]) -> Option<GitFile> {
    let path = line.splitn(11, |byte| *byte == b' ').nth(10)?;
    Some(GitFile {
        path: escape(path),
        from: None,
        staged: GitState::Unmerged,
        unstaged: GitState::Unmerged,
    })
}

fn state(letter: u8) -> GitState {
    match letter {
        b'M' => GitState::Modified,
        b'T' => GitState::Retyped,
        b'A' => GitState::Added,
        b'D' => GitState::Deleted,
        b'R' => GitState::Renamed,
        b'C' => GitState::Copied,
        b'U' => GitState::Unmerged,
        _ => GitState::Same,
    }
}

/// `git log -z` with six fields a commit, each ended by NUL; whether those are all that were
/// printed.
pub(super) fn log(text: &[u8]) -> (Vec<GitCommit>, bool) {
    let fields: Vec<_> = text.split(|byte| *byte == 0).collect();
    let mut commits: Vec<_> = fields
        .chunks_exact(6)
        .map_while(|fields| {
            let text = |at: usize| words(&String::from_utf8_lossy(fields[at]));
            let id = text(0);
            let is_id = id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_id.then(|| GitCommit {
                id,
                parents: text(1)
                    .split(' ')
                    .filter(|parent| !parent.is_empty())
                    .map(str::to_owned)
                    .collect(),
                author: text(2),
                email: text(3),
                at: Timestamp::from_millis(
                    text(4).parse::<i64>().unwrap_or(0).saturating_mul(1000),
                ),
                subject: text(5),
            })
        })
        .collect();
    let are_all = fit(&mut commits);
    (commits, are_all)
}

fn words(text: &str) -> String {
    text.chars().take(MAX_WORDS).collect()
}

/// What `--numstat -z` says of one file.
struct Numbers {
    path: String,
    from: Option<String>,
    added: Option<u64>,
    removed: Option<u64>,
}

fn numbers(text: &[u8]) -> VecDeque<Numbers> {
    let mut found = VecDeque::new();
    let mut parts = text.split(|byte| *byte == 0);
    while let Some(part) = parts.next() {
        let mut fields = part.splitn(3, |byte| *byte == b'\t');
        let (Some(added), Some(removed), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        // A renamed file has its two paths in parts of their own.
        let (from, path) = if path.is_empty() {
            (parts.next().map(escape), parts.next().unwrap_or_default())
        } else {
            (None, path)
        };
        found.push_back(Numbers {
            path: escape(path),
            from,
            added: number(added),
            removed: number(removed),
        });
    }
    found
}

/// Joins what git told of the files and their patches, which are in the same order. A file that
/// was changed between the two has its numbers and no patch, or none of both.
pub(super) fn diff(counted: &Output, patched: &Output) -> GitDiff {
    let mut files = Vec::new();
    let mut counted_files = numbers(&counted.stdout);
    let is_same = counted_files.len() == begins(&patched.stdout).count();
    let mut patches = pieces(&patched.stdout);
    let mut incomplete = counted.cut;
    let mut room = MAX_DIFF_JSON;
    while let Some(file) = counted_files.pop_front() {
        if files.len() == MAX_FILES {
            incomplete = true;
            break;
        }
        let patch = if is_same || patched.cut {
            patches.next()
        } else {
            None
        };
        let is_last = patched.cut && patches.peek().is_none();
        let whole = patch.unwrap_or_default();
        let told = &whole[..whole.len().min(MAX_PATCH)];
        let mut file = GitPatch {
            path: file.path,
            from: file.from,
            added: file.added,
            removed: file.removed,
            cut: told.len() < whole.len() || is_last || patch.is_none(),
            patch: String::from_utf8_lossy(told).into_owned(),
        };
        let size = |file: &GitPatch| serde_json::to_string(file).map_or(0, |text| text.len());
        if size(&file) > room {
            file.patch.clear();
            file.cut = true;
        }
        room = room.saturating_sub(size(&file));
        if room == 0 {
            incomplete = true;
            break;
        }
        files.push(file);
    }
    GitDiff { files, incomplete }
}

/// Where the patches of files begin. Within one no line begins so: each has a letter before it.
fn begins(text: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let line = at;
            at = text[at..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(text.len(), |end| at + end + 1);
            let rest = &text[line..];
            if rest.starts_with(b"diff --git ") || rest.starts_with(b"diff --cc ") {
                return Some(line);
            }
        }
        None
    })
}

fn pieces(text: &[u8]) -> std::iter::Peekable<impl Iterator<Item = &[u8]>> {
    let starts: Vec<_> = begins(text).collect();
    let ends: Vec<_> = starts.iter().copied().skip(1).chain([text.len()]).collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|(from, to)| &text[from..to])
        .peekable()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_status_is_taken_apart() {
        let text = b"# branch.oid 0123\0# branch.head main\0# branch.ab +2 -1\0\
            1 .M N... 100644 100644 100644 aaaa bbbb a file\0\
            2 R. N... 100644 100644 100644 aaaa bbbb R100 new\0old\0\
            u UU N... 1 2 3 4 a b c both\0? \xffnew\0";
        let status = status(text, false);
        assert_eq!((status.ahead, status.behind), (2, 1));
        assert_eq!(status.branch.as_deref(), Some("main"));
        let told: Vec<_> = status
            .files
            .iter()
            .map(|file| {
                (
                    &*file.path,
                    file.from.as_deref(),
                    file.staged,
                    file.unstaged,
                )
            })
            .collect();
        use GitState::{Modified, Renamed, Same, Unmerged, Untracked};
        assert_eq!(
            told,
            [
                ("a file", None, Same, Modified),
                ("new", Some("old"), Renamed, Same),
                ("both", None, Unmerged, Unmerged),
                ("\\xffnew", None, Same, Untracked),
            ]
        );
    }

    proptest! {
        #[test]
        fn whatever_git_prints_is_survived(text: Vec<u8>, other: Vec<u8>) {
            let _ = status(&text, false);
            let _ = log(&text);
            let _ = numbers(&other);
            let _ = pieces(&text).count();
        }
    }
}
