//! What an attack of a stranger is: what is said, by which door, and what may come of it.

use std::net::SocketAddr;

use super::{exchange, status};
use crate::common::world::MASTER;

/// What a proxy and its box share, which a stranger does not know.
pub(crate) const SECRET: &str = "between-proxy-and-box";

/// By which way a stranger comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// To a box with a token.
    Token,
    /// To a box that trusts a proxy, past that proxy.
    PastProxy,
    /// To the same box, through the proxy, which vouches for itself and for no user.
    Proxy,
}

/// One attack of a stranger.
pub(crate) struct Attack {
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) how: How,
    /// The answers that it may get. To be hung up on is always right.
    pub(crate) allowed: &'static [u16],
}

/// Something that takes more than one thing said; what was answered, as far as anybody did.
pub(crate) type Deed = fn(SocketAddr) -> Vec<u8>;

pub(crate) enum How {
    /// Says this, and reads what comes.
    Say(Vec<u8>),
    /// Does this.
    Do(Deed),
}

/// What came of one.
pub(crate) struct Came {
    /// For the table.
    pub(crate) word: String,
    /// Why it is not what has to come.
    pub(crate) wrong: Option<String>,
}

/// Kinds of which nothing gets through a proxy: it speaks no such HTTP, and makes its own claims.
const NOT_BY_PROXY: [&str; 3] = ["bytes", "smuggling", "claims"];

impl Attack {
    pub(crate) fn comes_by(&self, door: Door) -> bool {
        door != Door::Proxy || !NOT_BY_PROXY.contains(&self.kind)
    }

    pub(crate) fn attempt(&self, address: SocketAddr, door: Door) -> Came {
        let answer = match &self.how {
            How::Say(said) if door == Door::Proxy => exchange(address, &vouched(said)),
            How::Say(said) => exchange(address, said),
            How::Do(attempt) => attempt(address),
        };
        let answered = status(&answer);
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let is_wrong = !answered.is_none_or(|status| self.allowed.contains(&status))
            // A second answer is one to what was hidden in the first request.
            || self.kind == "smuggling" && text.matches("http/1.1 ").count() > 1
            || text.contains("access-control-allow")
            || text.contains("set-cookie")
            || text.contains(MASTER)
            || text.contains(SECRET);
        Came {
            word: answered.map_or("closed".to_owned(), |status| status.to_string()),
            wrong: is_wrong.then(|| answer.escape_ascii().to_string()),
        }
    }

    /// Malformed as such, and short.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(&self.how, How::Say(said) if said.len() < 100_000) && self.allowed == [400]
    }
}

/// A request as a proxy passes it on.
fn vouched(said: &[u8]) -> Vec<u8> {
    let Some(end) = memchr::memmem::find(said, b"\r\n") else {
        return said.to_vec();
    };
    let claim = format!("\r\nX-CIB-Proxy-Secret: {SECRET}\r\nX-Forwarded-For: 203.0.113.9");
    [&said[..end], claim.as_bytes(), &said[end..]].concat()
}
