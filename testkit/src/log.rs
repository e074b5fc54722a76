//! What the servers saw, one JSON object a line, for tests to read back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// One request as a server saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Who asked. This is what proves which way a request came.
    pub peer: SocketAddr,
    /// What was asked, and of which server.
    #[serde(flatten)]
    pub request: Request,
}

/// A request, told apart by the server that got it (`"server"` in the JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "server", rename_all = "lowercase")]
pub enum Request {
    /// The stand-in for the Messages API.
    Api(ApiRequest),
    /// The page server.
    Httpd {
        /// The HTTP method.
        method: String,
        /// The path with its query.
        path: String,
    },
    /// The name server.
    Dns {
        /// The name asked for, without the final dot.
        name: String,
        /// The record type, such as `A`.
        kind: String,
        /// `udp` or `tcp`.
        transport: String,
    },
}

/// A request to the stand-in. It never holds a key or a prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiRequest {
    /// The HTTP method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The status answered.
    pub status: u16,
    /// How the request proved itself: `x-api-key`, `bearer`, or nothing.
    pub auth: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// The reasoning effort asked for.
    pub effort: Option<String>,
    /// How many messages the conversation had.
    pub messages: usize,
    /// How many tools were offered.
    pub tools: usize,
    /// Whether the answer was asked for as a stream.
    pub stream: bool,
    /// Which step of the script was played, counted from 0; nothing when the prompt had none.
    pub step: Option<usize>,
}

/// Where entries go. Clones share one destination.
#[derive(Debug, Clone)]
pub struct Log {
    sink: Arc<Mutex<Sink>>,
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<Entry>),
    File(File),
    Stdout,
}

impl Log {
    /// A log that [`Log::entries`] reads back.
    #[must_use]
    pub fn memory() -> Self {
        Self::with(Sink::Memory(Vec::new()))
    }

    /// A log on standard output, which is where a container's log comes from.
    #[must_use]
    pub fn stdout() -> Self {
        Self::with(Sink::Stdout)
    }

    /// A log appended to `path`; `-` is standard output.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn to(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::stdout());
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self::with(Sink::File(file)))
    }

    fn with(sink: Sink) -> Self {
        Self {
            sink: Arc::new(Mutex::new(sink)),
        }
    }

    /// Adds a request that came from `peer` now.
    ///
    /// # Errors
    /// The destination cannot be written.
    pub fn add(&self, peer: SocketAddr, request: Request) -> io::Result<()> {
        let entry = Entry {
            time_ms: now_ms(),
            peer,
            request,
        };
        let mut line = serde_json::to_string(&entry)?;
        line.push('\n');
        match &mut *self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Memory(entries) => {
                entries.push(entry);
                Ok(())
            }
            Sink::File(file) => file.write_all(line.as_bytes()),
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes())?;
                out.flush()
            }
        }
    }

    /// What a log in memory holds; nothing for the other kinds.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        match &*self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Memory(entries) => entries.clone(),
            Sink::File(_) | Sink::Stdout => Vec::new(),
        }
    }
}

/// The entries in `text`; lines that are not entries are passed over, because a container's
/// output holds both.
#[must_use]
pub fn parse(text: &str) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_its_line() {
        let log = Log::memory();
        let peer = SocketAddr::from(([203, 0, 113, 2], 4711));
        log.add(
            peer,
            Request::Httpd {
                method: "GET".into(),
                path: "/a?b".into(),
            },
        )
        .unwrap();
        let entries = log.entries();
        let line = serde_json::to_string(&entries[0]).unwrap();
        assert!(line.contains(r#""server":"httpd""#), "{line}");
        assert_eq!(parse(&format!("noise\n{line}\n")), entries);
    }
}
