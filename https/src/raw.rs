//! Streams for what is not HTTP, found and trusted as those of HTTP are.

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connect::{self, Place};
use crate::{Client, HttpsError, Identity, trust};

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
        self.secure_as(host, stream, &Identity::default()).await
    }

    /// As [`Client::secure`], with certificates of one's own.
    ///
    /// # Errors
    /// As there, and [`HttpsError::Identity`].
    pub async fn secure_as(
        &self,
        host: &str,
        stream: TcpStream,
        identity: &Identity,
    ) -> Result<TlsStream<TcpStream>, HttpsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpsError::Address)?;
        let tls = trust::line(&self.options.bundle, identity)?;
        let stream = TlsConnector::from(tls).connect(name, stream);
        stream.await.map_err(|source| HttpsError::Tls {
            host: host.to_owned(),
            source,
        })
    }
}
