//! SOCKS5: RFC 1928, with the user and password of RFC 1929.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{DialError, Refusal, Stage, Target};
use crate::url::{Credentials, Scheme, Upstream};

const VERSION: u8 = 5;
const AUTH_VERSION: u8 = 1;
const NO_AUTH: u8 = 0;
const USER_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;

/// Offers what there is, and gives the method that the upstream chose.
pub(super) async fn offer(stream: &mut TcpStream, upstream: &Upstream) -> Result<u8, DialError> {
    let broken = |stage| {
        move |source| DialError::Broken {
            upstream: upstream.endpoint().clone(),
            stage,
            source,
        }
    };
    let offer: &[u8] = match upstream.credentials() {
        Some(_) => &[VERSION, 2, NO_AUTH, USER_PASSWORD],
        None => &[VERSION, 1, NO_AUTH],
    };
    stream
        .write_all(offer)
        .await
        .map_err(broken(Stage::Greeting))?;
    let mut answer = [0; 2];
    stream
        .read_exact(&mut answer)
        .await
        .map_err(broken(Stage::Greeting))?;
    match (answer, upstream.credentials()) {
        ([VERSION, NO_AUTH], _) => Ok(NO_AUTH),
        ([VERSION, USER_PASSWORD], Some(_)) => Ok(USER_PASSWORD),
        ([VERSION, NONE_ACCEPTABLE], Some(_)) => Err(DialError::AuthRefused {
            upstream: upstream.endpoint().clone(),
        }),
        ([VERSION, NONE_ACCEPTABLE | USER_PASSWORD], None) => Err(DialError::AuthRequired {
            upstream: upstream.endpoint().clone(),
        }),
        _ => Err(not_a_proxy(upstream)),
    }
}

/// Offers what there is and proves who we are, if asked to.
pub(super) async fn authenticate(
    stream: &mut TcpStream,
    upstream: &Upstream,
) -> Result<(), DialError> {
    let method = offer(stream, upstream).await?;
    let (USER_PASSWORD, Some(credentials)) = (method, upstream.credentials()) else {
        return Ok(());
    };
    let accepted = prove(stream, credentials)
        .await
        .map_err(|source| DialError::Broken {
            upstream: upstream.endpoint().clone(),
            stage: Stage::Authentication,
            source,
        })?;
    if accepted {
        Ok(())
    } else {
        Err(DialError::AuthRefused {
            upstream: upstream.endpoint().clone(),
        })
    }
}

async fn prove(stream: &mut TcpStream, credentials: &Credentials) -> io::Result<bool> {
    let mut message = Zeroizing::new(Vec::with_capacity(3 + 255 + 255));
    message.push(AUTH_VERSION);
    for part in [&credentials.user, &credentials.password] {
        // 255 at most: the parser of the URL has seen to it.
        message.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        message.extend_from_slice(part.expose());
    }
    stream.write_all(&message).await?;
    let mut verdict = [0; 2];
    match stream.read_exact(&mut verdict).await {
        Ok(_) => Ok(verdict[1] == 0),
        // RFC 1929 has a server close on a wrong password; some do so without the verdict.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks for the target. The stream must have been authenticated.
pub(super) async fn request(
    stream: &mut TcpStream,
    upstream: &Upstream,
    target: &Target,
) -> Result<(), DialError> {
    let refused = |refusal| DialError::Refused {
        upstream: upstream.endpoint().clone(),
        refusal,
    };
    let closed = |_: io::Error| refused(Refusal::Closed);
    stream.write_all(&encode(target)).await.map_err(closed)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(closed)?;
    let [version, reply, _, kind] = head;
    if version != VERSION {
        return Err(not_a_proxy(upstream));
    }
    if reply != 0 {
        return Err(refused(refusal(reply)));
    }
    let bound = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await.map_err(closed)?),
        _ => return Err(not_a_proxy(upstream)),
    };
    let mut rest = [0; 255 + 2];
    stream
        .read_exact(&mut rest[..bound + 2])
        .await
        .map_err(closed)?;
    Ok(())
}

fn encode(target: &Target) -> Vec<u8> {
    let mut message = vec![VERSION, 1, 0];
    match (target.address(), target.name()) {
        (Some(SocketAddr::V4(address)), _) => {
            message.push(1);
            message.extend_from_slice(&address.ip().octets());
        }
        (Some(SocketAddr::V6(address)), _) => {
            message.push(4);
            message.extend_from_slice(&address.ip().octets());
        }
        (None, name) => {
            let name = name.unwrap_or_default().as_bytes();
            message.push(3);
            // 253 at most, by the rules for host names.
            message.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            message.extend_from_slice(name);
        }
    }
    message.extend_from_slice(&target.port().to_be_bytes());
    message
}

fn refusal(reply: u8) -> Refusal {
    match reply {
        1 => Refusal::General,
        2 => Refusal::Ruleset,
        3 => Refusal::NetworkUnreachable,
        4 => Refusal::HostUnreachable,
        5 => Refusal::ConnectionRefused,
        6 => Refusal::TtlExpired,
        7 => Refusal::CommandUnsupported,
        8 => Refusal::AddressUnsupported,
        other => Refusal::Unknown(other),
    }
}

fn not_a_proxy(upstream: &Upstream) -> DialError {
    DialError::NotAProxy {
        upstream: upstream.endpoint().clone(),
        scheme: Scheme::Socks5,
    }
}
