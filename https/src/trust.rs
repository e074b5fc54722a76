//! Who is trusted.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cib_foreign::own;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::HttpsError;

/// Reads the certificates and makes TLS that trusts them.
pub(crate) fn config(bundle: &Path) -> Result<Arc<ClientConfig>, HttpsError> {
    let trust = |source| HttpsError::Trust {
        path: bundle.into(),
        source,
    };
    let pem = own::read(bundle).map_err(trust)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if roots.is_empty() {
        return Err(trust(io::Error::other("there is no certificate in it")));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HttpsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::in_memory_sessions(4);
    Ok(Arc::new(config))
}
