//! Writes an upstream as a URL that parses to the same upstream.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::{Deserializer, Serializer, de};
use zeroize::Zeroizing;

use super::parts::Upstream;

impl Upstream {
    /// The URL with its credentials, for the configuration file of another program. It wipes
    /// itself; whoever calls this answers for where it goes.
    #[must_use]
    pub fn to_url(&self) -> Zeroizing<String> {
        let mut userinfo = Zeroizing::new(String::new());
        if let Some(credentials) = self.credentials() {
            userinfo.extend(percent_encode(credentials.user.expose(), NON_ALPHANUMERIC));
            if !credentials.password.is_empty() {
                userinfo.push(':');
                userinfo.extend(percent_encode(
                    credentials.password.expose(),
                    NON_ALPHANUMERIC,
                ));
            }
            userinfo.push('@');
        }
        Zeroizing::new(format!(
            "{}://{}{}",
            self.scheme(),
            *userinfo,
            self.endpoint()
        ))
    }
}

/// `#[serde(with = "as_url")]` for a field that carries the upstream with its credentials.
///
/// [`Upstream`] itself is not serialisable, so that a configuration file has to say that it
/// holds a secret.
pub mod as_url {
    use super::{Deserializer, Serializer, Upstream, Zeroizing, de};
    use serde::Deserialize as _;

    /// Writes the URL, credentials included.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(upstream: &Upstream, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&upstream.to_url())
    }

    /// Reads the URL.
    ///
    /// # Errors
    ///
    /// An [`UpstreamFault`](crate::UpstreamFault) as the deserializer's own error.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Upstream, D::Error> {
        let url = Zeroizing::new(String::deserialize(from)?);
        Upstream::parse(&url).map_err(de::Error::custom)
    }
}
