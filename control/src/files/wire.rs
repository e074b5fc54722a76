//! Frames: a length and that many bytes (`cib_protocol::files`).

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Reads one frame.
///
/// # Errors
/// If the connection ends, or the frame has more than `most` bytes.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin), most: usize) -> io::Result<Bytes> {
    let length = stream.read_u32().await?;
    let length = usize::try_from(length).map_err(io::Error::other)?;
    if length > most {
        let what = format!("a frame of {length} bytes, where {most} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    // What is announced takes no memory before it is there.
    let mut frame = BytesMut::with_capacity(length.min(64 * 1024));
    let mut rest = stream.take(length as u64);
    while rest.read_buf(&mut frame).await? > 0 {}
    if frame.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame.freeze())
}

/// Sends one frame.
///
/// # Errors
/// If the connection ends.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_that_is_too_long_or_ends_early_is_none() {
        let mut sent = Vec::new();
        send(&mut sent, b"four").await.unwrap();
        assert_eq!(&receive(&mut &*sent, 4).await.unwrap()[..], b"four");
        let long = receive(&mut &*sent, 3).await.unwrap_err();
        assert_eq!(long.kind(), io::ErrorKind::InvalidData);
        let cut = receive(&mut &sent[..6], 4).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        let huge = [0xff, 0xff, 0xff, 0xff, b'x'];
        assert!(receive(&mut &huge[..], 4).await.is_err());
    }
}
