//! What can be wrong with a proxy URL. No message contains a part of a password.

use thiserror::Error;

/// The variable that every fault names.
pub const VARIABLE: &str = "CIB_PROXY_URL";

/// Why a `CIB_PROXY_URL` cannot be used.
///
/// Each message names the variable and the remedy. None quotes the URL, apart from a scheme
/// that is syntactically one: a mistyped URL can have its password anywhere, even where the
/// port belongs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UpstreamFault {
    /// Nothing but white space.
    #[error(
        "CIB_PROXY_URL is empty; write e.g. socks5://host:1080, or unset it to run without a proxy"
    )]
    Empty,
    /// White space or a control character inside.
    #[error(
        "CIB_PROXY_URL has a space or a control character in it; percent-encode it (a space is %20)"
    )]
    Blank,
    /// No `scheme://` in front.
    #[error(
        "CIB_PROXY_URL has no scheme; put socks5://, socks4:// or http:// in front of the host"
    )]
    NoScheme,
    /// A scheme that is none of ours.
    #[error("CIB_PROXY_URL has the unknown scheme `{scheme}`; use socks5, socks5h, socks4 or http")]
    UnknownScheme {
        /// What stood before `://`.
        scheme: String,
    },
    /// `https://`.
    #[error(
        "CIB_PROXY_URL uses https, and redsocks has no TLS towards a proxy; \
         use the proxy's http:// or socks5:// port (what goes through it stays encrypted end to end)"
    )]
    Https,
    /// A character of the user or password that has to be encoded.
    #[error(
        "CIB_PROXY_URL has an unencoded character in its user or password; \
         percent-encode it there: @ is %40, : is %3A, / is %2F, ? is %3F, # is %23"
    )]
    Unencoded,
    /// A `%` without two hexadecimal digits.
    #[error(
        "CIB_PROXY_URL has a `%` in its user or password that two hexadecimal digits do not follow; \
         write %25 for a percent sign"
    )]
    Percent,
    /// `%00` in the user or password.
    #[error("CIB_PROXY_URL has a zero byte (%00) in its user or password, which no proxy can take")]
    Zero,
    /// A password without a user.
    #[error(
        "CIB_PROXY_URL has an empty user before the `@`; write user:password@, or leave both out"
    )]
    NoUser,
    /// Longer than RFC 1929 has room for.
    #[error("CIB_PROXY_URL has a {part} of more than 255 bytes, the most a proxy can take")]
    TooLong {
        /// `user` or `password`.
        part: &'static str,
    },
    /// SOCKS4 carries a user only.
    #[error("CIB_PROXY_URL has a password, and socks4 cannot carry one; use socks5, or drop it")]
    Socks4Password,
    /// RFC 7617, section 2: a user-id with a colon cannot be sent.
    #[error(
        "CIB_PROXY_URL has a colon in its user, which an http proxy would take for the password"
    )]
    ColonInUser,
    /// Nothing between the scheme or `@` and the port.
    #[error("CIB_PROXY_URL has no host; write scheme://host:port")]
    NoHost,
    /// A host that is neither a name nor an address.
    #[error(
        "CIB_PROXY_URL has a host that is neither a name nor an address; \
         write a name of letters, digits and hyphens, an IPv4 address, or an IPv6 address in brackets"
    )]
    BadHost,
    /// A name outside ASCII.
    #[error("CIB_PROXY_URL has a host outside ASCII; write the name in its xn-- form")]
    NotAscii,
    /// An IPv6 address without brackets.
    #[error("CIB_PROXY_URL has an IPv6 address without brackets; write [address]:port")]
    Unbracketed,
    /// `fe80::1%eth0` and its kind.
    #[error(
        "CIB_PROXY_URL has a link-local IPv6 address, which means nothing inside the box; \
         use a routable one"
    )]
    LinkLocal,
    /// An address that no proxy can have.
    #[error(
        "CIB_PROXY_URL has an address that no proxy can have (unspecified, multicast or broadcast)"
    )]
    Unroutable,
    /// No port.
    #[error(
        "CIB_PROXY_URL has no port; add it after the host (there is no default: \
         programs disagree about it, and the firewall opens exactly this port)"
    )]
    NoPort,
    /// A port that is no number from 1 to 65535.
    #[error(
        "CIB_PROXY_URL has a port that is not a number from 1 to 65535; \
         write scheme://user:password@host:port"
    )]
    BadPort,
    /// A path after the host.
    #[error("CIB_PROXY_URL has a path after the port; end it there")]
    Path,
    /// A query after the host.
    #[error("CIB_PROXY_URL has a `?` query after the port; end it there")]
    Query,
    /// A fragment after the host.
    #[error("CIB_PROXY_URL has a `#` fragment after the port; end it there")]
    Fragment,
}
