//! A page server whose log tells who asked.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{Method, StatusCode, Uri};

use crate::log::{Log, Request};
use crate::serve::{Running, Work, listen};

/// A page server running in this process until dropped.
#[derive(Debug)]
pub struct Httpd {
    running: Running,
    log: Log,
}

impl Httpd {
    /// Starts on a free port of the loopback.
    ///
    /// # Errors
    /// No port can be bound.
    pub fn start() -> io::Result<Self> {
        let log = Log::memory();
        let pages = log.clone();
        let running = Running::start(move || bind(SocketAddr::from(([127, 0, 0, 1], 0)), pages))?;
        Ok(Self { running, log })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running.addr()
    }

    /// What was asked so far.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }
}

/// Binds `addr`; the work returned serves until dropped. Every path has a page, which says
/// `page <path>` and ends with a newline. Must be called inside a runtime.
///
/// # Errors
/// The address cannot be bound.
pub fn bind(addr: SocketAddr, log: Log) -> io::Result<(SocketAddr, Work)> {
    let listener = listen(addr)?;
    let addr = listener.local_addr()?;
    let service = Router::new()
        .fallback(page)
        .with_state(log)
        .into_make_service_with_connect_info::<SocketAddr>();
    Ok((
        addr,
        Box::pin(async move { axum::serve(listener, service).await }),
    ))
}

async fn page(
    State(log): State<Log>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
) -> (StatusCode, String) {
    let body = format!("page {}\n", uri.path());
    let asked = Request::Httpd {
        method: method.to_string(),
        path: uri.to_string(),
    };
    match log.add(peer, asked) {
        Ok(()) => (StatusCode::OK, body),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot keep a log: {error}\n"),
        ),
    }
}
