//! The command line of `cib-testkit`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::api::Server;
use crate::log::Log;
use crate::serve::{Work, runtime};

/// The servers and tools of the tests of claude-in-box.
#[derive(Debug, Parser)]
#[command(name = "cib-testkit", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The stand-in for the Anthropic Messages API
    Api(Api),
}

#[derive(Debug, Args)]
struct Api {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Where each request is written as a line of JSON; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    log: PathBuf,
    /// Where the body of each message request is appended as a line
    #[arg(long, value_name = "FILE")]
    bodies: Option<PathBuf>,
}

/// Runs the command line; the process's exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let outcome = match cli.command {
        Command::Api(api) => api.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cib-testkit: {error}");
            ExitCode::from(70)
        }
    }
}

impl Api {
    fn run(&self) -> io::Result<()> {
        let log = named(&self.log, Log::to(&self.log))?;
        let bodies = match &self.bodies {
            Some(path) => Some(named(path, Server::bodies_to(path))?),
            None => None,
        };
        serve(|| Ok(vec![Server::new(log, bodies).bind(self.listen)?]))
    }
}

/// Puts the file's name into an error about it.
fn named<T>(path: &Path, outcome: io::Result<T>) -> io::Result<T> {
    outcome.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Serves until SIGTERM or SIGINT. Both are caught, since a container's first process gets
/// neither by default.
fn serve<F>(bind: F) -> io::Result<()>
where
    F: FnOnce() -> io::Result<Vec<(SocketAddr, Work)>>,
{
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let bound = bind()?;
        for (addr, _) in &bound {
            writeln!(io::stderr(), "cib-testkit: listening on {addr}")?;
        }
        let work = futures_util::future::try_join_all(bound.into_iter().map(|(_, work)| work));
        tokio::select! {
            ended = work => ended.map(drop),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}
