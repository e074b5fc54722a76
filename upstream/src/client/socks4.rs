//! SOCKS4, with names by SOCKS4a: the target address 0.0.0.1 says that a name follows.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{DialError, Refusal, Target};
use crate::url::{Scheme, Upstream};

pub(super) async fn request(
    stream: &mut TcpStream,
    upstream: &Upstream,
    target: &Target,
) -> Result<(), DialError> {
    let endpoint = || upstream.endpoint().clone();
    let closed = |_: io::Error| DialError::Refused {
        upstream: endpoint(),
        refusal: Refusal::Closed,
    };
    let address = match target.address() {
        Some(SocketAddr::V4(address)) => address.ip().octets(),
        Some(SocketAddr::V6(_)) => {
            return Err(DialError::Inexpressible {
                scheme: Scheme::Socks4,
            });
        }
        None => [0, 0, 0, 1],
    };
    let mut message = Zeroizing::new(Vec::with_capacity(8 + 256 + 256));
    message.extend_from_slice(&[4, 1]);
    message.extend_from_slice(&target.port().to_be_bytes());
    message.extend_from_slice(&address);
    if let Some(credentials) = upstream.credentials() {
        message.extend_from_slice(credentials.user.expose());
    }
    message.push(0);
    if let Some(name) = target.name() {
        message.extend_from_slice(name.as_bytes());
        message.push(0);
    }
    stream.write_all(&message).await.map_err(closed)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await.map_err(closed)?;
    match answer[..2] {
        [0, 90] => Ok(()),
        [0, 91] => Err(DialError::Refused {
            upstream: endpoint(),
            refusal: Refusal::Socks4,
        }),
        // 92: no identd to ask; 93: identd names another user.
        [0, 92 | 93] => Err(DialError::AuthRefused {
            upstream: endpoint(),
        }),
        _ => Err(DialError::NotAProxy {
            upstream: endpoint(),
            scheme: Scheme::Socks4,
        }),
    }
}
