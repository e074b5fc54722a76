//! Who is trusted.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cib_foreign::own;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use crate::HttpsError;

/// Who is trusted on one line, and who the box is there.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Certificates in PEM that are trusted, and no others; the bundle's if it is absent.
    pub roots: Option<String>,
    /// The certificate that is shown, and what leads to it, in PEM.
    pub certificate: Option<String>,
    /// Its key, in PEM.
    pub key: Option<String>,
}

/// Reads the certificates and makes TLS that trusts them.
pub(crate) fn config(bundle: &Path) -> Result<Arc<ClientConfig>, HttpsError> {
    let pem = own::read(bundle).map_err(|source| HttpsError::Trust {
        path: bundle.into(),
        source,
    })?;
    let mut config = trusting(&pem, bundle)?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::in_memory_sessions(4);
    Ok(Arc::new(config))
}

/// TLS for one line, on which no HTTP is spoken.
pub(crate) fn line(bundle: &Path, identity: &Identity) -> Result<Arc<ClientConfig>, HttpsError> {
    let builder = match &identity.roots {
        Some(pem) => trusting(pem.as_bytes(), Path::new("what was given"))?,
        None => {
            let pem = own::read(bundle).map_err(|source| HttpsError::Trust {
                path: bundle.into(),
                source,
            })?;
            trusting(&pem, bundle)?
        }
    };
    let config = match (&identity.certificate, &identity.key) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
            let chain: Vec<_> = chain
                .collect::<Result<_, _>>()
                .map_err(|error| HttpsError::Identity(error.into()))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|error| HttpsError::Identity(error.into()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| HttpsError::Identity(error.into()))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn trusting(
    pem: &[u8],
    path: &Path,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, HttpsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
    if roots.is_empty() {
        return Err(HttpsError::Trust {
            path: path.into(),
            source: io::Error::other("there is no certificate in it"),
        });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HttpsError::Setup)?;
    Ok(builder.with_root_certificates(roots))
}
