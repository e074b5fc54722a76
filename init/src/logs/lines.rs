//! A stream of bytes cut into lines.

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// Bytes read at once: what a pipe holds.
const PIECE: usize = 64 * 1024;
/// A line longer than this comes out in pieces: something has to bound what a service that
/// never ends its line can make init hold.
const LONGEST: usize = 256 * 1024;

/// Bytes that were read and not yet given out.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    begin: usize,
    /// Up to where no newline was found.
    seen: usize,
}

impl Lines {
    /// Reads what is there; false at the end.
    pub(super) async fn fill(&mut self, from: &mut pipe::Receiver) -> bool {
        self.bytes.drain(..self.begin);
        self.seen -= self.begin;
        self.begin = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > PIECE {
            // A burst is over; init is small again.
            self.bytes = Vec::new();
        }
        let mut piece = std::pin::pin!(from.take(PIECE as u64));
        matches!(piece.read_buf(&mut self.bytes).await, Ok(n) if n > 0)
    }

    /// The next whole line, without its newline and a carriage return before it.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.bytes[self.seen..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = end.map(|offset| self.seen + offset) else {
            self.seen = self.bytes.len();
            return (self.seen - self.begin >= LONGEST).then(|| self.cut(self.seen, 0));
        };
        Some(self.cut(end, 1))
    }

    /// What is left without a newline.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let end = self.bytes.len();
        (end > self.begin).then(|| self.cut(end, 0))
    }

    fn cut(&mut self, end: usize, newline: usize) -> Vec<u8> {
        let line = &self.bytes[self.begin..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        self.begin = end + newline;
        self.seen = self.begin;
        line
    }
}
