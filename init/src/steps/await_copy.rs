//! Waits for the copy of a repository that whoever has made the box brings into `/workspace`.
//!
//! It comes through the engine, as coder, into a box that runs: so a container beside it that would
//! take it, and whose start takes longer than all of the copy, need not be. Nothing of coder's
//! begins before it is complete.

use std::time::Duration;

use super::files::{FileError, make_dir, write_file};
use super::paths::Paths;

/// How often is looked: somebody waits for the box.
const LOOK: Duration = Duration::from_millis(10);

/// The mark of a copy that has come to this volume. Its folder is root's: coder cannot have a box
/// wait, or not wait.
const MARK: &str = "copied";

/// Waits until the copy is there; for one that has come to this volume before, not at all. Where it
/// waits, that is told.
///
/// # Errors
///
/// The files of the agreement cannot be made.
pub async fn await_copy(paths: &Paths, waits: impl FnOnce()) -> Result<(), FileError> {
    let folder = paths.at(paths.setup_markers());
    let mark = folder.join(MARK);
    if mark.exists() {
        return Ok(());
    }
    write_file(&paths.at(paths.awaits_copy()), b"", None, 0o644)?;
    waits();
    let copied = paths.at(paths.copied());
    let mut clock = tokio::time::interval(LOOK);
    while !copied.exists() {
        clock.tick().await;
    }
    make_dir(&folder, None, 0o700)?;
    write_file(&mark, b"", None, 0o600)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_copy_is_waited_for_until_it_is_there_and_once_for_a_volume() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::below(root.path(), "/data".into());
        for folder in ["run/cib", "data"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let waiting = await_copy(&paths, || {});
        tokio::pin!(waiting);
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, &mut waiting).await.is_err());
        assert!(root.path().join("run/cib/awaits-copy").exists());
        std::fs::write(root.path().join("run/cib/copied"), "").unwrap();
        waiting.await.unwrap();
        // The next container has the volume, and nothing of the last one's.
        std::fs::remove_dir_all(root.path().join("run/cib")).unwrap();
        let never = || panic!("it has come already");
        await_copy(&paths, never).await.unwrap();
        assert!(!root.path().join("run").join("cib").exists());
    }
}
