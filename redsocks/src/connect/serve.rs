//! Clients of the bridge.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::plain;
use crate::client::{DialError, Dialer, Target};
use crate::service::log;

/// How long a client may take to send the head of a request, and to come up with another one.
const HEAD: Duration = Duration::from_secs(30);
/// How long to wait when the kernel has no file for a client.
const PAUSE: Duration = Duration::from_millis(100);
/// When to ask a silent peer whether it is still there, in seconds. A tunnel has no other limit: a
/// session of Claude's may be silent for minutes.
const KEEPALIVE_SECONDS: u32 = 60;

pub(super) type Body = Either<Full<Bytes>, Incoming>;

/// What every client shares.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) dialer: Dialer,
    pub(super) allow_special: bool,
}

/// Takes clients for ever.
pub(super) async fn serve(listener: TcpListener, bridge: Arc<Bridge>, clients: usize) {
    let places = Arc::new(Semaphore::new(clients.max(1)));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        tokio::spawn(client(stream, Arc::clone(&bridge), Arc::new(place)));
    }
}

async fn client(stream: TcpStream, bridge: Arc<Bridge>, place: Arc<OwnedSemaphorePermit>) {
    keep_alive(&stream);
    let service = service_fn(move |request| {
        let (bridge, place) = (Arc::clone(&bridge), Arc::clone(&place));
        async move { Ok::<_, Infallible>(bridge.answer(request, place).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A client that breaks off, or speaks something else, is its own affair.
    let _ = connection.await;
}

/// Best effort: a connection without it works as well.
fn keep_alive(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_SECONDS);
}

impl Bridge {
    async fn answer(
        &self,
        request: Request<Incoming>,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Response<Body> {
        let answered = if request.method() == Method::CONNECT {
            self.tunnel(request, place).await
        } else {
            plain::forward(self, request).await
        };
        answered.unwrap_or_else(|fault| fault.response())
    }

    async fn tunnel(
        &self,
        request: Request<Incoming>,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Result<Response<Body>, Fault> {
        let authority = request
            .uri()
            .authority()
            .ok_or(Fault::Malformed("no host and port"))?;
        let target: Target = authority
            .as_str()
            .parse()
            .map_err(|_| Fault::Malformed("no host and port"))?;
        self.check(&target)?;
        let mut far = self.dialer.connect(&target).await.map_err(Fault::Dial)?;
        keep_alive(&far);
        tokio::spawn(async move {
            if let Ok(near) = hyper::upgrade::on(request).await {
                // Either side may break off at any time; the other one sees its stream close.
                let _ = copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
            }
            drop(place);
        });
        Ok(Response::new(Either::Left(Full::default())))
    }

    /// Refuses what would end up in the upstream's own network.
    pub(super) fn check(&self, target: &Target) -> Result<(), Fault> {
        if target.is_special() && !self.allow_special {
            return Err(Fault::Special);
        }
        Ok(())
    }
}

/// Why a request is not carried.
#[derive(Debug)]
pub(super) enum Fault {
    /// It says nothing that a proxy could do.
    Malformed(&'static str),
    /// It asks for the upstream's own machine or network.
    Special,
    /// The upstream does not do it.
    Dial(DialError),
    /// The target broke off.
    Broken(hyper::Error),
}

impl Fault {
    fn response(&self) -> Response<Body> {
        let (status, text) = match self {
            Self::Malformed(what) => (
                StatusCode::BAD_REQUEST,
                format!("this is a proxy, and the request has {what}; set it as http_proxy"),
            ),
            Self::Special => (
                StatusCode::FORBIDDEN,
                "this address would be in the proxy's own network; put it into NO_PROXY to \
                 reach it directly"
                    .to_owned(),
            ),
            Self::Dial(error) => {
                let status = match error {
                    DialError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                };
                (status, log::chain(error))
            }
            Self::Broken(error) => (StatusCode::BAD_GATEWAY, log::chain(error)),
        };
        log::debug(format_args!("{status}: {text}"));
        let mut response =
            Response::new(Either::Left(Full::from(format!("cib-connect: {text}\n"))));
        *response.status_mut() = status;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        response
    }
}
