//! The programs that the way out needs, and what they are told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use cib_redsocks::{NextHop, Redirector, Settings as RedirectorSettings, next_hop};
use cib_resolver::ResolverConfig;
use cib_upstream::connect::{CONNECT_PORT, ConnectConfig};
use cib_upstream::relay::{RELAY_PORT, RelayConfig};

use super::error::EgressError;
use super::inner::Inner;
use super::install::install;
use super::machine::RedirectorCommand;
use super::services::PROXY_UID;
use super::{host, services};
use crate::config::Service;
use crate::logs::Level;
use cib_base::errors::chain;

/// A service, and the sockets that it is given at each start.
#[derive(Debug)]
pub struct Program {
    /// The service.
    pub service: Service,
    /// Its sockets, in the order of its arguments.
    pub sockets: Vec<Rc<OwnedFd>>,
}

impl Inner {
    /// Whether redsocks cannot reach any of these addresses by itself.
    pub(super) fn needs_relay<'a>(&self, pinned: impl IntoIterator<Item = &'a IpAddr>) -> bool {
        !pinned
            .into_iter()
            .any(|address| self.redirector.can_reach(address.to_canonical()))
    }

    /// Writes what the programs have to know, and gives them in start order.
    pub(super) fn programs(&self, bin: &Path) -> Result<Vec<Program>, EgressError> {
        let addresses = self.machine.borrow().pinned().to_vec();
        let write = |path: &Path, bytes: &[u8]| install(path, bytes, PROXY_UID, PROXY_UID);
        if !self.settings.mode.locks() {
            let path = self.run.join("connect/connect.json");
            let config = ConnectConfig::new(self.upstream.clone(), addresses);
            write(&path, &serde_json::to_vec(&config)?)?;
            let sockets = self
                .held
                .get(&[(Ipv4Addr::LOCALHOST, CONNECT_PORT).into()], &[])?;
            let service = services::connect(&bin.join("cib-connect"), &path, sockets.len());
            return Ok(vec![Program { service, sockets }]);
        }
        let port = self.upstream.port();
        let hop = next_hop(&self.redirector, &addresses, port, RELAY_PORT);
        let settings = RedirectorSettings {
            upstream: &self.upstream,
            next_hop: hop.address(),
            listen: self.redirect_to(),
            nofile: host::hard_limit_of_files(),
        };
        let redirector_path = self.run.join("redsocks/redsocks.conf");
        write(&redirector_path, &self.redirector.configuration(&settings)?)?;
        let resolver_path = self.run.join("resolver/resolver.json");
        let config = self.resolver_config(addresses, hop);
        write(&resolver_path, &serde_json::to_vec(&config)?)?;
        let doors: Vec<SocketAddr> = [&config.listen_docker[..], &config.listen_any].concat();
        let relay = config.relay.iter().map(|relay| relay.listen);
        let listeners: Vec<SocketAddr> = doors.iter().copied().chain(relay).collect();
        let sockets = self.held.get(&listeners, &doors)?;
        let resolver = bin.join("cib-resolver");
        let resolver = services::resolver(&resolver, &resolver_path, sockets.len());
        // The relay, if there is one, is in the resolver.
        Ok(vec![
            Program {
                service: resolver,
                sockets,
            },
            Program {
                service: services::redirector(&self.redirector, &settings, &redirector_path),
                sockets: Vec::new(),
            },
        ])
    }

    fn resolver_config(&self, addresses: Vec<IpAddr>, hop: NextHop) -> ResolverConfig {
        let settings = &self.settings;
        let mut config = ResolverConfig::new(self.upstream.clone(), addresses);
        if !settings.dns_servers.is_empty() {
            config.servers.clone_from(&settings.dns_servers);
        }
        config.local_names.clone_from(&settings.local_names);
        if let NextHop::Relay(listen) = hop {
            config.relay = Some(RelayConfig {
                listen: listen.into(),
                connections: 1024,
            });
        }
        config
    }

    /// Has redsocks and the resolver use another address of the upstream.
    pub(super) fn renew(&self, address: IpAddr) {
        if !self.settings.mode.locks() {
            return;
        }
        let bin = self.bin.borrow().clone();
        let (level, line) = match self.programs(&bin) {
            Ok(_) => (
                Level::Warn,
                format!(
                    "the proxy {} is used at its address {address} from now on: the one before \
                     does not answer",
                    self.upstream.endpoint(),
                ),
            ),
            Err(fault) => (Level::Error, chain(&fault)),
        };
        self.log(level, &line);
        if level == Level::Warn {
            self.command(RedirectorCommand::Restart);
        }
    }

    pub(super) fn command(&self, command: RedirectorCommand) {
        let control = self.redirector_control.borrow().clone();
        if let Some(control) = control {
            control(command);
        }
    }
}
