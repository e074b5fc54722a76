//! A stand-in for the servers of Claude's login, behind a proxy that the CLI is told to use.
//!
//! The CLI takes no other address for them, so the proxy ends its TLS itself, with a
//! certificate that the CLI is told to trust. One code is right: [`CODE`].

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::serve::{Running, Work, listen};

/// The code that the login page would show, without the state behind it.
pub const CODE: &str = "a-code-that-is-right";

/// Who logs in with it.
pub const EMAIL: &str = "person@example.com";

/// Hosts that the CLI speaks to for a login.
const HOSTS: [&str; 3] = ["platform.claude.com", "api.anthropic.com", "claude.ai"];

/// Bytes of a request to the proxy.
const HEAD: usize = 8 * 1024;

/// The servers, running in this process until dropped.
#[derive(Debug)]
pub struct LoginServers {
    running: Running,
    certificate: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl LoginServers {
    /// Starts on a free port of the loopback.
    ///
    /// # Errors
    /// No port can be bound, or no certificate be made.
    pub fn start() -> io::Result<Self> {
        let names = HOSTS.map(str::to_owned);
        let key = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let certificate = key.cert.pem();
        let chain = vec![key.cert.der().clone()];
        let private =
            PrivateKeyDer::try_from(key.signing_key.serialize_der()).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(io::Error::other)?;
        let tls = TlsAcceptor::from(Arc::new(config));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        let running = Running::start(move || {
            let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            let addr = listener.local_addr()?;
            let work: Work = Box::pin(async move {
                loop {
                    let (stream, _) = listener.accept().await?;
                    let (tls, log) = (tls.clone(), Arc::clone(&log));
                    // A client that breaks off has seen enough.
                    tokio::spawn(async move { serve(stream, &tls, &log).await.ok() });
                }
            });
            Ok((addr, work))
        })?;
        Ok(Self {
            running,
            certificate,
            asked,
        })
    }

    /// What to give the CLI as `HTTPS_PROXY`.
    #[must_use]
    pub fn proxy(&self) -> String {
        format!("http://{}", self.running.addr())
    }

    /// The certificate in PEM, for the file that `NODE_EXTRA_CA_CERTS` names.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What was asked so far, as `POST host/path`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// One connection: `CONNECT host:443`, then TLS, then requests.
async fn serve(
    mut stream: TcpStream,
    tls: &TlsAcceptor,
    log: &Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_whitespace();
    let host = match (words.next(), words.next()) {
        (Some("CONNECT"), Some(target)) => target.trim_end_matches(":443").to_owned(),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    if !HOSTS.contains(&host.as_str()) {
        return stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let stream = tls.accept(stream).await?;
    let service = service_fn(move |request| answer(request, host.clone(), Arc::clone(log)));
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

async fn answer(
    request: Request<Incoming>,
    host: String,
    log: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let asked = format!("{} {host}{}", request.method(), request.uri().path());
    let body = request.into_body().collect().await;
    let body: Value = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body.to_bytes()).ok())
        .unwrap_or_default();
    let (status, reply) = reply(&asked, &body);
    log.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked);
    let mut response = Response::new(Full::from(reply.to_string()));
    *response.status_mut() = status.try_into().unwrap_or_default();
    let json = hyper::header::HeaderValue::from_static("application/json");
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}

fn reply(asked: &str, body: &Value) -> (u16, Value) {
    let organization = json!({"uuid": "org-1", "name": "Example"});
    match asked {
        "POST platform.claude.com/v1/oauth/token" => {
            if body["code"] != CODE || body["code_verifier"].as_str().is_none_or(str::is_empty) {
                let error = json!({"error": "invalid_grant", "error_description": "wrong code"});
                return (400, error);
            }
            let token = json!({
                "token_type": "Bearer", "access_token": "sk-ant-oat01-for-tests",
                "refresh_token": "sk-ant-ort01-for-tests", "expires_in": 28800,
                "scope": "user:inference user:profile",
                "account": {"uuid": "acc-1", "email_address": EMAIL},
                "organization": organization,
            });
            (200, token)
        }
        "GET api.anthropic.com/api/oauth/profile" => {
            let account = json!({
                "uuid": "acc-1", "email": EMAIL, "full_name": "A Person",
                "display_name": "Person", "has_claude_max": true, "has_claude_pro": false,
            });
            let organization = json!({
                "uuid": "org-1", "name": "Example", "organization_type": "claude_max",
                "rate_limit_tier": "default_claude_max_5x",
            });
            (
                200,
                json!({"account": account, "organization": organization}),
            )
        }
        "GET api.anthropic.com/api/oauth/claude_cli/roles" => (
            200,
            json!({"organization_name": "Example", "organization_role": "admin"}),
        ),
        _ => (200, json!({})),
    }
}
