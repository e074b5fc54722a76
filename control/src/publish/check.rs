//! Whether a push may be: the task's own branch, growing, without a secret in it.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cib_base::lfs::{POINTER, Pointer};
use cib_protocol::task::TaskFault;

use super::bare::{Bare, SOON, Trouble};
use super::git;
use super::large;
use super::leak::{OVERLAP, Secrets};
use super::wire::Check;

/// Bytes of new objects that are looked through, at most.
const MOST: u64 = 1 << 30;

/// Bytes of an object that are looked at at once.
const PIECE: usize = 4 << 20;

/// How long that may take.
const SCANNING: Duration = Duration::from_secs(120);

/// A change of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The commit that it was at; none if it is new.
    pub old: Option<String>,
    /// The commit that it is to be at; none if it is to go.
    pub new: Option<String>,
    /// The ref.
    pub name: String,
}

/// What is to be changed.
#[must_use]
pub fn commands(text: &str) -> Vec<Command> {
    let commit = |id: &str| {
        let is_none = id.bytes().all(|byte| byte == b'0');
        (!is_none).then(|| id.to_owned())
    };
    let command = |line: &str| {
        let mut words = line.splitn(3, ' ');
        Some(Command {
            old: commit(words.next()?),
            new: commit(words.next()?),
            name: words.next()?.to_owned(),
        })
    };
    text.lines().filter_map(command).collect()
}

/// The new commit of a task's branch, if that is all that a push changes.
///
/// # Errors
/// A sentence that says what may be pushed.
pub fn only(branch: &str, text: &str) -> Result<Command, String> {
    let own = format!("refs/heads/{branch}");
    let commands = commands(text);
    for command in &commands {
        let name = &*command.name;
        if let Some(tag) = name.strip_prefix("refs/tags/") {
            return Err(format!("a task publishes no tags, so `{tag}` is not taken"));
        }
        if name != own {
            let name = name.strip_prefix("refs/heads/").unwrap_or(name);
            return Err(format!(
                "this task may push its own branch `{branch}` and no other, so `{name}` stays as it is"
            ));
        }
        if command.new.is_none() {
            return Err(format!(
                "`{branch}` is the branch of a task and is not removed"
            ));
        }
    }
    match <[Command; 1]>::try_from(commands) {
        Ok([command]) => Ok(command),
        Err(_) => Err(format!(
            "nothing but `{branch}` may be pushed, and that once"
        )),
    }
}

/// Whether nothing is taken back that was pushed.
///
/// # Errors
/// A sentence, or what git says.
pub async fn grows(bare: &Bare, check: &Check, command: &Command) -> Result<(), Trouble> {
    let (Some(old), Some(new)) = (&command.old, &command.new) else {
        return Ok(());
    };
    let mut ask = git::command(&bare.path, &[], ["merge-base", "--is-ancestor", old, new]);
    ask.env("GIT_OBJECT_DIRECTORY", &check.objects)
        .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &check.alternates);
    let output = git::run(ask, SOON).await?;
    if output.is_good() {
        return Ok(());
    }
    let why = "a branch only grows: what was pushed is not taken back or rewritten; commit on top of \
               it";
    Err(Trouble::new(TaskFault::PushRefused, why))
}

/// Looks through everything that is new, and says which large files (LFS) it points to. Takes a thread
/// for as long as it lasts.
///
/// # Errors
/// That a secret is in it, or what git says.
pub async fn scan(
    bare: &Bare,
    check: &Check,
    new: &str,
    secrets: Secrets,
) -> Result<Vec<Pointer>, Trouble> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let (path, check, new) = (bare.path.clone(), check.clone(), new.to_owned());
    let looking = std::thread::Builder::new().name("scan".to_owned());
    looking.spawn(move || {
        // Who asked may have gone.
        let _ = tell.send(look(&path, &check, &new, &secrets));
    })?;
    let gone = |_| Trouble::new(TaskFault::Unknown, "the push could not be looked through");
    told.await.map_err(gone)?
}

fn look(path: &Path, check: &Check, new: &str, secrets: &Secrets) -> Result<Vec<Pointer>, Trouble> {
    let end = Instant::now() + SCANNING;
    let start = |words: &[&str], input: Stdio| {
        let mut command = git::command(path, &[], words).into_std();
        command
            .env("GIT_OBJECT_DIRECTORY", &check.objects)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &check.alternates)
            .stdin(input)
            .stderr(Stdio::null())
            .spawn()
    };
    let words = [
        "rev-list",
        "--objects",
        "--no-object-names",
        new,
        "--not",
        "--all",
    ];
    let mut list = start(&words, Stdio::null())?;
    let ids = list.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut read = start(&["cat-file", "--batch", "--buffer"], ids)?;
    let mut pointers = BTreeSet::new();
    let found = match read.stdout.take() {
        Some(objects) => find(&mut BufReader::new(objects), secrets, end, &mut pointers),
        None => Ok(None),
    };
    // What is not read to its end has to go by itself.
    if !matches!(found, Ok(None)) {
        let _ = (list.kill(), read.kill());
    }
    let (listed, read) = (list.wait()?, read.wait()?);
    match found? {
        Some(what) => {
            let why = format!(
                "{what} is in a commit or a file, so nothing was published; take it out of the \
                 commits"
            );
            Err(Trouble::new(TaskFault::SecretFound, why))
        }
        None if listed.success() && read.success() => Ok(pointers.into_iter().collect()),
        None => Err(Trouble::new(
            TaskFault::PushRefused,
            "the push lacks objects that it is made of",
        )),
    }
}

/// Reads what `git cat-file --batch` writes: a line with id, kind and size, the object, a newline.
/// What points to large files is collected.
fn find(
    objects: &mut impl io::BufRead,
    secrets: &Secrets,
    end: Instant,
    pointers: &mut BTreeSet<Pointer>,
) -> Result<Option<&'static str>, Trouble> {
    let mut all = 0_u64;
    let mut line = String::new();
    loop {
        line.clear();
        if objects.by_ref().take(200).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.trim_end().split(' ').skip(1);
        let kind = words.next();
        let Some(size) = words.next().and_then(|size| size.parse::<u64>().ok()) else {
            let why = "the push lacks objects that it is made of";
            return Err(Trouble::new(TaskFault::PushRefused, why));
        };
        all += size;
        if all > MOST || Instant::now() > end {
            let why = "the push is too large to be looked through for secrets";
            return Err(Trouble::new(TaskFault::PushRefused, why));
        }
        let mut rest = objects.by_ref().take(size);
        let mut text = Vec::new();
        let mut found = None;
        loop {
            let before = text.len();
            let piece = u64::try_from(PIECE).unwrap_or(u64::MAX);
            let read = rest.by_ref().take(piece).read_to_end(&mut text)?;
            // Of a tree the names: what a file is called is published as what is in it.
            if found.is_none() {
                found = secrets.find(&text);
            }
            if read == 0 || rest.limit() == 0 {
                break;
            }
            text.drain(..(before + read).saturating_sub(OVERLAP));
        }
        if found.is_some() {
            return Ok(found);
        }
        // More than that are refused, so they need not be held.
        if kind == Some("blob") && size < POINTER as u64 && pointers.len() <= large::MOST {
            pointers.extend(Pointer::parse(&text));
        }
        let mut newline = [0];
        objects.read_exact(&mut newline)?;
    }
}

/// Writes an answer to whoever checks or asks.
///
/// # Errors
/// The kernel's answer.
pub fn line(answer: &super::wire::Answer) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(answer)?;
    line.write_all(b"\n")?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "1111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222";
    const NONE: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn nothing_but_the_tasks_own_branch_passes_and_each_refusal_says_what_may_be() {
        let may = |text: &str| only("claude/1", text);
        let own = may(&format!("{OLD} {NEW} refs/heads/claude/1\n")).unwrap();
        assert_eq!(
            (own.old.as_deref(), own.new.as_deref()),
            (Some(OLD), Some(NEW))
        );
        assert!(
            may(&format!("{NONE} {NEW} refs/heads/claude/1\n"))
                .unwrap()
                .old
                .is_none()
        );
        for (text, word) in [
            (format!("{OLD} {NEW} refs/heads/main\n"), "`main` stays"),
            (
                format!("{OLD} {NEW} refs/heads/claude/2\n"),
                "`claude/2` stays",
            ),
            (format!("{NONE} {NEW} refs/tags/v1\n"), "no tags"),
            (format!("{OLD} {NONE} refs/heads/claude/1\n"), "not removed"),
            (
                format!("{NONE} {NEW} refs/pull/1/head\n"),
                "refs/pull/1/head",
            ),
            (
                format!("{OLD} {NEW} refs/heads/claude/1\n{OLD} {NEW} refs/heads/main\n"),
                "`main`",
            ),
            (String::new(), "claude/1"),
        ] {
            let why = may(&text).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_secret_is_found_in_any_object_of_any_size_and_a_list_that_breaks_off_is_refused() {
        let token = format!("ghp_{}", "a1".repeat(18));
        let large = [
            vec![b' '; PIECE - 20],
            token.clone().into_bytes(),
            vec![b' '; 3 * PIECE],
        ];
        let object = |kind: &str, text: &[u8]| {
            let mut object = format!("{NEW} {kind} {}\n", text.len()).into_bytes();
            object.extend(text);
            object.push(b'\n');
            object
        };
        let end = Instant::now() + SCANNING;
        let of = |bytes: &[u8]| {
            let mut pointers = BTreeSet::new();
            find(&mut &*bytes, &Secrets::default(), end, &mut pointers)
        };
        let plain = object("blob", b"nothing");
        assert_eq!(of(&plain), Ok(None));
        let mut both = plain;
        both.extend(object("blob", &large.concat()));
        assert_eq!(of(&both), Ok(Some("a token of GitHub")));
        assert_eq!(
            of(&object("commit", token.as_bytes())),
            Ok(Some("a token of GitHub"))
        );
        let mut tree = format!("100644 {token}\0").into_bytes();
        tree.extend([0xff; 20]);
        assert_eq!(of(&object("tree", &tree)), Ok(Some("a token of GitHub")));
        let missing = of(format!("{NEW} missing\n").as_bytes()).unwrap_err();
        assert_eq!(missing.kind, TaskFault::PushRefused);
        assert!(of(b"x blob 9999999999999\n").is_err());
    }

    #[test]
    fn pointers_to_large_files_are_told_once_and_no_more_are_held_than_are_taken() {
        let end = Instant::now() + SCANNING;
        let told = |from: usize, to: usize, kind: &str| {
            let mut objects = Vec::new();
            for number in from..to {
                // A pointer may say more, and is the same.
                let text = format!(
                    "version https://git-lfs.github.com/spec/v1\nx-{number} y\noid sha256:{:064x}\nsize 1\n",
                    number / 2
                );
                objects.extend(format!("{NEW} {kind} {}\n{text}\n", text.len()).into_bytes());
            }
            let mut pointers = BTreeSet::new();
            let found = find(&mut &*objects, &Secrets::default(), end, &mut pointers);
            assert_eq!(found, Ok(None));
            pointers.len()
        };
        assert_eq!(told(0, 10, "blob"), 5);
        assert_eq!(told(0, 10, "commit"), 0);
        assert_eq!(told(0, 3 * large::MOST, "blob"), large::MOST + 1);
    }
}
