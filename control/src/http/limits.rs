//! What one client may take of the server.

use std::time::Duration;

/// Limits of the server. The defaults are those of the box.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once, streams included.
    pub connections: usize,
    /// Time for a request's headers, and for which a kept connection may be idle.
    pub headers: Duration,
    /// Time in which some piece of a body has to arrive.
    pub body_piece: Duration,
    /// Time for a whole body.
    pub body: Duration,
    /// Time in which a client has to take something of what is sent to it.
    pub write: Duration,
    /// Time in which streams and requests end when the server is told to end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            headers: Duration::from_secs(30),
            body_piece: Duration::from_secs(15),
            body: Duration::from_secs(120),
            write: Duration::from_secs(60),
            drain: Duration::from_millis(1500),
        }
    }
}

/// Headers of one request.
pub const HEADERS: usize = 64;

/// Bytes of one request's headers, and of each direction's buffer of a connection.
pub const BUFFER: usize = 32 * 1024;

/// Bytes of a refused body that are still read, so that the client gets to read why.
pub const DISCARD: usize = 64 * 1024 * 1024;

/// Time for which they are.
pub const DISCARD_TIME: Duration = Duration::from_secs(5);
