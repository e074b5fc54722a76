//! A request as handlers see it, and what they answer. No type of the HTTP server is in here.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cib_protocol::session::{Program, SessionId};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, Stream};
use http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Kind, Param};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::gate::Arrival;
use crate::envelope::Sealed;
use crate::fault::{Code, Fault};
use crate::feed::reader::Reader;
use crate::files::ask::Pieces;
use crate::metrics::StreamGauge;
use crate::sessions::store::nothing_of;
use crate::stream::Follow;
use crate::stream::socket::{Speaker, Wire};

/// A request that was let in.
#[derive(Debug)]
pub struct Call {
    /// The control plane.
    pub app: Arc<App>,
    /// Who asks; `None` on routes that are open to everybody.
    pub caller: Option<Caller>,
    /// Where the request came from.
    pub arrival: Arrival,
    /// The values of `{…}` in the path, decoded.
    pub path: Vec<(String, String)>,
    /// The query string.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// The body piece by piece, of a route that takes a file. `body` is empty then.
    pub upload: Option<Upload>,
}

/// A body as it comes.
pub struct Upload(Mutex<BoxStream<'static, Result<Bytes, Fault>>>);

impl Upload {
    /// What a client sends.
    pub fn new(pieces: impl Stream<Item = Result<Bytes, Fault>> + Send + 'static) -> Self {
        Self(Mutex::new(Box::pin(pieces)))
    }

    /// What is there already.
    #[must_use]
    pub fn of(bytes: Bytes) -> Self {
        Self::new(stream::iter([Ok(bytes)]))
    }

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(stream::empty())
    }

    /// The next piece; after a fault there is none.
    pub async fn next(&mut self) -> Option<Result<Bytes, Fault>> {
        // Nobody else has it: the lock is there for what holds this, which is shared.
        let pieces = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        pieces.next().await
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upload")
    }
}

impl Call {
    /// Who asks.
    ///
    /// # Errors
    /// [`Code::Unauthorized`] on a route that is open to everybody, which therefore must not
    /// depend on its caller.
    pub fn caller(&self) -> Result<Caller, Fault> {
        self.caller
            .clone()
            .ok_or_else(|| Fault::new(Code::Unauthorized, "this needs a token"))
    }

    /// A value in the path.
    #[must_use]
    pub fn part(&self, name: &str) -> &str {
        self.path
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// The session, or the shell, in the path.
    ///
    /// # Errors
    /// [`Code::NoSuchSession`] or [`Code::NoSuchShell`] if it is no id at all.
    pub fn id(&self, program: Program) -> Result<SessionId, Fault> {
        let id = self.part("id");
        id.parse()
            .map_err(|_| nothing_of(program, format_args!("{id:?}; ids are UUIDs")))
    }

    /// The body as a value.
    ///
    /// # Errors
    /// [`Code::BadJson`], [`Code::UnknownField`] or [`Code::BadValue`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if self.body.is_empty() {
            return Err(Fault::new(Code::BadJson, "the body is empty"));
        }
        let json: &RawValue = serde_json::from_slice(&self.body)
            .map_err(|error| Fault::new(Code::BadJson, error.to_string()))?;
        // Where an object is expected, serde would also take its values as an array.
        if !json.get().starts_with('{') {
            return Err(Fault::new(Code::BadValue, "the body is not a JSON object"));
        }
        serde_json::from_str(json.get()).map_err(|error| Fault::from_json(&error))
    }
}

impl Call {
    /// The body as a value, or the default of one if there is no body.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Fault> {
        if self.body.is_empty() {
            return Ok(T::default());
        }
        self.json()
    }
}

impl Param {
    fn check(&self, value: &str) -> Result<(), Fault> {
        let name = self.name;
        let bad = |what: String| Err(Fault::new(Code::BadValue, format!("`{name}` is {what}")));
        match self.kind {
            Kind::Text => Ok(()),
            Kind::Number(least, most) => match value.parse::<u64>() {
                Err(_) => bad(format!("a whole number, not `{value}`")),
                Ok(number) if number < least => bad(format!("at least {least}")),
                Ok(number) if number > most => bad(format!("at most {most}")),
                Ok(_) => Ok(()),
            },
            Kind::Word(words) if words.contains(&value) => Ok(()),
            Kind::Word(words) => bad(format!("`{}`, not `{value}`", words.join("` or `"))),
        }
    }
}

/// A query string, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string, and refuses what the route does not know: a misspelt parameter
    /// would otherwise silently do nothing.
    ///
    /// # Errors
    /// [`Code::TokenInQuery`] for something that looks like a token, [`Code::BadValue`] for
    /// what is unknown, double, no UTF-8 or not what the parameter is.
    pub fn parse(text: &str, known: &[Param]) -> Result<Self, Fault> {
        let bad = |detail: String| Err(Fault::new(Code::BadValue, detail));
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                return bad("the query string is not UTF-8".to_owned());
            };
            if matches!(&*name, "token" | "access_token" | "bearer") {
                return Err(Fault::new(
                    Code::TokenInQuery,
                    "tokens in addresses end up in logs; send it as `Authorization: Bearer`, or \
                     for a WebSocket as the subprotocol `bearer.<token>`",
                ));
            }
            let Some(param) = known.iter().find(|param| param.name == name) else {
                let names: Vec<_> = known.iter().map(|param| param.name).collect();
                let names = if names.is_empty() {
                    "this route takes none".to_owned()
                } else {
                    format!("this route takes {}", names.join(", "))
                };
                return bad(format!("unknown parameter `{name}`; {names}"));
            };
            param.check(&value)?;
            if pairs.iter().any(|(known, _)| *known == name) {
                return bad(format!("the parameter `{name}` is there twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// A parameter's text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter that is a number, if it is there.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        // It was checked when it was parsed.
        self.get(name)?.parse().ok()
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// Bytes that are sent as they come.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send>>;

/// What a handler answers.
pub enum Reply {
    /// 200 with a JSON value.
    Json(Vec<u8>),
    /// 408 with a JSON value: what there was when the time was up.
    Partial(Vec<u8>),
    /// 201 with a JSON value.
    Created {
        /// The path of what was made.
        location: String,
        /// The value.
        json: Vec<u8>,
    },
    /// 204.
    Nothing,
    /// 200 with text.
    Text {
        /// Its media type.
        media: &'static str,
        /// The text.
        text: String,
    },
    /// A page, with the status that fits.
    Page {
        /// The status.
        status: StatusCode,
        /// The document.
        html: String,
    },
    /// 200 with a body that comes piece by piece.
    Chunks {
        /// Its media type.
        media: &'static str,
        /// The pieces.
        chunks: Chunks,
    },
    /// A WebSocket.
    Socket(Box<Conversation>),
    /// Another answer, which also sets a cookie.
    Cookie {
        /// The answer.
        reply: Box<Self>,
        /// The value of `Set-Cookie`.
        cookie: String,
    },
    /// A WebSocket on which only the server speaks.
    Feed(Box<Broadcast>),
    /// Bytes of a file. What ends with an error is cut, so that nobody takes it for the whole.
    File {
        /// 200 or 206.
        status: StatusCode,
        /// How many bytes come.
        length: u64,
        /// The bytes.
        pieces: Pieces,
    },
    /// 304.
    Unchanged,
    /// A message of the sealed envelope that is no answer to a request, or a refusal in the clear.
    Bytes {
        /// Its status.
        status: StatusCode,
        /// Its media type.
        media: &'static str,
        /// What it is.
        bytes: Vec<u8>,
    },
    /// The answer to a request that came sealed.
    Sealed(Box<Sealed>),
    /// A WebSocket that carries the line of a device.
    SealedSocket,
    /// An answer with these headers besides.
    With(Box<Reply>, HeaderMap),
}

/// What happens on a WebSocket of the whole box.
#[derive(Debug)]
pub struct Broadcast {
    /// What the client gets.
    pub reader: Reader,
    /// How it is written.
    pub wire: Wire,
    /// Whether the client wants to be told that the line lives.
    pub tells_life: bool,
    /// Counts it.
    pub gauge: StreamGauge,
}

/// What happens on a WebSocket.
#[derive(Debug)]
pub struct Conversation {
    /// What the client gets.
    pub follow: Follow,
    /// What the client says.
    pub speaker: Speaker,
    /// How both write.
    pub wire: Wire,
    /// Whether the client wants to be told that the line lives.
    pub tells_life: bool,
    /// Counts it.
    pub gauge: StreamGauge,
}

impl Reply {
    /// The same with these headers.
    #[must_use]
    pub fn with(self, headers: HeaderMap) -> Self {
        Self::With(Box::new(self), headers)
    }

    /// 200 with a value.
    ///
    /// # Errors
    /// [`Code::Internal`] if the value cannot be written as JSON.
    pub fn json<T: Serialize>(value: &T) -> Result<Self, Fault> {
        serde_json::to_vec(value)
            .map(Self::Json)
            .map_err(Fault::internal)
    }

    /// 408 with as much of a value as there is.
    ///
    /// # Errors
    /// [`Code::Internal`] if the value cannot be written as JSON.
    pub fn partial<T: Serialize>(value: &T) -> Result<Self, Fault> {
        serde_json::to_vec(value)
            .map(Self::Partial)
            .map_err(Fault::internal)
    }

    /// 201 with a value.
    ///
    /// # Errors
    /// [`Code::Internal`] if the value cannot be written as JSON.
    pub fn created<T: Serialize>(location: String, value: &T) -> Result<Self, Fault> {
        let json = serde_json::to_vec(value).map_err(Fault::internal)?;
        Ok(Self::Created { location, json })
    }

    /// The same answer with a cookie.
    #[must_use]
    pub fn with_cookie(self, cookie: String) -> Self {
        Self::Cookie {
            reply: Box::new(self),
            cookie,
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json(_) => "Json",
            Self::Partial(_) => "Partial",
            Self::Created { .. } => "Created",
            Self::Nothing => "Nothing",
            Self::Text { .. } => "Text",
            Self::Page { .. } => "Page",
            Self::Chunks { .. } => "Chunks",
            Self::Socket(_) => "Socket",
            Self::Cookie { .. } => "Cookie",
            Self::Feed(_) => "Feed",
            Self::File { .. } => "File",
            Self::Unchanged => "Unchanged",
            Self::With(..) => "With",
            Self::Bytes { .. } => "Bytes",
            Self::Sealed(_) => "Sealed",
            Self::SealedSocket => "SealedSocket",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Param] = &[
        Param {
            name: "from",
            help: "",
            kind: Kind::Number(1, 9),
        },
        Param {
            name: "kinds",
            help: "",
            kind: Kind::Text,
        },
    ];

    fn code(text: &str) -> Option<Code> {
        Query::parse(text, KNOWN).err().map(|fault| fault.code())
    }

    #[test]
    fn a_query_is_decoded() {
        let query = Query::parse("from=7&kinds=a%2Cb+c&", KNOWN).unwrap();
        assert_eq!(query.number("from"), Some(7));
        assert_eq!(query.get("kinds"), Some("a,b c"));
        assert_eq!(query.get("limit"), None);
    }

    #[test]
    fn what_is_unknown_double_or_no_text_is_refused() {
        assert_eq!(code("form=7"), Some(Code::BadValue));
        assert_eq!(code("from=7&from=8"), Some(Code::BadValue));
        assert_eq!(code("kinds=%ff"), Some(Code::BadValue));
        assert_eq!(code("token=abc"), Some(Code::TokenInQuery));
        for bad in [
            "-1",
            "0",
            "10",
            "x",
            "",
            "1.0",
            "+1 ",
            "18446744073709551616",
        ] {
            assert_eq!(code(&format!("from={bad}")), Some(Code::BadValue), "{bad}");
        }
    }
}
