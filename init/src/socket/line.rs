//! Lines with an upper bound.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use tokio::time::timeout;

/// Why a line was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineFault {
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
    #[error("the line was not finished within {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("the line cannot be read: {0}")]
    Read(io::Error),
}

/// The next line without its end, or `None` at the end of the stream. What is left unfinished
/// at the end of the stream counts as a line.
pub(super) async fn read<R: AsyncBufRead + Unpin>(
    from: &mut R,
    longest: usize,
    within: Duration,
) -> Result<Option<Vec<u8>>, LineFault> {
    // The first byte may take for ever: a client that keeps its connection is welcome.
    if from.fill_buf().await.map_err(LineFault::Read)?.is_empty() {
        return Ok(None);
    }
    match timeout(within, rest(from, longest)).await {
        Ok(line) => line.map(Some),
        Err(_) => Err(LineFault::TooSlow(within)),
    }
}

async fn rest<R: AsyncBufRead + Unpin>(from: &mut R, longest: usize) -> Result<Vec<u8>, LineFault> {
    let mut line = Vec::new();
    loop {
        let piece = from.fill_buf().await.map_err(LineFault::Read)?;
        if piece.is_empty() {
            return Ok(line);
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let take = end.unwrap_or(piece.len());
        if line.len() + take >= longest {
            return Err(LineFault::TooLong(longest));
        }
        line.extend_from_slice(&piece[..take]);
        from.consume(end.map_or(take, |end| end + 1));
        if end.is_some() {
            return Ok(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn all(mut bytes: &[u8], longest: usize) -> Vec<Result<Vec<u8>, String>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut lines = Vec::new();
            loop {
                match read(&mut bytes, longest, SOON).await {
                    Ok(Some(line)) => lines.push(Ok(line)),
                    Ok(None) => return lines,
                    Err(fault) => {
                        lines.push(Err(fault.to_string()));
                        return lines;
                    }
                }
            }
        })
    }

    #[test]
    fn a_line_too_long_is_refused_before_it_is_kept() {
        let got = all(&[b'x'; 100], 16);
        assert_eq!(got, [Err("the line is longer than 16 bytes".to_owned())]);
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        assert_eq!(all(b"a\nb", 16), [Ok(b"a".to_vec()), Ok(b"b".to_vec())]);
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_went_in(lines in prop::collection::vec("[a-z]{1,30}", 0..10)) {
            let mut text = lines.join("\n").into_bytes();
            text.push(b'\n');
            let got: Vec<_> = all(&text, 64).into_iter().map(Result::unwrap).collect();
            let want: Vec<Vec<u8>> = if lines.is_empty() {
                vec![Vec::new()]
            } else {
                lines.into_iter().map(String::into_bytes).collect()
            };
            prop_assert_eq!(got, want);
        }
    }
}
