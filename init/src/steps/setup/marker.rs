//! Marks of what was done on this volume, for `CIB_SETUP=once`.

use std::path::PathBuf;

use super::super::files::{FileError, make_dir, write_file};
use super::super::paths::Paths;
use super::Job;

/// One file for each command, named by its digest. The folder is root's: coder cannot pretend
/// that something was done.
pub(super) struct Markers {
    folder: PathBuf,
}

impl Markers {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            folder: paths.at(paths.setup_markers()),
        }
    }

    fn file(&self, job: &Job) -> PathBuf {
        self.folder.join(&job.digest)
    }

    pub(super) fn done(&self, job: &Job) -> bool {
        self.file(job).exists()
    }

    pub(super) fn mark(&self, job: &Job) -> Result<(), FileError> {
        make_dir(&self.folder, None, 0o700)?;
        write_file(
            &self.file(job),
            format!("{}\n", job.origin).as_bytes(),
            None,
            0o600,
        )?;
        Ok(())
    }
}
