//! DNS over HTTPS, where port 53 is closed.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cib_resolver::config::Mode;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::client::{Resolver, config};
use crate::names::{KNOWN, Names};
use crate::world::{Route, World};

const HOST: &str = "192.0.2.53";

/// A DoH server with a certificate for [`HOST`], and that certificate as a bundle.
struct Doh {
    address: SocketAddr,
    names: Names,
    bundle: NamedTempFile,
}

impl Doh {
    async fn start(protocol: &'static [u8]) -> Self {
        let key = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let mut bundle = NamedTempFile::new().unwrap();
        bundle.write_all(key.cert.pem().as_bytes()).unwrap();
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let names = Names::detached();
        let serving = names.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, acceptor.clone(), serving.clone(), protocol));
            }
        });
        Self {
            address,
            names,
            bundle,
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, names: Names, protocol: &[u8]) {
    // A client that does not trust the certificate breaks off.
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request| answer(request, names.clone()));
    if protocol == b"h2" {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(stream, service).await;
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(stream, service).await;
    }
}

async fn answer(
    request: Request<Incoming>,
    names: Names,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("POST", "/dns-query")
    );
    let host = request.uri().host().map(str::to_owned);
    let header = request
        .headers()
        .get("host")
        .map(|host| host.to_str().unwrap().to_owned());
    assert_eq!(host.or(header).as_deref(), Some(HOST));
    assert_eq!(request.headers()["content-type"], "application/dns-message");
    let query = request.into_body().collect().await?.to_bytes();
    assert_eq!(query[..2], [0, 0], "RFC 8484 asks for id 0");
    let reply = names.answer(&query).unwrap();
    let response = Response::builder().header("content-type", "application/dns-message");
    Ok(response.body(Full::from(reply)).unwrap())
}

async fn works_over(protocol: &'static [u8]) {
    let (world, doh) = (World::start().await, Doh::start(protocol).await);
    world.route("192.0.2.53:53", Route::Refuse(2));
    world.route("192.0.2.53:443", Route::To(doh.address));
    let mut config = config(&world, HOST);
    config.ca_bundle = doh.bundle.path().into();
    let resolver = Resolver::start(config).await;
    for number in 0..10 {
        let name = format!("host{number}.example.");
        assert_eq!(resolver.look_up(&name).await, Ok(vec![KNOWN.into()]));
    }
    assert_eq!(doh.names.asked().len(), 10);
    // Port 53 was tried once, and everything after it went over one connection.
    assert_eq!(world.targets(), ["192.0.2.53:53", "192.0.2.53:443"]);
}

#[tokio::test]
async fn a_closed_port_53_is_got_around_with_http2() {
    works_over(b"h2").await;
}

#[tokio::test]
async fn a_closed_port_53_is_got_around_with_http1() {
    works_over(b"http/1.1").await;
}

#[tokio::test]
async fn a_server_without_a_trusted_certificate_is_not_believed() {
    let (world, doh) = (World::start().await, Doh::start(b"h2").await);
    let other = Doh::start(b"h2").await;
    world.route("192.0.2.53:443", Route::To(doh.address));
    let mut config = config(&world, HOST);
    config.mode = Mode::Doh;
    config.ca_bundle = other.bundle.path().into();
    let resolver = Resolver::start(config).await;
    assert!(resolver.look_up("host.example.").await.is_err());
    assert!(doh.names.asked().is_empty());
}

#[tokio::test]
async fn a_service_by_name_is_resolved_on_the_far_side() {
    let (world, doh) = (World::start().await, Doh::start(b"h2").await);
    world.route("dns.example:443", Route::To(doh.address));
    let mut config = config(&world, "https://dns.example/dns-query");
    config.ca_bundle = doh.bundle.path().into();
    let resolver = Resolver::start(config).await;
    // The certificate is for another name, so it gets no further than this.
    assert!(resolver.look_up("host.example.").await.is_err());
    assert_eq!(world.targets(), ["dns.example:443"]);
}
