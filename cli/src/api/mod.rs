//! The API of a box, as this command uses it.
//!
//! Answers are read as far as they are understood, so that a box of another version can be used.

pub mod stream;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::{process, text};

/// How long an answer may take: a session's first answer comes when its keeper is ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a box that answers has until all of it is up.
const NOT_YET: Duration = Duration::from_secs(30);

/// How long a box has to say that it is there.
const GLANCE: Duration = Duration::from_secs(3);

/// Bytes of an answer, at most.
const MOST: usize = 16 << 20;

/// A box's API.
#[derive(Debug)]
pub struct Api {
    addr: SocketAddr,
    token: String,
    runtime: Runtime,
}

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is nobody at the address.
    #[error("the box's API does not answer at {addr}")]
    Connect {
        /// The address.
        addr: SocketAddr,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// The box does not publish its port here.
    #[error("the box publishes no port on this machine")]
    NoPort,
    /// The connection broke.
    #[error("the connection to the box broke")]
    Broken(#[from] hyper::Error),
    /// The request cannot be written down.
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    /// It took too long.
    #[error("the box has not answered within {} s", .0.as_secs())]
    Late(Duration),
    /// The answer is too large, or broke off.
    #[error("the box's answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is no JSON.
    #[error("the box's answer is not JSON")]
    Json(#[from] serde_json::Error),
    /// The box says no.
    #[error("the box refuses: {code}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The API's stable code.
        code: String,
        /// What it says to people.
        detail: String,
    },
    /// There is no runtime for connections.
    #[error("cannot prepare for connections")]
    Runtime(#[source] std::io::Error),
}

impl ApiError {
    /// Whether the box is not up yet, or ends.
    fn is_not_yet(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "not_now")
    }
}

/// A status and a body.
type Reply = (u16, Bytes);

impl Api {
    /// That of a box whose port is published on this machine.
    ///
    /// # Errors
    /// The port is not published, or the kernel gives no descriptors.
    pub fn at(port: Option<u16>, token: String) -> Result<Self, ApiError> {
        let port = port.ok_or(ApiError::NoPort)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ApiError::Runtime)?;
        Ok(Self {
            addr: (Ipv4Addr::LOCALHOST, port).into(),
            token,
            runtime,
        })
    }

    /// Its address for people.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Whether the box says of itself that it works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let asked = self.send(Method::GET, "/api/health", "application/json", None, GLANCE);
        let Ok((200, body)) = asked else {
            return false;
        };
        serde_json::from_slice::<Value>(&body).is_ok_and(|body| body["status"] == "ok")
    }

    /// Whether the box has pages.
    #[must_use]
    pub fn has_pages(&self) -> bool {
        let asked = self.send(Method::GET, "/", "text/html", None, GLANCE);
        asked.is_ok_and(|(status, _)| status == 200)
    }

    /// Asks for something.
    ///
    /// # Errors
    /// An [`ApiError`].
    pub fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.ask(&Method::GET, path, None)
    }

    /// Asks for a text.
    ///
    /// # Errors
    /// An [`ApiError`].
    pub fn text(&self, path: &str) -> Result<String, ApiError> {
        let (status, bytes) = self.send(Method::GET, path, "text/plain", None, PATIENCE)?;
        if status != 200 {
            return Err(refused(status, &bytes));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends something.
    ///
    /// # Errors
    /// An [`ApiError`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.ask(&Method::POST, path, Some(body))
    }

    /// Removes something.
    ///
    /// # Errors
    /// An [`ApiError`].
    pub fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.ask(&Method::DELETE, path, None)
    }

    /// Asks, and once more for as long as the box says that it is not up: its API may be, before all
    /// of it is. Nothing was done then.
    fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let mut refused = None;
        let answer = process::wait_for(NOT_YET, || {
            match self.ask_once(method.clone(), path, body) {
                Err(error @ ApiError::Refused { .. }) if error.is_not_yet() => {
                    refused = Some(error);
                    None
                }
                answer => Some(answer),
            }
        });
        match (answer, refused) {
            (Some(answer), _) => answer,
            (None, Some(error)) => Err(error),
            (None, None) => Err(ApiError::Late(NOT_YET)),
        }
    }

    fn ask_once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let (status, bytes) = self.send(method, path, "application/json", body, PATIENCE)?;
        let value = match &bytes[..] {
            [] => Ok(Value::Null),
            bytes => serde_json::from_slice(bytes),
        };
        match value {
            // What was said before the time was up is an answer, too.
            Ok(value) if (200..300).contains(&status) || value["partial"] == true => Ok(value),
            Err(error) if (200..300).contains(&status) => Err(error.into()),
            _ => Err(refused(status, &bytes)),
        }
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Reply, ApiError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.addr.to_string())
            .header(ACCEPT, accept)
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        self.runtime.block_on(async {
            let exchange = self.exchange(request);
            match tokio::time::timeout(patience, exchange).await {
                Ok(reply) => reply,
                Err(_) => Err(ApiError::Late(patience)),
            }
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, ApiError> {
        let stream = TcpStream::connect(self.addr)
            .await
            .map_err(|source| ApiError::Connect {
                addr: self.addr,
                source,
            })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let reply = sender.send_request(request).await?;
        let status = reply.status().as_u16();
        let body = Limited::new(reply.into_body(), MOST);
        let body = body.collect().await.map_err(ApiError::Body)?.to_bytes();
        connection.abort();
        Ok((status, body))
    }
}

/// What a box says that refuses.
fn refused(status: u16, body: &[u8]) -> ApiError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |key: &str| text::plain(value[key].as_str().unwrap_or("?"));
    ApiError::Refused {
        status,
        code: word("error"),
        detail: word("detail"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes; what was asked.
    fn serve(answer: &'static str) -> (u16, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut piece = [0; 1024];
            while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                let read = stream.read(&mut piece).unwrap();
                asked.extend(&piece[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (port, served)
    }

    #[test]
    fn a_refusal_has_its_code_and_its_words_without_control_characters() {
        let (port, served) = serve(
            "HTTP/1.1 409 Conflict\r\nContent-Length: 47\r\n\r\n{\"error\":\"busy\",\"detail\":\"no \\u001b[2J thanks\"}",
        );
        let api = Api::at(Some(port), "secret-token".into()).unwrap();
        let error = api.get("/api/sessions").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the box refuses: busy: no \\u{1b}[2J thanks"
        );
        let asked = served.join().unwrap();
        assert!(
            asked
                .to_lowercase()
                .contains("authorization: bearer secret-token")
        );
    }

    #[test]
    fn a_box_that_is_not_up_yet_is_asked_once_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            for answer in [
                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 43\r\n\r\n{\"error\":\"not_now\",\"detail\":\"it is not up\"}",
                "HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{\"id\":\"a\"}",
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut piece = [0; 4096];
                let _ = stream.read(&mut piece).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let api = Api::at(Some(port), "t".into()).unwrap();
        let made = api.post("/api/sessions", &serde_json::json!({})).unwrap();
        assert_eq!(made["id"], "a");
        served.join().unwrap();
    }

    #[test]
    fn a_box_that_is_not_there_is_not_healthy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let api = Api::at(Some(port), "t".into()).unwrap();
        assert!(!api.is_healthy() && !api.has_pages());
        assert!(matches!(api.get("/"), Err(ApiError::Connect { .. })));
        assert!(matches!(Api::at(None, "t".into()), Err(ApiError::NoPort)));
    }
}
