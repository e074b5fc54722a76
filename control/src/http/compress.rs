//! Answers in gzip, for clients that take it: journals and streams, which are long and alike.
//!
//! A piece of a stream is whole for its reader when it is sent, and shares nothing with the piece
//! before: how short something becomes tells what it has in common with what is beside it, so
//! nothing is beside it but what was written at that moment. Nothing of the box's own that is
//! secret is in what these routes answer (`docs/design/decisions/0032-gzip.md`).

use std::convert::Infallible;
use std::io;

use axum::body::{Body, BodyDataStream};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use futures_util::{StreamExt as _, stream};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::routes::{Answer, Route, Shape};
use crate::{web, work};

/// Answers that are compressed at once; each takes a third of a megabyte for as long as it lasts.
/// Others are sent as they are.
const MOST: usize = 16;

static PLACES: Semaphore = Semaphore::const_new(MOST);

/// Bytes above which a piece is compressed off the thread that serves.
const LARGE: usize = 16 * 1024;

/// The head of a gzip file that tells neither a name nor a time: RFC 1952.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// How an answer is to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// All of it together.
    Whole,
    /// Each piece by itself, and sent at once.
    Pieces,
}

/// How the answer to a request is to be compressed, if it may be and its client takes that.
pub(super) fn wanted(route: &Route, method: &Method, headers: &HeaderMap) -> Option<Manner> {
    let manner = match route.answer {
        Answer::Ok(Shape::Transcript | Shape::Chat) => Manner::Whole,
        Answer::Events | Answer::Feed => Manner::Pieces,
        _ => return None,
    };
    let takes = *method == Method::GET && web::takes(headers, &ACCEPT_ENCODING, "gzip");
    takes.then_some(manner)
}

/// The same answer in gzip, if there is a place to make it in.
pub(super) fn gzip(mut response: Response, manner: Manner) -> Response {
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_static("accept-encoding"));
    if response.status() != StatusCode::OK {
        return response;
    }
    let Ok(place) = PLACES.try_acquire() else {
        return response;
    };
    response
        .headers_mut()
        .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
        .map(|body| Body::from_stream(pieces(body.into_data_stream(), Gzip::new(place, manner))))
}

fn pieces(
    body: BodyDataStream,
    gzip: Gzip,
) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> + Send {
    stream::unfold(Some((body, gzip)), |state| async move {
        let (mut body, mut gzip) = state?;
        loop {
            let piece = match body.next().await {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Some((Err(io::Error::other(error)), None)),
                None => return Some((gzip.end().map(Bytes::from), None)),
            };
            let made = if piece.len() < LARGE {
                gzip.take(&piece)
            } else {
                let working = work::run(move || {
                    let made = gzip.take(&piece);
                    Ok::<_, Infallible>((gzip, made))
                });
                match working.await {
                    Ok((same, made)) => {
                        gzip = same;
                        made
                    }
                    Err(fault) => return Some((Err(io::Error::other(fault)), None)),
                }
            };
            match made {
                Ok(made) if made.is_empty() => {}
                Ok(made) => return Some((Ok(made.into()), Some((body, gzip)))),
                Err(error) => return Some((Err(error), None)),
            }
        }
    })
}

/// One gzip file that is being made.
struct Gzip {
    deflate: Compress,
    sum: Crc,
    manner: Manner,
    begun: bool,
    _place: Option<SemaphorePermit<'static>>,
}

impl Gzip {
    fn new(place: SemaphorePermit<'static>, manner: Manner) -> Self {
        Self {
            deflate: Compress::new(Compression::fast(), false),
            sum: Crc::new(),
            manner,
            begun: false,
            _place: Some(place),
        }
    }

    /// What is to be sent after one more piece, which may be nothing yet.
    fn take(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        self.sum.update(piece);
        let flush = match self.manner {
            Manner::Whole => FlushCompress::None,
            // What came before is forgotten.
            Manner::Pieces => FlushCompress::Full,
        };
        self.run(piece, flush)
    }

    /// What is to be sent at the end.
    fn end(&mut self) -> io::Result<Vec<u8>> {
        let mut made = self.run(&[], FlushCompress::Finish)?;
        made.extend_from_slice(&self.sum.sum().to_le_bytes());
        made.extend_from_slice(&self.sum.amount().to_le_bytes());
        Ok(made)
    }

    fn run(&mut self, mut piece: &[u8], flush: FlushCompress) -> io::Result<Vec<u8>> {
        let mut made = Vec::new();
        if !self.begun {
            self.begun = true;
            made.extend_from_slice(&HEAD);
        }
        loop {
            made.reserve(piece.len() / 4 + 512);
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(piece, &mut made, flush);
            let status = status.map_err(io::Error::other)?;
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(piece.len());
            piece = &piece[taken..];
            let is_done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                // With room left there was nothing more to write.
                _ => piece.is_empty() && made.len() < made.capacity(),
            };
            if is_done {
                return Ok(made);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn gzip(manner: Manner) -> Gzip {
        Gzip {
            deflate: Compress::new(Compression::fast(), false),
            sum: Crc::new(),
            manner,
            begun: false,
            _place: None,
        }
    }

    fn text(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            b'a' + u8::try_from(state >> 59).unwrap() % 26
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_is_made_is_what_it_was_in_both_manners() {
        for manner in [Manner::Whole, Manner::Pieces] {
            let mut gzip = gzip(manner);
            let mut made = Vec::new();
            let mut was = Vec::new();
            for (seed, length) in [(1, 0), (2, 1), (3, 70_000), (4, 3), (3, 70_000)] {
                let piece = text(seed, length);
                made.extend(gzip.take(&piece).unwrap());
                was.extend(piece);
            }
            made.extend(gzip.end().unwrap());
            let mut back = Vec::new();
            GzDecoder::new(&*made).read_to_end(&mut back).unwrap();
            assert!(back == was, "{manner:?}");
        }
    }

    #[test]
    fn a_piece_can_be_read_as_soon_as_it_is_sent_and_is_no_shorter_for_what_was_before() {
        let secret = text(5, 2000);
        let mut gzip = gzip(Manner::Pieces);
        let first = gzip.take(&secret).unwrap();
        let again = gzip.take(&secret).unwrap();
        assert_eq!(first.len() - HEAD.len(), again.len());
        let sent = [first, again].concat();
        let mut back = vec![0; 4000];
        GzDecoder::new(&*sent).read_exact(&mut back).unwrap();
        assert!(back == [&*secret, &*secret].concat());
        // The same in one piece is what shortens.
        let both = gzip.take(&[&*secret, &*secret].concat()).unwrap();
        assert!(both.len() < 3 * secret.len() / 2);
    }
}
