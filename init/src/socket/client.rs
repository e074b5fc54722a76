//! The client of init's socket, for `cib-init status` and other subcommands. Blocking: it is a
//! command's only work.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cib_protocol::init::{InitReply, InitRequest};

/// Where init listens in every box.
pub const PATH: &str = "/run/cib/init.sock";
/// Where it listens for root and control.
pub const OWN_PATH: &str = "/run/cib/init.own.sock";

/// Asks the box that this process is in, at the better of the doors that it may enter.
///
/// # Errors
/// As [`ask`].
pub fn ask_here(request: &InitRequest, within: Duration) -> Result<InitReply, AskError> {
    match ask(Path::new(OWN_PATH), request, within) {
        Err(AskError::Connect { .. }) => ask(Path::new(PATH), request, within),
        other => other,
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "no box answers at {}; is one running here? (docker exec BOX cib-init status)",
        path.display()
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or init was too slow.
    #[error("the box did not answer within {} s", within.as_secs())]
    Exchange {
        /// How long was waited.
        within: Duration,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// What came back is no reply of this version.
    #[error("the box's answer cannot be understood; is it another version?")]
    Reply(#[source] serde_json::Error),
}

/// Asks init one thing.
///
/// # Errors
/// An [`AskError`]; a refusal by init is a reply and no error.
pub fn ask(path: &Path, request: &InitRequest, within: Duration) -> Result<InitReply, AskError> {
    let mut stream = UnixStream::connect(path).map_err(|source| AskError::Connect {
        path: path.to_owned(),
        source,
    })?;
    let answer = exchange(&mut stream, request, within)
        .map_err(|source| AskError::Exchange { within, source })?;
    serde_json::from_str(&answer).map_err(AskError::Reply)
}

fn exchange(
    stream: &mut UnixStream,
    request: &InitRequest,
    within: Duration,
) -> io::Result<String> {
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}
