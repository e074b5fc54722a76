//! DNS over HTTPS (RFC 8484) on one connection, HTTP/2 where the server has it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cib_foreign::own;
use cib_upstream::client::Target;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::exchange::{ExchangeError, Request, SetupFault};

/// How long TLS may take on top of the connection.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long an exchange may take. The query has failed before that.
const EXCHANGE: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// The longest DNS message.
const REPLY_MAX: usize = 65_535;

const DNS_MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");

/// Reads the certificates and makes TLS that trusts them.
///
/// # Errors
///
/// [`SetupFault::Bundle`], [`SetupFault::NoRoots`] or [`SetupFault::Tls`].
pub(crate) fn client_config(ca_bundle: &Path) -> Result<Arc<ClientConfig>, SetupFault> {
    let pem = own::read(ca_bundle).map_err(|source| SetupFault::Bundle {
        path: ca_bundle.into(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if roots.is_empty() {
        return Err(SetupFault::NoRoots {
            path: ca_bundle.into(),
        });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(SetupFault::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::in_memory_sessions(4);
    Ok(Arc::new(config))
}

type Stream = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

/// A connection that is ready for queries.
pub(crate) struct Session {
    version: Version,
    target: Target,
    path: String,
}

enum Version {
    Http1(
        http1::SendRequest<Full<Bytes>>,
        Box<http1::Connection<Stream, Full<Bytes>>>,
    ),
    Http2(
        http2::SendRequest<Full<Bytes>>,
        http2::Connection<Stream, Full<Bytes>, TokioExecutor>,
    ),
}

impl Session {
    /// Does TLS and HTTP on a stream to the server.
    ///
    /// # Errors
    ///
    /// [`SetupFault::Name`], [`SetupFault::Handshake`] or [`SetupFault::Http`].
    pub(crate) async fn establish(
        stream: TcpStream,
        tls: Arc<ClientConfig>,
        target: &Target,
        path: &str,
    ) -> Result<Self, SetupFault> {
        let name = match (target.address(), target.name()) {
            (Some(address), _) => Ok(ServerName::from(address.ip())),
            (None, name) => ServerName::try_from(name.unwrap_or_default().to_owned()),
        };
        let name = name.map_err(|_| SetupFault::Name {
            target: target.clone(),
        })?;
        let stream = timeout(HANDSHAKE, TlsConnector::from(tls).connect(name, stream))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| SetupFault::Handshake {
                target: target.clone(),
                source,
            })?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        let version = if is_http2 {
            http2::handshake(TokioExecutor::new(), stream)
                .await
                .map(|(sender, connection)| Version::Http2(sender, connection))
        } else {
            http1::handshake(stream)
                .await
                .map(|(sender, connection)| Version::Http1(sender, Box::new(connection)))
        };
        let version = version.map_err(|source| SetupFault::Http {
            target: target.clone(),
            source,
        })?;
        Ok(Self {
            version,
            target: target.clone(),
            path: path.to_owned(),
        })
    }

    /// Serves requests until the connection closes, lies idle for too long, or nobody can ask
    /// any more.
    pub(crate) async fn drive(self, requests: mpsc::Receiver<Request>) {
        let Self {
            version,
            target,
            path,
        } = self;
        match version {
            Version::Http1(sender, connection) => {
                let uri = path;
                let work = one_at_a_time(sender, requests, &target, &uri);
                tokio::select! { () = work => {}, _ = connection => {} }
            }
            Version::Http2(sender, connection) => {
                let uri = format!("https://{}{path}", authority(&target));
                let work = side_by_side(sender, requests, &uri);
                tokio::select! { () = work => {}, _ = connection => {} }
            }
        }
    }
}

/// Without the port when it is the scheme's own, as browsers send it.
fn authority(target: &Target) -> String {
    let text = target.to_string();
    match text.strip_suffix(":443") {
        Some(host) => host.to_owned(),
        None => text,
    }
}

async fn one_at_a_time(
    mut sender: http1::SendRequest<Full<Bytes>>,
    mut requests: mpsc::Receiver<Request>,
    target: &Target,
    uri: &str,
) {
    while let Ok(Some(Request { query, answer })) = timeout(IDLE, requests.recv()).await {
        let Ok(mut post) = post(uri, query) else {
            return;
        };
        if let Ok(host) = HeaderValue::from_str(&authority(target)) {
            post.headers_mut().insert(HOST, host);
        }
        let exchange = async {
            sender.ready().await?;
            sender.send_request(post).await
        };
        let Ok(response) = timeout(EXCHANGE, exchange).await else {
            return;
        };
        let reply = match response {
            Ok(response) => receive(response).await,
            Err(_) => Err(ExchangeError::Closed),
        };
        let is_over = matches!(reply, Err(ExchangeError::Closed));
        let _ = answer.send(reply);
        if is_over {
            return;
        }
    }
}

async fn side_by_side(
    sender: http2::SendRequest<Full<Bytes>>,
    mut requests: mpsc::Receiver<Request>,
    uri: &str,
) {
    while let Ok(Some(Request { query, answer })) = timeout(IDLE, requests.recv()).await {
        let Ok(post) = post(uri, query) else { return };
        if sender.is_closed() {
            return;
        }
        let mut sender = sender.clone();
        tokio::spawn(async move {
            let exchange = async {
                sender.ready().await?;
                sender.send_request(post).await
            };
            let reply = match timeout(EXCHANGE, exchange).await {
                Ok(Ok(response)) => receive(response).await,
                Ok(Err(_)) | Err(_) => Err(ExchangeError::Closed),
            };
            let _ = answer.send(reply);
        });
    }
}

fn post(uri: &str, query: Vec<u8>) -> Result<HttpRequest<Full<Bytes>>, hyper::http::Error> {
    HttpRequest::builder()
        .method(Method::POST)
        .uri(uri)
        .header(CONTENT_TYPE, DNS_MESSAGE)
        .header(ACCEPT, DNS_MESSAGE)
        .body(Full::new(query.into()))
}

async fn receive(response: Response<Incoming>) -> Result<Vec<u8>, ExchangeError> {
    if response.status() != StatusCode::OK {
        return Err(ExchangeError::Answer("the server's HTTP status is not 200"));
    }
    if response.headers().get(CONTENT_TYPE) != Some(&DNS_MESSAGE) {
        return Err(ExchangeError::Answer(
            "the server's reply is not of type application/dns-message",
        ));
    }
    let body = Limited::new(response.into_body(), REPLY_MAX).collect();
    match timeout(EXCHANGE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(_)) => Err(ExchangeError::Answer(
            "the server's reply broke off, or has no end",
        )),
        Err(_) => Err(ExchangeError::Closed),
    }
}
