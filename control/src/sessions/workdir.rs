//! Where a session may work.
//!
//! This is a service to the caller, who learns at once that a path is mistyped, and no wall:
//! Claude runs as `coder` and goes where `coder` may go.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::fault::{Code, Fault};

/// Checks the directory that a request names. It may be one that the keeper has still to make.
///
/// # Errors
/// [`Code::BadValue`] if it is not an absolute path without `..`, or is a file;
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
    match resolve(&path) {
        Ok(Resolved { real, is_dir }) => {
            let roots: Vec<_> = roots
                .iter()
                .map(|root| root.canonicalize().unwrap_or_else(|_| root.clone()))
                .collect();
            if !is_inside(&real, &roots) {
                return Err(outside(&real, &roots));
            }
            if !is_dir {
                return bad("leads through something that is not a directory");
            }
            Ok(path)
        }
        // What control may not see, the keeper decides on as the user whose it is.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(path),
        Err(error) => Err(Fault::new(Code::BadValue, "`workdir` cannot be used").because(error)),
    }
}

struct Resolved {
    real: PathBuf,
    is_dir: bool,
}

/// Follows the links of the part of a path that exists.
fn resolve(path: &Path) -> io::Result<Resolved> {
    for ancestor in path.ancestors() {
        match ancestor.canonicalize() {
            Ok(real) => {
                let is_dir = real.metadata()?.is_dir();
                return Ok(Resolved { real, is_dir });
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link that leads nowhere would be followed when the directory is made.
                if ancestor.is_symlink() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
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
    fn a_directory_inside_is_taken_whether_it_exists_or_not() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("there")).unwrap();
        for inside in ["", "there", "there/not/yet", "./there//."] {
            assert_eq!(code(&root.join(inside), root), None, "{inside}");
        }
    }

    #[test]
    fn what_leads_outside_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        symlink("/etc", root.join("link")).unwrap();
        symlink(dir.path().join("nowhere"), root.join("dangling")).unwrap();
        assert_eq!(code(Path::new("/etc"), &root), Some(Code::WorkdirOutside));
        assert_eq!(code(&root.join("link"), &root), Some(Code::WorkdirOutside));
        assert_eq!(
            code(&root.join("link/new"), &root),
            Some(Code::WorkdirOutside)
        );
        assert_eq!(code(&root.join("dangling"), &root), Some(Code::BadValue));
        let sibling = dir.path().join("root-but-not-really");
        assert_eq!(code(&sibling, &root), Some(Code::WorkdirOutside));
    }

    #[test]
    fn a_relative_path_a_parent_a_nul_and_a_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::write(root.join("file"), "").unwrap();
        for bad in ["a", "file/below"] {
            let path = if bad == "a" {
                PathBuf::from(bad)
            } else {
                root.join(bad)
            };
            assert_eq!(code(&path, root), Some(Code::BadValue), "{bad}");
        }
        assert_eq!(code(&root.join("a/../b"), root), Some(Code::BadValue));
        assert_eq!(code(&root.join("a\0b"), root), Some(Code::BadValue));
        assert_eq!(code(&root.join("file"), root), Some(Code::BadValue));
    }
}
