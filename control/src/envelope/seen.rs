//! What was asked by the earlier envelopes, so that nothing recorded is ever done again.
//!
//! Their times are no proof (version 2) or say nothing of a restart, so each request's own number is
//! kept on the disk for the life of its token: a file of 16 bytes a request.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests of one token; it has to be minted anew then.
const MOST: usize = 1_000_000;

/// Bytes of a request's number.
const NUMBER: usize = 16;

/// Whether a request may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was never here.
    New,
    /// It was.
    Seen,
    /// There is no room for another.
    Full,
}

/// The numbers of a token's requests; nothing before its file was read.
type Numbers = Arc<Mutex<Option<HashSet<[u8; NUMBER]>>>>;

/// The numbers of each token's requests. A disk is waited for under a token's own lock alone.
#[derive(Debug)]
pub(crate) struct Seen {
    folder: PathBuf,
    tokens: Mutex<HashMap<String, Numbers>>,
}

impl Seen {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            tokens: Mutex::default(),
        }
    }

    /// Takes up a number, which is on the disk when this returns. It may wait for a disk.
    ///
    /// # Errors
    /// If the file cannot be read or written: nothing may be done then.
    pub(crate) fn take(&self, token: &str, number: [u8; NUMBER]) -> io::Result<Verdict> {
        self.take_up_to(token, number, MOST)
    }

    fn take_up_to(&self, token: &str, number: [u8; NUMBER], most: usize) -> io::Result<Verdict> {
        let numbers = Arc::clone(self.tokens().entry(token.to_owned()).or_default());
        let mut numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join(token);
        if numbers.is_none() {
            let bytes = match cib_foreign::own::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            };
            // What a crash left half written was never done.
            *numbers = Some(bytes.as_chunks::<NUMBER>().0.iter().copied().collect());
        }
        let known = numbers.get_or_insert_default();
        if known.contains(&number) {
            return Ok(Verdict::Seen);
        }
        if known.len() >= most {
            return Ok(Verdict::Full);
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let mut how = fs::OpenOptions::new();
        how.create(true).append(true).mode(0o600);
        let mut file = cib_foreign::own::open_as(&mut how, &path)?;
        // A half of one in front of it would put every later one out of step.
        let whole = (known.len() * NUMBER) as u64;
        if file.metadata()?.len() != whole {
            file.set_len(whole)?;
        }
        file.write_all(&number)?;
        file.sync_data()?;
        known.insert(number);
        Ok(Verdict::New)
    }

    /// Forgets a token that is no more. It may wait for a disk.
    pub(crate) fn forget(&self, token: &str) {
        let numbers = self.tokens().remove(token).unwrap_or_default();
        let mut numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner);
        *numbers = None;
        // One that asked nothing has none.
        let _ = fs::remove_file(self.folder.join(token));
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, Numbers>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_once_also_after_a_restart_and_half_of_one_counts_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("seen");
        let seen = Seen::new(folder.clone());
        assert_eq!(seen.take("t", [1; 16]).unwrap(), Verdict::New);
        assert_eq!(seen.take("t", [1; 16]).unwrap(), Verdict::Seen);
        assert_eq!(seen.take("u", [1; 16]).unwrap(), Verdict::New);
        let mut file = fs::OpenOptions::new();
        let mut file = file.append(true).open(folder.join("t")).unwrap();
        file.write_all(&[9; 7]).unwrap();
        let again = Seen::new(folder.clone());
        assert_eq!(again.take("t", [1; 16]).unwrap(), Verdict::Seen);
        assert_eq!(again.take("t", [2; 16]).unwrap(), Verdict::New);
        let third = Seen::new(folder);
        assert_eq!(third.take("t", [2; 16]).unwrap(), Verdict::Seen);
        assert_eq!(third.take_up_to("t", [3; 16], 2).unwrap(), Verdict::Full);
        third.forget("t");
        assert_eq!(third.take("t", [1; 16]).unwrap(), Verdict::New);
    }

    #[test]
    fn a_token_that_waits_for_its_disk_holds_up_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Seen::new(dir.path().join("seen"));
        assert_eq!(seen.take("t", [1; 16]).unwrap(), Verdict::New);
        let slow = Arc::clone(&seen.tokens()["t"]);
        let _waits = slow.lock().unwrap();
        assert_eq!(seen.take("u", [1; 16]).unwrap(), Verdict::New);
        seen.forget("u");
        assert_eq!(seen.take("u", [1; 16]).unwrap(), Verdict::New);
    }
}
