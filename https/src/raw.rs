//! Streams for what is not HTTP, found and trusted as those of HTTP are.

use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connect::{self, Place};
use crate::{Client, HttpsError, trust};

impl Client {
    /// Connects to a port of a host, if [`crate::Options::permits`] allows one of its addresses. The
    /// caller limits the time.
    ///
    /// # Errors
    /// An [`HttpsError`].
    pub async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, HttpsError> {
        let place = Place {
            host: host.to_owned(),
            port,
            is_tls: false,
            authority: String::new(),
        };
        connect::stream(&self.options, &place).await
    }

    /// Begins TLS on a stream to a host, whose certificate has to be good for that name. The caller
    /// limits the time.
    ///
    /// # Errors
    /// [`HttpsError::Tls`], [`HttpsError::Trust`] or [`HttpsError::Setup`].
    pub async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HttpsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpsError::Address)?;
        // What is spoken is not HTTP, so it is not offered.
        let mut tls = trust::config(&self.options.bundle)?.as_ref().clone();
        tls.alpn_protocols.clear();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream);
        stream.await.map_err(|source| HttpsError::Tls {
            host: host.to_owned(),
            source,
        })
    }
}
