//! `cib-testkit attack`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::attack::{Aim, attacks, plants, run};

/// Options of `cib-testkit attack`.
#[derive(Debug, Args)]
pub(super) struct AttackArgs {
    /// The attack, or all; list prints their names
    name: String,
    /// The box's data folder
    #[arg(long, value_name = "DIR", default_value = "/var/lib/claude-in-box")]
    data: PathBuf,
    /// The box's folder of what dies with it
    #[arg(long, value_name = "DIR", default_value = "/run/cib")]
    run: PathBuf,
    /// A live session that is not the attacker's
    #[arg(long, value_name = "ID", default_value = "none")]
    session: String,
    /// The API's port
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
    /// A file that holds a secret
    #[arg(long = "secret-file", value_name = "FILE")]
    secret_files: Vec<PathBuf>,
    /// A secret that must not be found
    #[arg(long = "secret", value_name = "TEXT")]
    secrets: Vec<String>,
}

impl AttackArgs {
    /// Prints one report a line, as JSON.
    pub(super) fn run(self) -> io::Result<()> {
        let mut out = io::stdout();
        let aim = Aim {
            data: self.data,
            run: self.run,
            session: self.session,
            port: self.port,
            secret_files: self.secret_files,
            secrets: self.secrets,
        };
        let known = attacks().iter().chain(plants());
        if self.name == "list" {
            for attack in known {
                writeln!(out, "{} {}", attack.kind, attack.name)?;
            }
            return Ok(());
        }
        let mut chosen = known
            .filter(|attack| attack.name == self.name || (self.name == "all" && !attack.holds))
            .peekable();
        if chosen.peek().is_none() {
            let unknown = format!("no attack is called {}; list prints them all", self.name);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, unknown));
        }
        for attack in chosen {
            let report = run(attack, &aim);
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
            out.flush()?;
        }
        Ok(())
    }
}
