//! The API as the job asks for it: requests of HTTP/1.0, each on a connection of its own, whose
//! answers end with it.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What a request may take: control looks at disks and asks processes for some.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before a request is made again that got no answer.
const AGAIN: Duration = Duration::from_millis(500);
/// How often. Control is started again when it dies; a box in which it stays dead ends itself.
const TRIES: u32 = 120;
/// Bytes of an answer, at most: a thousand tasks as a list shows them.
const MOST: u64 = 16 * 1024 * 1024;
/// Bytes of a header or of a line of a stream, at most.
const LINE: u64 = 1024 * 1024;

/// Where control listens, and what it wants to see.
#[derive(Debug)]
pub(super) struct Api {
    port: u16,
    token: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// Control does not answer, or not as it should.
    #[error("control does not answer")]
    Silent(#[source] io::Error),
    /// It refuses.
    #[error("control refuses: {code}: {detail}")]
    Refused {
        /// The status.
        status: u16,
        /// Its word for it.
        code: String,
        /// Its sentence.
        detail: String,
    },
}

/// The lines of a stream.
#[derive(Debug)]
pub(super) struct Lines(BufReader<TcpStream>);

impl Lines {
    /// The next one, without its end; nothing behind the last. May not be dropped on the way.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.0).take(LINE);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

impl Api {
    /// Control of this box.
    pub(super) fn new(port: u16, token: Option<String>) -> Self {
        Self { port, token }
    }

    /// Asks, again and again until there is an answer.
    ///
    /// # Errors
    /// Control refuses, or there is no answer after a minute.
    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let mut tries = 0;
        loop {
            let asked = timeout(PATIENCE, self.exchange(method, path, body)).await;
            let asked = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let error = match asked {
                Ok((status, answer)) if status < 300 => return Ok(answer),
                // It is ending, and comes back.
                Ok((503, _)) => io::Error::other("it is not ready"),
                Ok((status, answer)) => {
                    let word = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
                    return Err(ApiError::Refused {
                        status,
                        code: word("error"),
                        detail: word("detail"),
                    });
                }
                Err(error) => error,
            };
            tries += 1;
            if tries == TRIES {
                return Err(ApiError::Silent(error));
            }
            sleep(AGAIN).await;
        }
    }

    async fn exchange(&self, method: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        let (status, lines) = self.send(method, path, body).await?;
        let mut bytes = Vec::new();
        lines.0.take(MOST).read_to_end(&mut bytes).await?;
        if bytes.is_empty() {
            return Ok((status, Value::Null));
        }
        Ok((status, serde_json::from_slice(&bytes)?))
    }

    /// A stream of lines.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn stream(&self, path: &str) -> io::Result<Lines> {
        let sent = timeout(PATIENCE, self.send("GET", path, &Value::Null)).await;
        match sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))? {
            (200, lines) => Ok(lines),
            (status, _) => Err(io::Error::other(format!("it answers {status}"))),
        }
    }

    /// Sends a request and reads the answer's head.
    async fn send(&self, method: &str, path: &str, body: &Value) -> io::Result<(u16, Lines)> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let mut request = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\n",
            self.port
        );
        if let Some(token) = &self.token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        if !body.is_empty() {
            request.push_str("Content-Type: application/json\r\n");
        }
        if method != "GET" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(&body);
        socket.write_all(request.as_bytes()).await?;
        let mut lines = Lines(BufReader::new(socket));
        let head = lines.next().await?.unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("it does not speak HTTP"))?;
        while let Some(line) = lines.next().await? {
            if line.is_empty() {
                return Ok((status, lines));
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
