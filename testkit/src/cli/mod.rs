//! The command line of `cib-testkit`.

mod attack;
mod probe;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cib_base::errors::chain;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::api::Server;
use crate::dns::lookup::{Transport, lookup};
use crate::dns::{self, Zone};
use crate::forge;
use crate::hold::Held;
use crate::httpd;
use crate::log::Log;
use crate::serve::{Work, runtime};
use crate::wait::wait_until;

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
    /// The stand-in for GitHub, GitLab and Gitea
    Forge(Forge),
    /// A page server: every path answers "page PATH"
    Httpd(Httpd),
    /// A name server with a fixed zone, over UDP and TCP
    Dns(Dns),
    /// All three servers in one process, with one log
    World(World),
    /// Asks one name server for a name and prints its addresses
    Lookup(Lookup),
    /// Keeps connections to a web server open, and uses them again when told to
    Hold(Hold),
    /// Tries to leave the box past its proxy, and says how it went
    Probe(probe::ProbeArgs),
    /// Tries what an agent could do to its box, and says what it got
    Attack(attack::AttackArgs),
    /// Joins standard input and output to a TCP connection
    Pipe(Pipe),
}

#[derive(Debug, Args)]
struct Api {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    #[command(flatten)]
    log: LogTo,
    /// Where the body of each message request is appended as a line
    #[arg(long, value_name = "FILE")]
    bodies: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Forge {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8002")]
    listen: SocketAddr,
    /// The folder of its repositories
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
}

#[derive(Debug, Args)]
struct Httpd {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8001")]
    listen: SocketAddr,
    #[command(flatten)]
    log: LogTo,
}

#[derive(Debug, Args)]
struct Dns {
    /// Where to listen, over UDP and TCP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5300")]
    listen: SocketAddr,
    #[command(flatten)]
    zone: Names,
    #[command(flatten)]
    log: LogTo,
}

#[derive(Debug, Args)]
struct World {
    /// Where the stand-in for the Messages API listens
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8000")]
    api: SocketAddr,
    /// Where the page server listens
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:80")]
    httpd: SocketAddr,
    /// Where the name server listens
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:53")]
    dns: SocketAddr,
    #[command(flatten)]
    zone: Names,
    #[command(flatten)]
    log: LogTo,
}

#[derive(Debug, Args)]
struct Lookup {
    /// The name
    name: String,
    /// Whom to ask
    #[arg(long, value_name = "ADDR")]
    server: SocketAddr,
    /// Ask over TCP instead of UDP
    #[arg(long)]
    tcp: bool,
    /// Ask for IPv6 addresses instead of IPv4 ones
    #[arg(long)]
    v6: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    deadline: u64,
}

#[derive(Debug, Args)]
struct Hold {
    /// The web server
    #[arg(long, value_name = "ADDR")]
    to: SocketAddr,
    /// How many connections
    #[arg(long, value_name = "N")]
    count: usize,
    /// The file whose appearance tells to use them again, and then to close them
    #[arg(long, value_name = "FILE")]
    go: PathBuf,
    /// Only close them then, some with their last words in the closing packet
    #[arg(long)]
    late: bool,
}

#[derive(Debug, Args)]
struct Pipe {
    /// Whom to connect to
    #[arg(value_name = "HOST:PORT")]
    to: String,
}

#[derive(Debug, Args)]
struct LogTo {
    /// Where each request is written as a line of JSON; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    log: PathBuf,
}

#[derive(Debug, Args)]
struct Names {
    /// A name and its addresses; repeatable
    #[arg(long = "zone", value_name = "NAME=IP[,IP...]")]
    zone: Vec<String>,
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
        Command::Forge(forge) => serve(|| Ok(vec![forge::bind(forge.listen, &forge.root)?])),
        Command::Httpd(pages) => pages.run(),
        Command::Dns(names) => names.run(),
        Command::World(world) => world.run(),
        Command::Lookup(lookup) => lookup.run(),
        Command::Hold(hold) => hold.run(),
        Command::Probe(probe) => probe.run(),
        Command::Attack(attack) => attack.run(),
        Command::Pipe(pipe) => pipe.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cib-testkit: {}", chain(&error));
            ExitCode::from(70)
        }
    }
}

impl Api {
    fn run(&self) -> io::Result<()> {
        let log = self.log.open()?;
        let bodies = match &self.bodies {
            Some(path) => Some(named(path, Server::bodies_to(path))?),
            None => None,
        };
        serve(|| Ok(vec![Server::new(log, bodies).bind(self.listen)?]))
    }
}

impl Httpd {
    fn run(&self) -> io::Result<()> {
        let log = self.log.open()?;
        serve(|| Ok(vec![httpd::bind(self.listen, log)?]))
    }
}

impl Dns {
    fn run(&self) -> io::Result<()> {
        let (log, zone) = (self.log.open()?, self.zone.read()?);
        serve(|| Ok(vec![dns::bind(self.listen, zone, log)?]))
    }
}

impl World {
    fn run(&self) -> io::Result<()> {
        let (log, zone) = (self.log.open()?, self.zone.read()?);
        serve(|| {
            Ok(vec![
                Server::new(log.clone(), None).bind(self.api)?,
                httpd::bind(self.httpd, log.clone())?,
                dns::bind(self.dns, zone, log)?,
            ])
        })
    }
}

impl Lookup {
    fn run(&self) -> io::Result<()> {
        let transport = if self.tcp {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let deadline = Duration::from_secs(self.deadline);
        let found = lookup(self.server, transport, &self.name, self.v6, deadline)
            .map_err(io::Error::other)?;
        let mut out = io::stdout().lock();
        found.iter().try_for_each(|addr| writeln!(out, "{addr}"))
    }
}

impl Hold {
    fn run(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let mut held = Held::open(self.to, self.count);
        writeln!(out, "holding {}", held.alive())?;
        out.flush()?;
        wait_until(Duration::from_secs(3600), "the word to go on", || {
            self.go.exists()
        });
        if self.late {
            held.close_late()?;
        } else {
            held.use_again();
            writeln!(out, "answered again {}", held.alive())?;
        }
        writeln!(out, "closed")
    }
}

impl Pipe {
    /// Ends when the other side has closed; the end of standard input closes our direction.
    fn run(&self) -> io::Result<()> {
        let stream = TcpStream::connect(&self.to)?;
        let mut up = stream.try_clone()?;
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut up);
            let _ = up.shutdown(Shutdown::Write);
        });
        let (mut down, mut out) = (stream, io::stdout().lock());
        let mut buffer = vec![0; 64 << 10];
        loop {
            match down.read(&mut buffer)? {
                0 => return Ok(()),
                len => out.write_all(&buffer[..len])?,
            }
            out.flush()?;
        }
    }
}

impl LogTo {
    fn open(&self) -> io::Result<Log> {
        named(&self.log, Log::to(&self.log))
    }
}

impl Names {
    fn read(&self) -> io::Result<Zone> {
        Zone::parse(self.zone.iter().map(String::as_str)).map_err(io::Error::other)
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
