//! The file that the result goes into.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cib_foreign::ForeignError;

/// Why the result cannot be written there.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It cannot be opened, or is no regular file.
    #[error("the result cannot be written")]
    Open(#[from] ForeignError),
    /// What is in it cannot be removed.
    #[error("{} cannot be emptied", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Opens it, made and emptied: before anything of coder's runs, so that no name on the way to it
/// becomes another meanwhile, and so that nobody takes an earlier result for this one.
///
/// # Errors
/// A [`PlaceError`].
pub fn place(path: &Path) -> Result<File, PlaceError> {
    let file = cib_foreign::open_to_write(path, 0o644)?;
    file.set_len(0).map_err(|source| PlaceError::Empty {
        path: path.to_owned(),
        source,
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_made_or_emptied_and_no_link_is_followed_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let length = |name: &str| at(name).metadata().unwrap().len();
        place(&at("new")).unwrap();
        assert_eq!(length("new"), 0);
        std::fs::write(at("old"), "of yesterday").unwrap();
        place(&at("old")).unwrap();
        assert_eq!(length("old"), 0);

        std::fs::write(at("kept"), "kept").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink("kept", at("link")).unwrap();
        std::os::unix::fs::symlink(".", at("way")).unwrap();
        std::fs::hard_link(at("kept"), at("other")).unwrap();
        for bad in ["link", "way/kept", "other", "folder", "missing/file"] {
            place(&at(bad)).unwrap_err();
        }
        assert_eq!(length("kept"), 4);
    }
}
