//! Frames: a length and that many bytes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why nothing is answered.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Standard input is something else.
    #[error("standard input is no connection")]
    NoConnection(#[source] io::Error),
    /// The other side has gone, or sends what is no frame.
    #[error("the connection broke")]
    Broken(#[from] io::Error),
}

impl WireError {
    /// Whether the other side has gone before the end.
    #[must_use]
    pub fn is_farewell(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let Self::Broken(error) = self else {
            return false;
        };
        matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
    }
}

/// The connection that is this program's standard input.
///
/// # Errors
/// If that is none.
pub fn adopt() -> Result<UnixStream, WireError> {
    let owned = io::stdin().as_fd().try_clone_to_owned();
    let stream = UnixStream::from(owned.map_err(WireError::NoConnection)?);
    stream
        .peer_addr()
        .and_then(|_| stream.set_nonblocking(false))
        .map_err(WireError::NoConnection)?;
    Ok(stream)
}

/// Reads one frame into a buffer.
///
/// # Errors
/// If the connection ends, or the frame has more than `most` bytes.
pub fn receive(stream: &mut impl Read, buffer: &mut Vec<u8>, most: usize) -> io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > most {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    buffer.resize(length, 0);
    stream.read_exact(buffer)
}

/// Sends one frame.
///
/// # Errors
/// If the connection ends.
pub fn send(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(bytes)
}

/// Reads a head.
///
/// # Errors
/// As [`receive`], and if it is not one.
pub fn head<T: DeserializeOwned>(stream: &mut impl Read, most: usize) -> io::Result<T> {
    let mut bytes = Vec::new();
    receive(stream, &mut bytes, most)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Sends a head.
///
/// # Errors
/// As [`send`].
pub fn say<T: Serialize>(stream: &mut impl Write, head: &T) -> io::Result<()> {
    send(stream, &serde_json::to_vec(head)?)
}
