//! One question and its answer as lines of JSON over a Unix socket, as init and keepers speak.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::error::Elapsed;

/// An answer is at most this long, in bytes; the longest is init's status.
const MAX_REPLY: u64 = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Nobody listens on the socket.
    #[error("nobody listens on {path}")]
    Absent {
        /// The socket.
        path: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The question is longer than the other side takes.
    #[error("the line has {length} bytes, and {max} are taken")]
    TooLong {
        /// Its length.
        length: usize,
        /// The most that is taken.
        max: usize,
    },
    /// The connection broke.
    #[error("the connection to {path} broke")]
    Io {
        /// The socket.
        path: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// No answer came in time.
    #[error("{path} did not answer in time")]
    Late {
        /// The socket.
        path: String,
        /// The clock's answer.
        #[source]
        source: Elapsed,
    },
    /// The answer is not one.
    #[error("{path} answered with something else")]
    Garbled {
        /// The socket.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Asks one question. If this is dropped before the line was written whole, the other side
/// refuses the piece; afterwards it acts whether or not anybody waits.
///
/// # Errors
/// See [`LineError`].
pub async fn ask<Q, A>(
    path: &Path,
    question: &Q,
    max: usize,
    within: Duration,
) -> Result<A, LineError>
where
    Q: Serialize + Sync,
    A: DeserializeOwned,
{
    let shown = || path.display().to_string();
    let garbled = |source| LineError::Garbled {
        path: shown(),
        source,
    };
    let mut line = serde_json::to_vec(question).map_err(garbled)?;
    line.push(b'\n');
    if line.len() > max {
        return Err(LineError::TooLong {
            length: line.len(),
            max,
        });
    }
    let conversation = async {
        let mut stream = UnixStream::connect(path)
            .await
            .map_err(|source| LineError::Absent {
                path: shown(),
                source,
            })?;
        let exchange = async {
            stream.write_all(&line).await?;
            let mut reply = Vec::new();
            let mut limited = BufReader::with_capacity(1024, &mut stream).take(MAX_REPLY);
            limited.read_until(b'\n', &mut reply).await?;
            if reply.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(reply)
        };
        exchange.await.map_err(|source| LineError::Io {
            path: shown(),
            source,
        })
    };
    let reply = tokio::time::timeout(within, conversation)
        .await
        .map_err(|source| LineError::Late {
            path: shown(),
            source,
        })??;
    serde_json::from_slice(&reply).map_err(garbled)
}
