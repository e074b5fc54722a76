//! Sockets of this program's own, in a directory where nobody else makes any.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Listens, in the place of what an earlier process has left, and never waits for who knocks. Who
/// may connect is the caller's to say, by the socket's mode.
///
/// # Errors
/// The kernel's answer.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    cib_base::files::remove(path)?;
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
