//! What tells one journal from another.

use std::fs::File;
use std::io;

use cib_journal::seek::Source;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes that are looked at. A line has its seq and its time in it, so the last few are those of
/// one journal alone.
const LOOKED_AT: u64 = 4096;

/// What stands in front of an offset, so that it is noticed if something else does later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark(String);

impl Mark {
    /// Looks at what stands in front of an offset.
    ///
    /// # Errors
    /// If that cannot be read, or the file ends before.
    pub(super) fn before(file: &File, offset: u64) -> io::Result<Self> {
        let from = offset.saturating_sub(LOOKED_AT);
        let mut bytes = vec![0; usize::try_from(offset - from).unwrap_or(0)];
        if Source::read_at(file, &mut bytes, from)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let digest = Sha256::digest(&bytes);
        // Half of it tells them apart as well as all of it.
        Ok(Self(cib_base::hex::encode(&digest[..16])))
    }
}
