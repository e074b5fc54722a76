//! `cib-testkit probe`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;

use crate::probe::{Aim, PROBES, Report, run_all, run_here, run_one};

/// Options of `cib-testkit probe`.
#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// The probe, or all; list prints their names
    name: String,
    /// Probe n aims at this address plus n
    #[arg(long, value_name = "IP", default_value = "198.51.100.0")]
    v4: Ipv4Addr,
    /// The same for IPv6
    #[arg(long, value_name = "IP", default_value = "2001:db8:2::")]
    v6: Ipv6Addr,
    /// The proxy that the box may speak to
    #[arg(long, value_name = "ADDR", default_value = "192.0.2.1:1080")]
    proxy: SocketAddr,
    /// Another machine on the box's own network
    #[arg(long, value_name = "IP", default_value = "192.0.2.1")]
    neighbour: Ipv4Addr,
    /// The interface that leads out
    #[arg(long, value_name = "NAME", default_value = "eth0")]
    device: String,
    /// Let probes delete every nftables rule, if they can: only where the rules are the box's
    #[arg(long)]
    may_flush: bool,
    /// Run the probe in this process instead of one of its own
    #[arg(long)]
    here: bool,
}

impl ProbeArgs {
    /// Prints one report a line, as JSON.
    pub(super) fn run(&self) -> io::Result<()> {
        let aim = Aim {
            v4: self.v4,
            v6: self.v6,
            proxy: self.proxy,
            neighbour: self.neighbour,
            device: self.device.clone(),
            may_flush: self.may_flush,
        };
        let mut out = io::stdout().lock();
        let mut print = |report: Report| {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
            out.flush()
        };
        let report = match self.name.as_str() {
            "all" => return run_all(&aim, print),
            "list" => {
                return PROBES
                    .iter()
                    .try_for_each(|probe| writeln!(out, "{}", probe.name));
            }
            name if self.here => run_here(name, &aim),
            name => run_one(name, &aim)?,
        };
        match report {
            Some(report) => print(report),
            None => {
                let unknown = format!("no probe is called {}; list prints them all", self.name);
                Err(io::Error::new(io::ErrorKind::InvalidInput, unknown))
            }
        }
    }
}
