//! Where a session may work.
//!
//! This is a service to the caller, who learns at once that a path is mistyped, and no wall:
//! Claude runs as `coder` and goes where `coder` may go.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::fault::{Code, Fault};

/// Checks the directory that a request names.
///
/// # Errors
/// [`Code::BadValue`] if it is not an absolute path without `..`, or no directory;
/// [`Code::WorkdirOutside`] if it leads, also by links, out of every root.
pub fn check(workdir: &str, roots: &[PathBuf]) -> Result<PathBuf, Fault> {
    let path = Path::new(workdir);
    let bad = |why: &str| Err(Fault::new(Code::BadValue, format!("`workdir` {why}")));
    if !path.is_absolute() {
        return bad("has to be an absolute path");
    }
    if workdir.contains('\0') {
        return bad("has a NUL byte");
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return bad("must not have `..` in it");
    }
    // The components leave out `.` and doubled slashes.
    let path: PathBuf = path.components().collect();
    if !is_inside(&path, roots) {
        return Err(outside(&path, roots));
    }
    let real = match path.canonicalize() {
        Ok(real) => real,
        // What control may not see, the keeper decides on as the user whose it is.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(path),
        Err(error) => {
            let why = format!("`workdir` {} does not exist; make it first", path.display());
            return Err(Fault::new(Code::BadValue, why).because(error));
        }
    };
    let roots: Vec<_> = roots
        .iter()
        .map(|root| root.canonicalize().unwrap_or_else(|_| root.clone()))
        .collect();
    if !is_inside(&real, &roots) {
        return Err(outside(&real, &roots));
    }
    if real.is_dir() {
        Ok(path)
    } else {
        bad("is not a directory")
    }
}

fn is_inside(path: &Path, roots: &[PathBuf]) -> bool {
    roots.iter().any(|root| path.starts_with(root))
}

fn outside(path: &Path, roots: &[PathBuf]) -> Fault {
    let roots: Vec<_> = roots
        .iter()
        .map(|root| root.display().to_string())
        .collect();
    Fault::new(
        Code::WorkdirOutside,
        format!(
            "{} is outside; a session works under {}",
            path.display(),
            roots.join(" or ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn code(workdir: &Path, root: &Path) -> Option<Code> {
        check(workdir.to_str().unwrap(), &[root.to_owned()])
            .err()
            .map(|fault| fault.code())
    }

    #[test]
    fn a_directory_inside_is_taken_in_its_plainest_spelling() {
        let root = tempfile::tempdir().unwrap();
        let there = root.path().join("there");
        fs::create_dir(&there).unwrap();
        symlink("there", root.path().join("link")).unwrap();
        assert_eq!(code(root.path(), root.path()), None);
        assert_eq!(code(&root.path().join("link"), root.path()), None);
        let spelt = root.path().join("./there//.");
        let taken = check(spelt.to_str().unwrap(), &[root.path().to_owned()]).unwrap();
        assert_eq!(taken, there);
    }

    #[test]
    fn what_leads_outside_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        symlink("/etc", root.join("link")).unwrap();
        assert_eq!(code(Path::new("/etc"), &root), Some(Code::WorkdirOutside));
        assert_eq!(code(&root.join("link"), &root), Some(Code::WorkdirOutside));
        let sibling = dir.path().join("root-but-not-really");
        assert_eq!(code(&sibling, &root), Some(Code::WorkdirOutside));
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::write(root.join("file"), "").unwrap();
        symlink(root.join("nowhere"), root.join("dangling")).unwrap();
        for bad in [
            "file",
            "file/below",
            "missing",
            "dangling",
            "a/../b",
            "a\0b",
        ] {
            assert_eq!(code(&root.join(bad), root), Some(Code::BadValue), "{bad}");
        }
        assert_eq!(code(Path::new("relative"), root), Some(Code::BadValue));
    }
}
