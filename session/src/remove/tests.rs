use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::stat::mkdirat;
use nix::unistd::mkfifoat;

use super::*;

/// A disk that others use takes a millisecond for each folder.
const SOON: Duration = Duration::from_secs(120);

fn emptied(path: &Path) -> Removal {
    let folder = open(path).unwrap();
    empty(folder.as_fd(), &[], Instant::now() + SOON)
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// A tree, and what must not be touched beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.tree()).unwrap();
        fs::create_dir_all(place.beside().join("deep")).unwrap();
        for name in ["file", "deep/file"] {
            fs::write(place.beside().join(name), "precious").unwrap();
        }
        place
    }

    fn tree(&self) -> std::path::PathBuf {
        self.0.path().join("tree")
    }

    fn beside(&self) -> std::path::PathBuf {
        self.0.path().join("beside")
    }

    #[track_caller]
    fn is_untouched(&self) {
        for name in ["file", "deep/file"] {
            let text = fs::read_to_string(self.beside().join(name)).unwrap();
            assert_eq!(text, "precious", "{name}");
        }
    }
}

#[test]
fn everything_goes_but_what_is_to_stay_and_what_was_freed_is_told() {
    let place = Place::new();
    let tree = place.tree();
    fs::create_dir_all(tree.join("a/b/c")).unwrap();
    fs::write(tree.join("a/b/c/file"), vec![7; 100_000]).unwrap();
    fs::write(tree.join("kept"), "").unwrap();
    let expected = fs::metadata(tree.join("a/b/c/file")).unwrap().blocks() * BLOCK;
    let folder = open(&tree).unwrap();
    let done = empty(folder.as_fd(), &[c"kept"], Instant::now() + SOON);
    let told = Removal {
        freed: expected,
        ..Removal::default()
    };
    assert_eq!(done, told);
    assert_eq!(names(&tree), ["kept"]);
    assert!(expected >= 100_000);
}

#[test]
fn links_pipes_sockets_and_second_names_go_and_what_they_lead_to_stays() {
    let place = Place::new();
    let (tree, beside) = (place.tree(), place.beside());
    fs::create_dir(tree.join("in")).unwrap();
    for at in [tree.clone(), tree.join("in")] {
        symlink(&beside, at.join("folder")).unwrap();
        symlink(beside.join("file"), at.join("link")).unwrap();
        symlink("..", at.join("up")).unwrap();
        symlink("/nowhere", at.join("dangling")).unwrap();
        fs::hard_link(beside.join("file"), at.join("name")).unwrap();
        std::os::unix::net::UnixListener::bind(at.join("socket")).unwrap();
        mkfifoat(AT_FDCWD, &at.join("pipe"), Mode::S_IRWXU).unwrap();
    }
    let done = emptied(&tree);
    assert_eq!((done.left, done.late), (None, false));
    assert_eq!(names(&tree), [""; 0]);
    place.is_untouched();
    assert_eq!(fs::metadata(beside.join("file")).unwrap().nlink(), 1);
}

#[test]
fn a_link_in_the_place_of_the_folder_itself_is_not_followed() {
    let place = Place::new();
    let link = place.0.path().join("link");
    symlink(place.beside(), &link).unwrap();
    open(&link).unwrap_err();
    open(&place.beside().join("file")).unwrap_err();
    place.is_untouched();
}

#[test]
fn a_tree_deeper_than_any_path_and_any_number_of_descriptors_goes() {
    let place = Place::new();
    let folder = open(&place.tree()).unwrap();
    let mut at = folder.as_fd().try_clone_to_owned().unwrap();
    // More than a path has room for, and than a process has descriptors.
    for _ in 0..1500 {
        mkdirat(&at, c"down", Mode::S_IRWXU).unwrap();
        at = openat(&at, c"down", FOLDER, Mode::empty()).unwrap();
    }
    let done = emptied(&place.tree());
    assert_eq!((done.left, done.late), (None, false));
    assert_eq!(names(&place.tree()), [""; 0]);
}

#[test]
fn a_tree_that_takes_the_names_it_would_be_moved_to_goes_all_the_same() {
    let place = Place::new();
    let tree = place.tree();
    for number in 1..20 {
        fs::write(tree.join(format!(".purged-{number}")), "").unwrap();
    }
    fs::create_dir_all(tree.join("a/.purged-1/.purged-2/.purged-1")).unwrap();
    fs::create_dir_all(tree.join("a/b/c/d")).unwrap();
    assert_eq!(emptied(&tree).left, None);
    assert_eq!(names(&tree), [""; 0]);
}

#[test]
fn folders_that_are_closed_to_their_owner_are_opened_and_go() {
    let place = Place::new();
    let tree = place.tree();
    fs::create_dir_all(tree.join("none/inner/file")).unwrap();
    fs::create_dir_all(tree.join("read/inner/file")).unwrap();
    let user = Nobody::owns(&tree);
    let close = |name: &str, mode| {
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    close("none/inner", 0);
    close("none", 0);
    close("read/inner", 0o500);
    close("read", 0o500);
    let left = user.removes(&tree);
    assert_eq!(left.left, None);
    assert_eq!(names(&tree), [""; 0]);
}

#[test]
fn somebody_elses_folder_that_is_not_empty_is_left_and_named_and_the_rest_goes() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let tree = place.tree();
    fs::create_dir_all(tree.join("theirs")).unwrap();
    fs::write(tree.join("mine"), "").unwrap();
    let user = Nobody::owns(&tree);
    fs::write(tree.join("theirs/file"), "").unwrap();
    fs::write(tree.join("a-root-file"), "").unwrap();
    std::os::unix::fs::chown(tree.join("theirs"), Some(0), Some(0)).unwrap();
    let done = user.removes(&tree);
    let left = done.left.unwrap();
    assert!(left.contains("theirs/file: Permission denied"), "{left}");
    assert!(!done.late);
    assert_eq!(names(&tree), ["theirs"]);
}

/// A user without rights, if there are rights to give up.
struct Nobody(Option<u32>);

impl Nobody {
    fn owns(tree: &Path) -> Self {
        if !nix::unistd::geteuid().is_root() {
            return Self(None);
        }
        let uid = 54_321;
        let owner = format!("{uid}:{uid}");
        let given = std::process::Command::new("chown")
            .args(["-R", &owner])
            .arg(tree)
            .status();
        assert!(given.unwrap().success());
        // The way there.
        let parent = tree.parent().unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
        Self(Some(uid))
    }

    /// Removes as this user, in a thread that is given its identity and then goes.
    fn removes(&self, tree: &Path) -> Removal {
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                if let Some(uid) = self.0 {
                    nix::unistd::setfsuid(nix::unistd::Uid::from_raw(uid));
                }
                emptied(tree)
            });
            work.join().unwrap()
        })
    }
}

#[test]
fn what_is_swapped_for_a_link_while_it_is_removed_leads_nowhere() {
    let place = Place::new();
    let (tree, beside) = (place.tree(), place.beside());
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (stop, tree, beside) = (Arc::clone(&stop), tree.clone(), beside);
        std::thread::spawn(move || {
            let (here, away) = (tree.join("swapped"), tree.join("away"));
            while !stop.load(Ordering::Relaxed) {
                // Each fails when the other side was faster.
                let _ = fs::create_dir_all(here.join("deep/deeper"));
                let _ = fs::write(here.join("deep/file"), "");
                let _ = fs::rename(&here, &away);
                let _ = symlink(&beside, &here);
                let _ = fs::rename(&away, tree.join("again"));
                let _ = fs::remove_file(&here);
            }
        })
    };
    for _ in 0..20 {
        let folder = open(&tree).unwrap();
        let done = empty(
            folder.as_fd(),
            &[],
            Instant::now() + Duration::from_millis(50),
        );
        // It may have been done between two files that appeared.
        assert!(done.late || done.left.is_none(), "{done:?}");
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    place.is_untouched();
    assert_eq!(emptied(&tree).left, None);
    assert_eq!(names(&tree), [""; 0]);
}

#[test]
fn when_the_time_is_up_the_rest_stays_for_another_time() {
    let place = Place::new();
    let tree = place.tree();
    fs::create_dir_all(tree.join("a/b")).unwrap();
    let folder = open(&tree).unwrap();
    assert!(empty(folder.as_fd(), &[], Instant::now()).late);
    assert!(!emptied(&tree).late);
    assert_eq!(names(&tree), [""; 0]);
}

#[test]
fn a_name_that_is_told_is_short_and_plain() {
    let name = [b"\x1b]0;evil\x07\n\xff".as_slice(), &[b'x'; 500]].concat();
    let text = told(&name, &io::Error::from_raw_os_error(1));
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert_eq!(text.chars().count(), MOST_TOLD);
}
