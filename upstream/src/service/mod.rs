//! What the two programs share: their command line, readiness and signals.

pub mod level;
mod options;
mod sockets;

use std::ffi::OsString;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use cib_base::errors;
use cib_base::log::{self, Format, LevelFilter};
use cib_foreign::own;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

pub use options::Program;
use options::{Command, Options};
pub use sockets::Sockets;

use crate::sys;

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;
/// `EX_SOFTWARE`.
const INTERNAL: u8 = 70;
/// `EX_CONFIG`.
const CONFIGURATION: u8 = 78;

/// Why a program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// A port is taken, or may not be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The parent that wants to hear of readiness is gone.
    #[error("cannot report readiness")]
    Ready(#[source] io::Error),
}

/// The descriptor that the parent listens on for readiness, if there is one.
#[derive(Debug)]
pub struct Ready(Option<File>);

impl Ready {
    /// One that tells nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self(None)
    }

    /// Writes a newline and closes the descriptor.
    ///
    /// # Errors
    ///
    /// Those of writing, such as `EPIPE` when the parent does not listen any more.
    pub fn report(self) -> io::Result<()> {
        match self.0 {
            Some(mut file) => file.write_all(b"\n"),
            None => Ok(()),
        }
    }
}

/// The whole of a program: reads the command line and the JSON configuration, runs `serve`
/// on one thread until SIGTERM or SIGINT, and gives the exit status: 0 after a signal, 64
/// for a wrong command line, 78 for a configuration that cannot be read, 70 for all else.
pub fn run<C, E, F>(
    program: &Program,
    args: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(C, Ready, Sockets) -> F,
) -> ExitCode
where
    C: DeserializeOwned,
    E: std::error::Error,
    F: Future<Output = Result<(), E>>,
{
    let options = match options::parse(args) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => return say(&options::help(program)),
        Ok(Command::Version) => {
            return say(&format!("{} {}\n", program.name, env!("CARGO_PKG_VERSION")));
        }
        Err(fault) => {
            return fail(USAGE, &format!("{fault}; see {} --help", program.name));
        }
    };
    let (config, ready, sockets) = match prepare(&options) {
        Ok(prepared) => prepared,
        Err((code, fault)) => return fail(code, &fault),
    };
    match serve_until_signal(serve(config, ready, sockets)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fail(INTERNAL, &fault),
    }
}

/// Says why the program ends, also when it ends before it knew what it is to log.
fn fail(code: u8, fault: &str) -> ExitCode {
    log::begin(Format::Text, LevelFilter::ERROR);
    tracing::error!("{fault}");
    ExitCode::from(code)
}

/// Prints what was asked for to standard output.
fn say(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(INTERNAL),
    }
}

fn prepare<C: DeserializeOwned>(options: &Options) -> Result<(C, Ready, Sockets), (u8, String)> {
    // This comes first, while no other file can have got these numbers.
    let ready = match options.ready_fd {
        Some(number) => {
            Some(sys::adopt(number).map_err(|e| (USAGE, format!("--ready-fd {number}: {e}")))?)
        }
        None => None,
    };
    let mut sockets = Vec::new();
    for &number in &options.sockets {
        let socket = sys::adopt(number).map_err(|e| (USAGE, format!("--socket {number}: {e}")))?;
        sockets.push(socket.into());
    }
    let config = read(&options.config).map_err(|fault| (CONFIGURATION, fault))?;
    raise_file_limit();
    Ok((config, Ready(ready), Sockets::new(sockets)))
}

fn read<C: DeserializeOwned>(path: &Path) -> Result<C, String> {
    let text = read_secret(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The buffer has its whole size at once: one that grows leaves copies of the password behind.
fn read_secret(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = own::open(path)?;
    let size = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(size + 1));
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// Containers start with a soft limit of 1024. Where it cannot be raised, it stays.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn serve_until_signal<E: std::error::Error>(
    serve: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let signals = signals().map_err(|error| format!("cannot watch for signals: {error}"))?;
        tokio::select! {
            ended = serve => ended.map_err(|fault| errors::chain(&fault)),
            _ = signals.readable() => Ok(()),
        }
    })
}

/// A socket that becomes readable when SIGTERM or SIGINT arrives. One socket serves both signals;
/// Tokio's own signals would need a driver and a channel for each.
fn signals() -> io::Result<UnixStream> {
    let (come, told) = std::os::unix::net::UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, told.try_clone()?)?;
    }
    come.set_nonblocking(true)?;
    UnixStream::from_std(come)
}
