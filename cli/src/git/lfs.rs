//! Large files that git has a pointer to (Git LFS): their content goes by itself, and no filter runs.

use std::io::{Read, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cib_base::lfs::POINTER;
pub use cib_base::lfs::Pointer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};

use super::fetch::{FetchError, changes};
use super::snapshot::Snapshot;
use super::{GitError, PATIENCE, Repository, good, run};
use crate::boxes::Found;
use crate::engine::Engine;

/// How many objects git is asked for at once.
const AT_ONCE: usize = 5000;

/// The folder of contents; none if the repository has no large files.
#[must_use]
pub fn store(repository: &Repository) -> Option<PathBuf> {
    let folder = repository.common.join("lfs/objects");
    folder.is_dir().then_some(folder)
}

/// The large files of a snapshot whose content is here.
///
/// # Errors
/// git says no.
pub fn of_snapshot(repository: &Repository, snapshot: &Snapshot) -> Result<Vec<Pointer>, GitError> {
    const WHAT: &str = "list large files";
    let Some(store) = store(repository) else {
        return Ok(Vec::new());
    };
    let mut command = snapshot.git_of_index(repository);
    command.args(["ls-files", "--stage", "-z", "--", ":(top,attr:filter=lfs)"]);
    let listed = good(WHAT, run(WHAT, &mut command, b"")?)?.stdout;
    let ids: Vec<&str> = listed
        .split(|byte| *byte == 0)
        .filter_map(|line| std::str::from_utf8(line.split(|byte| *byte == b'\t').next()?).ok())
        .filter(|about| about.starts_with("100"))
        .filter_map(|about| about.split(' ').nth(1))
        .collect();
    let mut found = read(|| snapshot.git(repository), &ids)?;
    found.retain(|pointer| store.join(pointer.place()).is_file());
    Ok(found)
}

/// The pointers among objects.
fn read(git: impl Fn() -> Command, ids: &[&str]) -> Result<Vec<Pointer>, GitError> {
    const WHAT: &str = "read pointers of large files";
    let mut found = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        let list = ids.join("\n") + "\n";
        // A file that is no pointer yet may be large, so sizes come first.
        let mut command = git();
        command.args(["cat-file", "--batch-check=%(objectname) %(objectsize)"]);
        let ran = good(WHAT, run(WHAT, &mut command, list.as_bytes())?)?;
        let small = |line: &&str| {
            let size = line.split(' ').nth(1).and_then(|size| size.parse().ok());
            size.is_some_and(|size: usize| size < POINTER)
        };
        let said = ran.text();
        let list: String = said
            .lines()
            .filter(small)
            .filter_map(|line| Some(format!("{}\n", line.split(' ').next()?)))
            .collect();
        let mut command = git();
        command.args(["cat-file", "--batch"]);
        let ran = good(WHAT, run(WHAT, &mut command, list.as_bytes())?)?;
        let pointers = contents(&ran.stdout).filter_map(|(_, content)| Pointer::parse(content));
        found.extend(pointers);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The objects in an answer of `git cat-file --batch`: their ids and contents.
pub(super) fn contents(mut said: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        let end = said.iter().position(|byte| *byte == b'\n')?;
        let about = std::str::from_utf8(&said[..end]).ok()?;
        let (id, kind) = about.split_once(' ')?;
        let size: usize = kind.split_once(' ')?.1.parse().ok()?;
        let content = said.get(end + 1..end + 1 + size)?;
        said = said.get(end + 2 + size..).unwrap_or_default();
        Some((id, content))
    })
}

/// Brings over the contents that commits of a box point to and this repository lacks; how many.
/// What a pointer says is compared with what comes, and nothing else is kept.
///
/// # Errors
/// git says no, the box has more than `most` bytes of them, or gives something else.
pub fn bring(
    repository: &Repository,
    engine: &Engine,
    found: &Found,
    old: &str,
    new: &str,
    most: u64,
) -> Result<usize, FetchError> {
    let Some(store) = store(repository) else {
        return Ok(0);
    };
    let changes = changes(repository, old, new)?;
    let ids: Vec<&str> = changes
        .iter()
        .filter(|change| change.new_mode.starts_with("100"))
        .map(|change| change.new_id.as_str())
        .collect();
    let mut left = most;
    let mut count = 0;
    for pointer in read(|| repository.git(), &ids)? {
        let target = store.join(pointer.place());
        if target.exists() {
            continue;
        }
        left = left
            .checked_sub(pointer.size)
            .ok_or(FetchError::Large(most))?;
        count += usize::from(take(engine, found, &pointer, &target)?);
    }
    Ok(count)
}

/// Takes one content of a box; whether the box has it.
fn take(
    engine: &Engine,
    found: &Found,
    pointer: &Pointer,
    target: &std::path::Path,
) -> Result<bool, FetchError> {
    let source = format!("/workspace/.git/lfs/objects/{}", pointer.place());
    let command = found.command(engine, &["cat", "--", &source]);
    let folder = target.parent().unwrap_or(target);
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".cib-")
        .tempfile_in(folder)?;
    let (size, digest) = hear(command, pointer.size + 1, &mut file, PATIENCE)?;
    if size == 0 && pointer.size > 0 {
        return Ok(false);
    }
    if (size, &digest) != (pointer.size, &pointer.oid) {
        return Err(FetchError::Content(pointer.oid.clone()));
    }
    file.persist(target).map_err(|error| error.error)?;
    Ok(true)
}

/// Copies what a program says: so many bytes, and for so long. What it reads in a box may be a pipe
/// that nobody writes to.
fn hear(
    mut command: Command,
    most: u64,
    sink: &mut impl std::io::Write,
    within: Duration,
) -> std::io::Result<(u64, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let id = i32::try_from(child.id()).map_err(std::io::Error::other)?;
    let stdout = child.stdout.take();
    let (heard, waits) = mpsc::channel::<()>();
    let copied = thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(within) == Err(mpsc::RecvTimeoutError::Timeout) {
                // It is waited for below, so that nobody else has its number yet.
                let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
            }
        });
        let copied = stdout.map_or(Ok((0, String::new())), |source| {
            copy(source.take(most), sink)
        });
        drop(heard);
        copied
    });
    // What it still has to say is not wanted.
    let _ = child.kill();
    let _ = child.wait();
    copied
}

fn copy(mut source: impl Read, sink: &mut impl std::io::Write) -> std::io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let read = source.read(&mut piece)?;
        if read == 0 {
            sink.flush()?;
            return Ok((size, cib_base::hex::encode(&digest.finalize())));
        }
        size += read as u64;
        digest.update(&piece[..read]);
        sink.write_all(&piece[..read])?;
    }
}

/// Writes an archive of contents, as it is unpacked below `lfs/objects`.
///
/// # Errors
/// One cannot be read, or nobody takes the archive.
pub fn pack(
    repository: &Repository,
    pointers: &[Pointer],
    sink: impl std::io::Write,
) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(std::io::BufWriter::new(sink));
    let store = store(repository).unwrap_or_default();
    for pointer in pointers {
        let mut file = cib_foreign::own::open(store.join(pointer.place()))?;
        archive.append_file(pointer.place(), &mut file)?;
    }
    archive.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(oid: &str, size: &str) -> String {
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
    }

    #[test]
    fn a_content_that_never_comes_has_an_end() {
        let hear = |script: &str, within| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let mut sink = Vec::new();
            let heard = hear(command, 3, &mut sink, within).unwrap();
            (heard.0, sink)
        };
        let begun = std::time::Instant::now();
        let silent = hear("printf a; exec sleep 1000", Duration::from_millis(200));
        assert_eq!(silent, (1, b"a".to_vec()));
        let loud = hear("exec yes", Duration::from_secs(100));
        assert_eq!(loud, (3, b"y\ny".to_vec()));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn contents_are_told_apart_by_their_sizes() {
        let said = b"a blob 3\nx\ny\nb missing\nc blob 0\n\n";
        let read: Vec<_> = contents(said).collect();
        assert_eq!(read, [("a", &b"x\ny"[..])]);
        assert_eq!(contents(b"a blob 99\nx\n").count(), 0);
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_tree_its_place_stays_below_the_folder(bytes: Vec<u8>, oid in "[0-9a-f./]{60,68}") {
            for bytes in [bytes, text(&oid, "1").into_bytes()] {
                if let Some(pointer) = Pointer::parse(&bytes) {
                    prop_assert!(!pointer.place().contains(".."));
                    prop_assert_eq!(pointer.place().len(), 70);
                }
            }
        }
    }
}
