//! A page of a folder.
//!
//! A folder may have millions of names. They are looked at in the order in which the kernel gives
//! them, and only those of the page are kept and asked for what they are.

use std::collections::BinaryHeap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use cib_protocol::api::FileList;
use cib_protocol::files::{FilesFault, MAX_ENTRIES, escape, unescape};
use nix::dir::Dir;

use crate::entry;
use crate::fault::Refusal;
use crate::place::readable;

/// How long names are looked at for one page.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes that a page has as JSON, about: names may be long, and where links lead longer.
const MAX_BYTES: usize = 1024 * 1024;

/// The entries after a name, in the order of the bytes of their names.
///
/// # Errors
/// If it cannot be read.
pub fn page(folder: &OwnedFd, after: Option<&str>, limit: u32) -> Result<FileList, Refusal> {
    within(folder, after, limit, Instant::now() + PATIENCE)
}

fn within(
    folder: &OwnedFd,
    after: Option<&str>,
    limit: u32,
    end: Instant,
) -> Result<FileList, Refusal> {
    let after = match after {
        Some(name) => unescape(name)
            .ok_or_else(|| Refusal::new(FilesFault::BadRequest, "`after` is no name"))?,
        None => Vec::new(),
    };
    let limit = limit.clamp(1, MAX_ENTRIES) as usize;
    let mut dir = Dir::from_fd(readable(folder)?)?;
    // The largest name is on top, and goes when there is a smaller one. One more than the page
    // has tells whether there is another page.
    let mut names: BinaryHeap<Vec<u8>> = BinaryHeap::with_capacity(limit + 2);
    let mut incomplete = false;
    for (count, found) in dir.iter().enumerate() {
        let found = found?;
        let name = found.file_name().to_bytes();
        let is_wanted = !matches!(name, b"." | b"..")
            && name > &*after
            && (names.len() <= limit || names.peek().is_some_and(|top| name < &**top));
        if is_wanted {
            names.push(name.to_vec());
            if names.len() > limit + 1 {
                names.pop();
            }
        }
        if count % 1024 == 1023 && Instant::now() > end {
            incomplete = true;
            break;
        }
    }
    let mut names = names.into_sorted_vec();
    let has_more = names.len() > limit;
    names.truncate(limit);
    let mut next = names.last().filter(|_| has_more).map(|name| escape(name));
    let mut entries = Vec::with_capacity(names.len());
    let mut room = MAX_BYTES;
    for name in names {
        // One that went meanwhile is none.
        let Ok(entry) = entry::at(folder, OsStr::from_bytes(&name)) else {
            continue;
        };
        let size = serde_json::to_string(&entry).map_or(0, |text| text.len());
        entries.push(entry);
        room = room.saturating_sub(size);
        if room == 0 {
            next = Some(escape(&name));
            break;
        }
    }
    Ok(FileList {
        entries,
        next,
        incomplete,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use cib_protocol::api::FileKind;

    use super::*;
    use crate::place::tests::root;

    #[test]
    fn pages_show_every_name_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..25 {
            fs::write(dir.path().join(format!("{number:02}")), "x").unwrap();
        }
        let folder = root(dir.path(), true).open().unwrap();
        let (mut seen, mut after, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = page(&folder, after.as_deref(), 10).unwrap();
            seen.extend(page.entries.into_iter().map(|entry| entry.name));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let all: Vec<_> = (0..25).map(|number| format!("{number:02}")).collect();
        assert_eq!((seen, pages), (all, 3));
    }

    #[test]
    fn names_of_any_bytes_and_files_of_any_kind_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
        fs::create_dir(at(b"folder")).unwrap();
        fs::write(at(b"\xff\n\x1b[31m<b>"), "four").unwrap();
        symlink("/etc/shadow", at(b"link")).unwrap();
        nix::unistd::mkfifo(&at(b"pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let folder = root(dir.path(), true).open().unwrap();
        let page = page(&folder, None, 10).unwrap();
        let told: Vec<_> = page
            .entries
            .iter()
            .map(|entry| (&*entry.name, entry.kind, entry.size))
            .collect();
        assert_eq!(
            told,
            [
                ("folder", FileKind::Folder, 0),
                ("link", FileKind::Link, 0),
                ("pipe", FileKind::Pipe, 0),
                ("\\xff\n\u{1b}[31m<b>", FileKind::File, 4),
            ]
        );
        assert_eq!(page.entries[1].target.as_deref(), Some("/etc/shadow"));
    }

    #[test]
    fn a_folder_that_never_ends_costs_its_time_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..3000 {
            fs::write(dir.path().join(number.to_string()), "").unwrap();
        }
        let folder = root(dir.path(), true).open().unwrap();
        let page = within(&folder, None, 5, Instant::now()).unwrap();
        assert!(page.incomplete && page.entries.len() == 5);
    }
}
