//! The last lines of a stream, for the reason of a failure.

/// Bytes kept.
const MAX: usize = 4096;

/// The end of what was written to a stream.
#[derive(Debug, Default)]
pub struct LastLines {
    bytes: Vec<u8>,
}

impl LastLines {
    /// Takes more bytes and forgets the oldest.
    pub fn take(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(MAX)..];
        let surplus = (self.bytes.len() + bytes.len()).saturating_sub(MAX);
        self.bytes.drain(..surplus);
        self.bytes.extend_from_slice(bytes);
    }

    /// What is kept, as text without the line that it may begin in the middle of.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let whole = match text.split_once('\n') {
            Some((_, rest)) if self.bytes.len() >= MAX => rest,
            _ => &text,
        };
        let whole = whole.trim();
        (!whole.is_empty()).then(|| whole.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_lines_are_kept() {
        let mut lines = LastLines::default();
        assert_eq!(lines.text(), None);
        for number in 0..2000 {
            lines.take(format!("line {number}\n").as_bytes());
        }
        let text = lines.text().unwrap();
        assert!(text.starts_with("line "), "{text}");
        assert!(text.ends_with("line 1999"), "{text}");
        assert!(text.len() <= MAX);
    }

    #[test]
    fn a_short_text_is_kept_whole() {
        let mut lines = LastLines::default();
        lines.take(b"one\ntw");
        lines.take(b"o\n");
        assert_eq!(lines.text().as_deref(), Some("one\ntwo"));
    }
}
