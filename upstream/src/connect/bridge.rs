//! What every client of the bridge shares, and how a request is refused.

use bytes::Bytes;
use cib_base::errors;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::client::{DialError, Dialer, Target};

pub(super) type Body = Either<Full<Bytes>, Incoming>;

/// What every client shares.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) dialer: Dialer,
    pub(super) allow_special: bool,
}

impl Bridge {
    /// Refuses what would end up in the upstream's own network.
    pub(super) fn check(&self, target: &Target) -> Result<(), Fault> {
        if target.is_special() && !self.allow_special {
            return Err(Fault::Special);
        }
        Ok(())
    }
}

/// Why a request is not carried.
#[derive(Debug)]
pub(super) enum Fault {
    /// A proxy cannot carry it out.
    Malformed(&'static str),
    /// It asks for the upstream's own machine or network.
    Special,
    /// The upstream did not connect.
    Dial(DialError),
    /// The target closed the connection.
    Broken(hyper::Error),
}

impl Fault {
    /// The response to the client, which is logged as well.
    pub(super) fn response(&self) -> Response<Body> {
        let (status, text) = match self {
            Self::Malformed(what) => (
                StatusCode::BAD_REQUEST,
                format!("this is a proxy, and the request has {what}; set it as http_proxy"),
            ),
            Self::Special => (
                StatusCode::FORBIDDEN,
                "this address would be in the proxy's own network; put it into NO_PROXY to \
                 reach it directly"
                    .to_owned(),
            ),
            Self::Dial(error) => {
                let status = match error {
                    DialError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                };
                (status, errors::chain(error))
            }
            Self::Broken(error) => (StatusCode::BAD_GATEWAY, errors::chain(error)),
        };
        tracing::debug!("{status}: {text}");
        let mut response =
            Response::new(Either::Left(Full::from(format!("cib-connect: {text}\n"))));
        *response.status_mut() = status;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        response
    }
}
