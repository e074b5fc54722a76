//! HTTPS as the box's own programs speak it: one request, and an answer of a limited size.
//!
//! A [`Client`] follows no redirect, keeps no connection and no cookie, and reads no more of an
//! answer than it was told. Names are looked up without libc, because the programs of the box are
//! linked statically. Plain `http` is spoken where the address says so; whether it may is for
//! whoever made the address to decide.
#![forbid(unsafe_code)]

mod connect;
mod error;
mod raw;
mod trust;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use cib_resolver::stub;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::time::timeout;

pub use error::HttpsError;
pub use trust::Identity;

use connect::{Place, Stream};

/// Where Debian keeps the certificates of those that it trusts.
pub const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The body of a request that comes piece by piece.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// How a [`Client`] behaves.
#[derive(Clone)]
pub struct Options {
    /// The certificates that are trusted: a file in PEM. It is read at the first request by TLS.
    pub bundle: PathBuf,
    /// A proxy that understands `CONNECT`, which every connection goes through but those to this
    /// machine itself. It looks names up as well, so `permits` is asked of written addresses alone.
    pub bridge: Option<SocketAddr>,
    /// How long a request may take, from the look-up of the name to the last byte of the answer.
    pub patience: Duration,
    /// Bytes of an answer's body, at most.
    pub most: usize,
    /// Whether an address may be connected to; asked after the name was looked up.
    pub permits: fn(IpAddr) -> bool,
    /// Where names are looked up.
    pub names: stub::Files,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bundle: BUNDLE.into(),
            bridge: None,
            patience: Duration::from_secs(15),
            most: 4 << 20,
            permits: |_| true,
            names: stub::Files::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("bundle", &self.bundle)
            .field("bridge", &self.bridge)
            .field("patience", &self.patience)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// Makes requests.
#[derive(Debug)]
pub struct Client {
    options: Options,
    /// Made when it is first needed: the certificates are large.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Client {
    /// A client that has not looked at anything yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            tls: OnceLock::new(),
        }
    }

    /// How long a request may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.options.patience
    }

    /// Sends a request to the absolute address that it has, and reads the whole answer, whatever
    /// its status. `Host` and `Content-Length` are set here.
    ///
    /// # Errors
    /// An [`HttpsError`]; a status is none.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpsError> {
        let (head, bytes) = request.into_parts();
        let length = bytes.len() as u64;
        let body = Full::new(bytes).map_err(|never| match never {});
        let request = Request::from_parts(head, body.boxed_unsync());
        self.send_long(request, length, self.options.patience).await
    }

    /// The same with a body of so many bytes that comes piece by piece, and takes as long as this.
    ///
    /// # Errors
    /// As [`Client::send`], and what the body breaks off with.
    pub async fn send_long(
        &self,
        request: Request<Body>,
        length: u64,
        patience: Duration,
    ) -> Result<Response<Bytes>, HttpsError> {
        timeout(patience, self.exchange(request, length))
            .await
            .unwrap_or(Err(HttpsError::Late(patience)))
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        length: u64,
    ) -> Result<Response<Bytes>, HttpsError> {
        let (mut head, body) = request.into_parts();
        let place = Place::of(&head.uri)?;
        let host = HeaderValue::from_str(&place.authority).map_err(|_| HttpsError::Address)?;
        head.headers.insert(HOST, host);
        head.headers.insert(CONTENT_LENGTH, length.into());
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = path.parse::<Uri>().map_err(|_| HttpsError::Address)?;
        let request = Request::from_parts(head, body);
        match connect::connect(&self.options, &place, || self.tls()).await? {
            Stream::Plain(stream) => self.ask(stream, request).await,
            Stream::Tls(stream) => self.ask(*stream, request).await,
        }
    }

    async fn ask<S>(&self, stream: S, request: Request<Body>) -> Result<Response<Bytes>, HttpsError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let most = self.options.most;
            let body = Limited::new(body, most).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    HttpsError::Large(most)
                } else {
                    HttpsError::Broken(error)
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        // The connection is driven by whoever waits for the answer, and ends with it.
        tokio::pin!(answer, connection);
        let mut is_open = true;
        std::future::poll_fn(|context| {
            if is_open && connection.as_mut().poll(context).is_ready() {
                is_open = false;
            }
            answer.as_mut().poll(context)
        })
        .await
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, HttpsError> {
        if let Some(tls) = self.tls.get() {
            return Ok(Arc::clone(tls));
        }
        let tls = trust::config(&self.options.bundle)?;
        Ok(Arc::clone(self.tls.get_or_init(|| tls)))
    }
}

#[cfg(test)]
mod tests;
