//! HTTP `CONNECT`: RFC 9110, section 9.3.6, with the Basic credentials of RFC 7617.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{DialError, Refusal, Stage, Target};
use crate::url::{Credentials, Scheme, Upstream};

/// The longest answer head that is read. Squid's error pages come after the head.
const HEAD_MAX: usize = 16 * 1024;

/// `Basic …`, the value of `Proxy-Authorization`.
pub(crate) fn basic_credentials(credentials: &Credentials) -> Zeroizing<String> {
    let mut pair = Zeroizing::new(Vec::with_capacity(
        credentials.user.len() + 1 + credentials.password.len(),
    ));
    pair.extend_from_slice(credentials.user.expose());
    pair.push(b':');
    pair.extend_from_slice(credentials.password.expose());
    let mut value = Zeroizing::new(String::with_capacity(6 + pair.len().div_ceil(3) * 4));
    value.push_str("Basic ");
    STANDARD.encode_string(&*pair, &mut value);
    value
}

pub(super) async fn request(
    stream: &mut TcpStream,
    upstream: &Upstream,
    target: &Target,
) -> Result<(), DialError> {
    let endpoint = || upstream.endpoint().clone();
    let mut message = Zeroizing::new(Vec::with_capacity(2048));
    message
        .extend_from_slice(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").as_bytes());
    if let Some(credentials) = upstream.credentials() {
        message.extend_from_slice(b"Proxy-Authorization: ");
        message.extend_from_slice(basic_credentials(credentials).as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    let broken = |source| DialError::Broken {
        upstream: endpoint(),
        stage: Stage::Request,
        source,
    };
    stream.write_all(&message).await.map_err(broken)?;
    loop {
        let head = match read_head(stream).await {
            Ok(head) => head,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(DialError::NotAProxy {
                    upstream: endpoint(),
                    scheme: Scheme::Http,
                });
            }
            Err(_) => {
                return Err(DialError::Refused {
                    upstream: endpoint(),
                    refusal: Refusal::Closed,
                });
            }
        };
        return match status(&head) {
            // Interim answers come before the real one.
            Some(100..=199) => continue,
            Some(200..=299) => Ok(()),
            Some(407) if upstream.credentials().is_some() => Err(DialError::AuthRefused {
                upstream: endpoint(),
            }),
            Some(407) => Err(DialError::AuthRequired {
                upstream: endpoint(),
            }),
            Some(code) => Err(DialError::Refused {
                upstream: endpoint(),
                refusal: Refusal::Http(code),
            }),
            None => Err(DialError::NotAProxy {
                upstream: endpoint(),
                scheme: Scheme::Http,
            }),
        };
    }
}

/// Reads up to and with the empty line, and nothing past it: it looks before it takes.
/// `InvalidData` when no head comes to its end within [`HEAD_MAX`] or it does not begin as
/// HTTP does.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    const START: &[u8] = b"HTTP/1.";
    let mut head = Vec::with_capacity(512);
    let mut ahead = [0; 1024];
    loop {
        let seen = stream.peek(&mut ahead).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = head.len();
        head.extend_from_slice(&ahead[..seen]);
        let end = head_end(&head);
        let taken = end.unwrap_or(head.len()) - before;
        head.truncate(before + taken);
        stream.read_exact(&mut ahead[..taken]).await?;
        let known = head.len().min(START.len());
        if head[..known] != START[..known] || head.len() > HEAD_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if end.is_some() {
            return Ok(head);
        }
    }
}

/// Where the empty line ends. A bare line feed counts as a line's end (RFC 9112, section 2.2).
fn head_end(head: &[u8]) -> Option<usize> {
    let mut lines = 0;
    for line in head.split_inclusive(|&b| b == b'\n') {
        lines += line.len();
        if line == b"\r\n" || line == b"\n" {
            return Some(lines);
        }
    }
    None
}

/// The status code of `HTTP/1.x NNN …`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|&b| b == b'\n').next()?;
    let digits = line.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (100..=599).contains(&code).then_some(code)
}
