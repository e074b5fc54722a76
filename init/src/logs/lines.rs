//! A stream of bytes cut into lines.

use std::io;

use tokio::net::unix::pipe;

/// Bytes read at once, at least.
const PIECE: usize = 16 * 1024;
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
    /// Reads what is there; false at the end. Nothing is held while there is nothing to read.
    pub(super) async fn fill(&mut self, from: &mut pipe::Receiver) -> bool {
        self.bytes.drain(..self.begin);
        self.seen -= self.begin;
        self.begin = 0;
        loop {
            self.bytes.reserve(PIECE);
            match from.try_read_buf(&mut self.bytes) {
                Ok(count) => return count > 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            self.bytes.shrink_to_fit();
            if from.readable().await.is_err() {
                return false;
            }
        }
    }

    /// The next whole line, without its newline and a carriage return before it. Of a line that
    /// is cut, so many bytes as `waits` says stay for its next piece, but never all.
    pub(super) fn next(&mut self, waits: impl FnOnce(&[u8]) -> usize) -> Option<Vec<u8>> {
        let end = self.bytes[self.seen..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = end.map(|offset| self.seen + offset) else {
            self.seen = self.bytes.len();
            if self.seen - self.begin < LONGEST {
                return None;
            }
            let kept = waits(&self.bytes[self.begin..]);
            let end = self.seen - kept;
            return Some(self.cut(if end > self.begin { end } else { self.seen }, 0));
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

#[cfg(test)]
mod tests {
    use super::super::Mask;
    use super::*;

    #[test]
    fn a_line_that_is_cut_is_not_cut_within_a_secret() {
        const SECRET: &[u8] = b"hunter2hunter2";
        let mut mask = Mask::default();
        mask.add("hunter2hunter2");
        let waits = |piece: &[u8]| mask.open_end(piece);
        for come in 1..SECRET.len() {
            let fill = vec![b'-'; LONGEST];
            let mut lines = Lines {
                bytes: [&fill[..], &SECRET[..come]].concat(),
                ..Lines::default()
            };
            assert_eq!(lines.next(waits), Some(fill), "{come}");
            assert_eq!(lines.next(waits), None);
            lines.bytes.extend([&SECRET[come..], b"\n"].concat());
            assert_eq!(lines.next(waits).as_deref(), Some(SECRET));
        }
    }

    #[test]
    fn a_line_of_nothing_but_a_secrets_beginning_is_cut_all_the_same() {
        let mut lines = Lines {
            bytes: vec![b'-'; LONGEST],
            ..Lines::default()
        };
        assert_eq!(lines.next(<[u8]>::len), Some(vec![b'-'; LONGEST]));
    }
}
