//! Places: a root, and a path below it that is walked name by name.
//!
//! Each step opens a name in the folder before it without following a link, so that nobody who
//! moves things about meanwhile can lead the walk anywhere else. `openat2` could do the same in
//! one call, where there is one: engines before 2021 forbid it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use cib_foreign::{own, stat};
use cib_protocol::api::FileRoot;
use cib_protocol::files::{FilesFault, MAX_DEPTH, Place, escape, unescape};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::Mode;

use crate::fault::Refusal;

/// Bytes of a name, at most: `NAME_MAX`.
const MAX_NAME: usize = 255;

/// A folder below which files are looked at.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its name in requests.
    pub name: String,
    /// Where it is. Nobody but root can have made the way there.
    pub path: PathBuf,
    /// Whether anything below it may be changed. One that may not is looked at on its own disk
    /// alone: neither the kernel's own file systems nor other roots are shown in it.
    pub writable: bool,
}

/// All of them, the most important first.
#[derive(Clone, Debug, Default)]
pub struct Roots(pub Vec<Root>);

/// A folder that is held open, and a name in it.
#[derive(Debug)]
pub struct Spot {
    /// The folder.
    pub folder: OwnedFd,
    /// The name.
    pub name: OsString,
}

impl Roots {
    /// What clients are told of them.
    #[must_use]
    pub fn told(&self) -> Vec<FileRoot> {
        let told = |root: &Root| FileRoot {
            name: root.name.clone(),
            path: escape(root.path.as_os_str().as_bytes()),
            writable: root.writable,
            present: root.open().is_ok(),
        };
        self.0.iter().map(told).collect()
    }

    /// The root of a place.
    ///
    /// # Errors
    /// If none has that name.
    pub fn of(&self, place: &Place) -> Result<&Root, Refusal> {
        let found = self.0.iter().find(|root| root.name == place.root);
        found.ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|root| &*root.name).collect();
            Refusal::new(
                FilesFault::BadRequest,
                format!("there is no such root; there are {}", names.join(", ")),
            )
        })
    }

    /// The same, if something in it may be changed.
    ///
    /// # Errors
    /// As [`Roots::of`], and if it is only to be looked at.
    pub fn writable(&self, place: &Place) -> Result<&Root, Refusal> {
        let root = self.of(place)?;
        if root.writable {
            return Ok(root);
        }
        let why = format!("`{}` is only to be looked at", root.name);
        Err(Refusal::new(FilesFault::Forbidden, why))
    }

    /// The folder of an absolute path, below the root that is nearest to it.
    ///
    /// # Errors
    /// If it is below none, or is no folder.
    pub fn folder(&self, path: &str) -> Result<OwnedFd, Refusal> {
        let bytes = unescape(path).filter(|bytes| bytes.starts_with(b"/"));
        let bytes = bytes.ok_or_else(|| bad("`workdir` is an absolute path"))?;
        let path = Path::new(OsStr::from_bytes(&bytes));
        let nearest = self
            .0
            .iter()
            .filter(|root| root.writable && path.starts_with(&root.path))
            .max_by_key(|root| root.path.as_os_str().len());
        let root = nearest.ok_or_else(|| bad("`workdir` is below none of the roots"))?;
        let rest = path.strip_prefix(&root.path).unwrap_or(path);
        root.folder(&parts(&escape(rest.as_os_str().as_bytes()))?)
    }
}

impl Root {
    /// The root itself.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn open(&self) -> Result<OwnedFd, Refusal> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(own::openat(AT_FDCWD, &self.path, flags, Mode::empty())?)
    }

    /// A folder below it, to step from and not to be read.
    ///
    /// # Errors
    /// If one of the names is no folder, or another disk where that is not wanted.
    pub fn folder(&self, names: &[OsString]) -> Result<OwnedFd, Refusal> {
        let mut folder = self.open()?;
        let device = stat::of(&folder)?.st_dev;
        for name in names {
            folder = step(&folder, name)?;
            if !self.writable && stat::of(&folder)?.st_dev != device {
                return Err(Errno::EXDEV.into());
            }
        }
        Ok(folder)
    }

    /// The folder and the name of a path below it.
    ///
    /// # Errors
    /// As [`Root::folder`], and for the root itself, which has no name.
    pub fn spot(&self, path: &str) -> Result<Spot, Refusal> {
        let mut names = parts(path)?;
        let name = names
            .pop()
            .ok_or_else(|| bad("a root itself is not to be changed or read"))?;
        Ok(Spot {
            folder: self.folder(&names)?,
            name,
        })
    }
}

/// Opens a folder in a folder, to step from and not to be read.
///
/// # Errors
/// [`FilesFault::Link`] if a link stands there; else the kernel's answer.
pub fn step(folder: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Refusal> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    own::openat(folder, name, flags, Mode::empty()).map_err(|errno| {
        // The kernel says the same of a link and of a file.
        let is_link = errno == Errno::ENOTDIR
            && stat::at(folder, name)
                .is_ok_and(|found| found.st_mode & nix::libc::S_IFMT == nix::libc::S_IFLNK);
        if is_link { Errno::ELOOP } else { errno }.into()
    })
}

/// The same folder, to be read.
///
/// # Errors
/// The kernel's answer.
pub fn readable(folder: &OwnedFd) -> Result<OwnedFd, Refusal> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(own::openat(folder, ".", flags, Mode::empty())?)
}

/// The names of a path. Empty ones and `.` mean nothing, `..` is refused.
///
/// # Errors
/// If no path is written so.
pub fn parts(path: &str) -> Result<Vec<OsString>, Refusal> {
    let bytes = unescape(path)
        .ok_or_else(|| bad(r"a backslash in a path is written `\\`, another byte `\xHH`"))?;
    let mut names = Vec::new();
    for name in bytes.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(bad("a path has no `..`")),
            name if name.contains(&0) => return Err(bad("a path has no NUL byte")),
            name if name.len() > MAX_NAME => return Err(bad("a name in the path is too long")),
            name => names.push(OsString::from_vec(name.to_vec())),
        }
    }
    if names.len() > MAX_DEPTH {
        return Err(bad("the path is too deep"));
    }
    Ok(names)
}

fn bad(detail: &str) -> Refusal {
    Refusal::new(FilesFault::BadRequest, detail)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    pub(crate) fn root(path: &Path, writable: bool) -> Root {
        Root {
            name: "workspace".to_owned(),
            path: path.to_owned(),
            writable,
        }
    }

    fn code<T: std::fmt::Debug>(of: Result<T, Refusal>) -> FilesFault {
        of.unwrap_err().code
    }

    #[test]
    fn a_path_is_names_and_nothing_that_leads_elsewhere() {
        let names = parts(r"/a//./b\\c/\xffd/").unwrap();
        let names: Vec<_> = names.iter().map(|name| name.as_bytes()).collect();
        assert_eq!(names, [&b"a"[..], b"b\\c", b"\xffd"]);
        for bad in ["a/../b", "..", r"a\", "a\0b", r"\x2e\x2e", r"a\x00"] {
            assert_eq!(code(parts(bad)), FilesFault::BadRequest, "{bad:?}");
        }
        assert_eq!(code(parts(&"a".repeat(256))), FilesFault::BadRequest);
        assert_eq!(code(parts(&"a/".repeat(129))), FilesFault::BadRequest);
        // One escaped slash separates names as any other does: it can be in none.
        assert_eq!(parts(r"a\x2fb").unwrap().len(), 2);
    }

    #[test]
    fn no_link_is_followed_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("in/deep")).unwrap();
        fs::write(dir.path().join("in/file"), "").unwrap();
        symlink("deep", dir.path().join("in/link")).unwrap();
        symlink("/etc", dir.path().join("in/etc")).unwrap();
        let root = root(&dir.path().join("in"), true);
        assert!(root.spot("deep/x").is_ok());
        assert_eq!(code(root.spot("link/x")), FilesFault::Link);
        assert_eq!(code(root.spot("etc/passwd")), FilesFault::Link);
        assert_eq!(code(root.spot("file/x")), FilesFault::NotFolder);
        assert_eq!(code(root.spot("none/x")), FilesFault::Absent);
        assert_eq!(code(root.spot("")), FilesFault::BadRequest);
    }

    #[test]
    fn a_root_that_is_only_looked_at_ends_where_another_disk_begins() {
        let of_the_box = root(Path::new("/"), false);
        assert_eq!(code(of_the_box.spot("proc/self")), FilesFault::OtherDevice);
        assert!(root(Path::new("/"), true).spot("proc/self").is_ok());
        let place = Place {
            root: "workspace".to_owned(),
            path: String::new(),
        };
        let roots = Roots(vec![of_the_box]);
        assert_eq!(code(roots.writable(&place)), FilesFault::Forbidden);
    }

    #[test]
    fn a_workdir_is_found_below_the_nearest_root() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let roots = Roots(vec![
            root(dir.path(), true),
            root(&dir.path().join("a"), true),
        ]);
        let path = dir.path().join("a/b");
        assert!(roots.folder(path.to_str().unwrap()).is_ok());
        assert_eq!(code(roots.folder("/etc")), FilesFault::BadRequest);
        assert_eq!(code(roots.folder("a/b")), FilesFault::BadRequest);
        let sibling = format!("{}-not", dir.path().display());
        assert_eq!(code(roots.folder(&sibling)), FilesFault::BadRequest);
    }
}
