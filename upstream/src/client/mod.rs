//! Speaking to the upstream: SOCKS5, SOCKS4a and HTTP `CONNECT`, as a client.
//!
//! The client sends one message at a time and waits for its answer: microsocks drops what it read
//! past a message.

mod error;
mod http;
mod socks4;
mod socks5;
mod target;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

pub use error::{DialError, Refusal, Stage};
pub(crate) use http::basic_credentials;
pub use target::{Target, TargetFault};

use crate::url::{Scheme, Upstream};

/// How long a dial may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection to the upstream, all its addresses together.
    pub connect: Duration,
    /// For its answers before the target is named, which depend on nobody but the upstream.
    pub greeting: Duration,
    /// For everything after the connection, until the upstream has connected to the target.
    pub handshake: Duration,
}

impl Default for Timeouts {
    /// 5 s to reach the upstream, 10 s more for the target: a person is told within 15 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            greeting: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
        }
    }
}

/// Opens connections through the upstream.
#[derive(Debug)]
pub struct Dialer {
    upstream: Upstream,
    addresses: Vec<SocketAddr>,
    timeouts: Timeouts,
    /// The address that worked last, tried first.
    good: AtomicUsize,
}

impl Dialer {
    /// A dialer for an upstream at its pinned addresses, which are tried in order, beginning
    /// with the one that worked last.
    #[must_use]
    pub fn new(
        upstream: Upstream,
        addresses: impl IntoIterator<Item = IpAddr>,
        timeouts: Timeouts,
    ) -> Self {
        let port = upstream.port();
        let addresses = addresses
            .into_iter()
            .map(|address| (address, port).into())
            .collect();
        Self {
            upstream,
            addresses,
            timeouts,
            good: AtomicUsize::new(0),
        }
    }

    /// The upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// A stream to `target`, through the upstream, ready for the first byte of payload.
    ///
    /// # Errors
    ///
    /// A [`DialError`]; [`DialError::is_upstream_down`] tells a dead upstream from a target
    /// that it would not or could not connect to.
    pub async fn connect(&self, target: &Target) -> Result<TcpStream, DialError> {
        let mut stream = self.reach().await?;
        let began = Instant::now();
        self.introduce(&mut stream, began).await?;
        let within = self.timeouts.handshake;
        let asked = request(&mut stream, &self.upstream, target);
        self.until(began + within, Stage::Request, within, asked)
            .await?;
        Ok(stream)
    }

    /// A stream to the upstream itself, before any handshake.
    ///
    /// # Errors
    ///
    /// [`DialError::Unreachable`] or [`DialError::TimedOut`].
    pub async fn reach(&self) -> Result<TcpStream, DialError> {
        let count = self.addresses.len();
        let share = self.timeouts.connect / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        let first = self.good.load(Ordering::Relaxed);
        let mut last = None;
        for turn in 0..count {
            let index = (first + turn) % count;
            match timeout(share, TcpStream::connect(self.addresses[index])).await {
                Ok(Ok(stream)) => {
                    self.good.store(index, Ordering::Relaxed);
                    // Only a hint to the kernel; a socket that refuses it still works.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Some(error),
                Err(_) => {}
            }
        }
        let upstream = self.upstream.endpoint().clone();
        Err(match last {
            Some(source) => DialError::Unreachable { upstream, source },
            None => DialError::TimedOut {
                upstream,
                stage: Stage::Connect,
                after: self.timeouts.connect,
            },
        })
    }

    /// Connects, and goes as far as a client can go without a target: for SOCKS5 until the user
    /// and password are accepted, for the others until TCP is connected.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn greet(&self) -> Result<(), DialError> {
        let mut stream = self.reach().await?;
        self.introduce(&mut stream, Instant::now()).await
    }

    /// Finds out whether something at the address speaks the upstream's protocol, without sending
    /// the user or the password: for SOCKS5 it only offers the methods, for the others it asks for
    /// `target` without credentials. An answer that refuses this comes from a proxy as well.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); never one of being refused.
    pub async fn greet_anonymously(&self, target: &Target) -> Result<(), DialError> {
        let mut stream = self.reach().await?;
        let within = self.timeouts.greeting.min(self.timeouts.handshake);
        let upstream = &self.upstream;
        let asked = async {
            match upstream.scheme() {
                Scheme::Socks5 => socks5::offer(&mut stream, upstream).await.map(drop),
                Scheme::Socks4 | Scheme::Http => {
                    let asked = request(&mut stream, &upstream.anonymous(), target).await;
                    asked.or_else(|error| as_a_proxy_refuses(upstream, error))
                }
            }
        };
        self.until(Instant::now() + within, Stage::Greeting, within, asked)
            .await
    }

    async fn introduce(&self, stream: &mut TcpStream, began: Instant) -> Result<(), DialError> {
        let within = self.timeouts.greeting.min(self.timeouts.handshake);
        let introduced = authenticate(stream, &self.upstream);
        self.until(began + within, Stage::Greeting, within, introduced)
            .await
    }

    async fn until(
        &self,
        deadline: Instant,
        stage: Stage,
        after: Duration,
        work: impl Future<Output = Result<(), DialError>>,
    ) -> Result<(), DialError> {
        timeout_at(deadline, work).await.unwrap_or_else(|_| {
            Err(DialError::TimedOut {
                upstream: self.upstream.endpoint().clone(),
                stage,
                after,
            })
        })
    }
}

/// What comes before the target is named. Only SOCKS5 has such a thing.
async fn authenticate(stream: &mut TcpStream, upstream: &Upstream) -> Result<(), DialError> {
    match upstream.scheme() {
        Scheme::Socks5 => socks5::authenticate(stream, upstream).await,
        Scheme::Socks4 | Scheme::Http => Ok(()),
    }
}

/// Whether a proxy refuses a client without credentials in this way. A web server that does not
/// understand the request answers in another way.
fn as_a_proxy_refuses(upstream: &Upstream, error: DialError) -> Result<(), DialError> {
    match error {
        DialError::AuthRequired { .. } | DialError::AuthRefused { .. } => Ok(()),
        DialError::Refused {
            refusal: Refusal::Socks4,
            ..
        } => Ok(()),
        DialError::Refused {
            refusal: Refusal::Http(403 | 429 | 502..=504),
            ..
        } if upstream.credentials().is_none() => Ok(()),
        DialError::Refused { .. } => Err(DialError::NotAProxy {
            upstream: upstream.endpoint().clone(),
            scheme: upstream.scheme(),
        }),
        other => Err(other),
    }
}

/// Asks the upstream to connect to `target`. It reads no byte past the answer, because the target
/// may speak first.
async fn request(
    stream: &mut TcpStream,
    upstream: &Upstream,
    target: &Target,
) -> Result<(), DialError> {
    match upstream.scheme() {
        Scheme::Socks5 => socks5::request(stream, upstream, target).await,
        Scheme::Socks4 => socks4::request(stream, upstream, target).await,
        Scheme::Http => http::request(stream, upstream, target).await,
    }
}

#[cfg(test)]
mod tests;
