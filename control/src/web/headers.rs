//! What a browser is told to allow.
//!
//! A page that shows what an agent wrote is a way out of the box past its proxy: an image that
//! the agent names would be fetched by the user's own browser. So a page may load from nowhere
//! but the box, run no script that the box did not ship, and turn text into markup only through
//! policies of its own (Trusted Types).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderName;
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, InvalidHeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

/// Bytes of a nonce.
const NONCE: usize = 18;

/// What a file may do that is opened by itself, as a page: nothing.
const ASSET: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; sandbox",
);

/// What the service worker may do: ask the box alone, and run no other script. A sandbox would keep it from
/// running at all.
const WORKER: HeaderValue =
    HeaderValue::from_static("default-src 'none'; connect-src 'self'; frame-ancestors 'none'");

/// Headers of every answer.
const COMMON: [(HeaderName, HeaderValue); 4] = [
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("x-dns-prefetch-control"),
        HeaderValue::from_static("off"),
    ),
];

/// A word that nobody can know before it is sent.
///
/// # Errors
/// The kernel's answer, if it has no random bytes.
pub fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; NONCE];
    getrandom::fill(&mut bytes)?;
    Ok(STANDARD_NO_PAD.encode(bytes))
}

/// The headers of a file.
pub fn asset(headers: &mut HeaderMap) {
    common(headers);
    headers.insert(CONTENT_SECURITY_POLICY, ASSET);
}

/// The headers of the service worker's script.
pub fn worker(headers: &mut HeaderMap) {
    common(headers);
    headers.insert(CONTENT_SECURITY_POLICY, WORKER);
}

/// The headers of the document.
///
/// # Errors
/// If the nonce is nothing that a header can hold.
pub fn document(headers: &mut HeaderMap, nonce: &str) -> Result<(), InvalidHeaderValue> {
    common(headers);
    headers.insert(CONTENT_SECURITY_POLICY, policy(nonce).try_into()?);
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), \
             clipboard-read=(self), clipboard-write=(self)",
        ),
    );
    Ok(())
}

fn common(headers: &mut HeaderMap) {
    headers.extend(COMMON);
}

/// The page's rules. Libraries that make style sheets as they run give them the nonce; script
/// comes from files alone.
fn policy(nonce: &str) -> String {
    [
        "default-src 'none'",
        "script-src 'self'",
        &format!("style-src 'self' 'nonce-{nonce}'"),
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types svelte-trusted-html cib-markdown cib-code cib-worker dompurify",
    ]
    .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_nonces_are_alike_and_each_fits_a_header() {
        let (one, two) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, two);
        let mut headers = HeaderMap::new();
        document(&mut headers, &one).unwrap();
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains(&format!("'nonce-{one}'")), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
