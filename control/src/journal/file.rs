//! Reading a piece of a journal without holding up everybody else.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use cib_journal::seek::Source;

use crate::sys;

/// Reads at most `len` bytes at an offset; fewer only at the end of the file.
///
/// What the page cache has is read at once: nearly always, since frames are read just after
/// they were written. What would have to wait for a disk is read on another thread.
///
/// # Errors
/// As the file system has them.
pub async fn read(file: &Arc<File>, offset: u64, len: usize) -> io::Result<BytesMut> {
    let mut buffer = BytesMut::zeroed(len);
    match sys::read_cached(file, &mut buffer, offset) {
        Ok(n) if n > 0 || len == 0 => {
            buffer.truncate(n);
            return Ok(buffer);
        }
        // At the end of the file, nothing cached, or a file system that does not say; any other
        // failure is met again.
        Ok(_) | Err(_) => {}
    }
    let file = Arc::clone(file);
    tokio::task::spawn_blocking(move || {
        let n = file.read_at(&mut buffer, offset)?;
        buffer.truncate(n);
        Ok(buffer)
    })
    .await
    .map_err(io::Error::other)?
}
