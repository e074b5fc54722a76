//! From an address to a stream.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cib_resolver::stub;
use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{HttpsError, Options};

/// How long one address of several may take.
const TRY: Duration = Duration::from_secs(5);

/// How long a name may take.
const LOOK_UP: Duration = Duration::from_secs(5);

/// Bytes of a proxy's answer to `CONNECT`, at most.
const BRIDGE_MOST: usize = 8 << 10;

/// What is connected to.
#[derive(Debug)]
pub(crate) struct Place {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    /// As `Host` has it.
    pub(crate) authority: String,
}

impl Place {
    pub(crate) fn of(uri: &Uri) -> Result<Self, HttpsError> {
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(HttpsError::Address),
        };
        let written = uri.host().filter(|host| !host.is_empty());
        let written = written.ok_or(HttpsError::Address)?;
        let host = written.trim_start_matches('[').trim_end_matches(']');
        let authority = match uri.port_u16() {
            Some(port) => format!("{written}:{port}"),
            None => written.to_owned(),
        };
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            is_tls,
            authority,
        })
    }
}

/// A connection that is ready for HTTP.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(crate) async fn connect(
    options: &Options,
    place: &Place,
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, HttpsError>,
) -> Result<Stream, HttpsError> {
    // Who trusts nobody need not connect.
    let tls = if place.is_tls { Some(tls()?) } else { None };
    let stream = stream(options, place).await?;
    let Some(tls) = tls else {
        return Ok(Stream::Plain(stream));
    };
    let name = ServerName::try_from(place.host.clone()).map_err(|_| HttpsError::Address)?;
    let stream = TlsConnector::from(tls).connect(name, stream).await;
    let stream = stream.map_err(|source| HttpsError::Tls {
        host: place.host.clone(),
        source,
    })?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// A connection without TLS.
pub(crate) async fn stream(options: &Options, place: &Place) -> Result<TcpStream, HttpsError> {
    let own = own_address(&place.host);
    let stream = match options.bridge {
        // What is in the box is not on the way out of it.
        Some(bridge) if own.is_none_or(|address| !address.is_loopback()) => {
            let forbidden = own.filter(|address| !(options.permits)(*address));
            if let Some(address) = forbidden {
                let host = place.host.clone();
                return Err(HttpsError::Forbidden { host, address });
            }
            through(bridge, place).await?
        }
        _ => directly(options, place).await?,
    };
    // A request is one write and waits for its answer.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn directly(options: &Options, place: &Place) -> Result<TcpStream, HttpsError> {
    let host = &place.host;
    let found = addresses(host, &options.names).await;
    let found = found.map_err(|source| HttpsError::Name {
        host: host.clone(),
        source,
    })?;
    let mut worst = None;
    for address in found {
        if !(options.permits)(address) {
            worst.get_or_insert(HttpsError::Forbidden {
                host: host.clone(),
                address,
            });
            continue;
        }
        let tried = timeout(TRY, TcpStream::connect((address, place.port))).await;
        match tried.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(source) => {
                worst = Some(HttpsError::Connect {
                    host: host.clone(),
                    source,
                });
            }
        }
    }
    Err(worst.unwrap_or_else(|| HttpsError::Name {
        host: host.clone(),
        source: io::ErrorKind::NotFound.into(),
    }))
}

async fn addresses(host: &str, names: &stub::Files) -> io::Result<Vec<IpAddr>> {
    match own_address(host) {
        Some(address) => Ok(vec![address]),
        None => stub::addresses(host, names, LOOK_UP).await,
    }
}

/// The address that a host is, or that its name has without anybody being asked.
pub(crate) fn own_address(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    if let Some(address) = numbers(host) {
        return Some(address.into());
    }
    // RFC 6761: nobody else is asked for these.
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_local = name == "localhost" || name.ends_with(".localhost");
    is_local.then_some(Ipv4Addr::LOCALHOST.into())
}

/// The address that a host is as C libraries read it, and with them what looks names up: one to four
/// numbers, in octal behind a `0`, in hexadecimal behind `0x`, of which the last has what is left.
fn numbers(host: &str) -> Option<Ipv4Addr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let number = |part: &str| {
        let part = part.to_ascii_lowercase();
        let (digits, base) = match part.strip_prefix("0x") {
            Some("") => ("0", 10),
            Some(digits) => (digits, 16),
            None if part.len() > 1 && part.starts_with('0') => (&part[1..], 8),
            None => (&*part, 10),
        };
        let is_one = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, base).ok().filter(|_| is_one)
    };
    let parts: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, upper) = parts.split_last()?;
    if upper.len() > 3 || upper.iter().any(|part| *part > 0xff) {
        return None;
    }
    let room = 32 - 8 * u32::try_from(upper.len()).ok()?;
    if u64::from(*last) >= 1 << room {
        return None;
    }
    let places = (0..).map(|place| 24 - 8 * place);
    let upper = upper.iter().zip(places).map(|(part, place)| part << place);
    Some(Ipv4Addr::from(upper.fold(*last, |all, part| all | part)))
}

/// Asks a proxy for a connection, as RFC 9110 has it in section 9.3.6.
async fn through(bridge: SocketAddr, place: &Place) -> Result<TcpStream, HttpsError> {
    let broken = |source| HttpsError::Connect {
        host: place.host.clone(),
        source,
    };
    let refused = |status: &str| HttpsError::Bridge {
        host: place.host.clone(),
        status: status.chars().take(200).collect(),
    };
    let mut stream = TcpStream::connect(bridge).await.map_err(broken)?;
    let host = match place.host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => place.host.clone(),
    };
    let target = format!("{host}:{}", place.port);
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    // One byte at a time: what follows the head is the other side's.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == BRIDGE_MOST {
            return Err(refused("it answers with too much"));
        }
        head.push(stream.read_u8().await.map_err(broken)?);
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some(status) if status.len() == 3 && status.starts_with('2') => Ok(stream),
        _ => Err(refused(line)),
    }
}
