//! The programs that the way out needs: what they are told, and the sockets that they are given.

use std::cell::OnceCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use cib_base::errors::chain;
use cib_redsocks::connect::{CONNECT_PORT, ConnectConfig};
use cib_redsocks::redirector::{NextHop, Redirector, Settings as RedirectorSettings, next_hop};
use cib_redsocks::relay::{RELAY_PORT, RelayConfig};
use cib_redsocks::resolver::ResolverConfig;

use super::install::install;
use super::{EgressError, Inner, NAME, PROXY_UID, Turn, host, services};
use crate::config::Service;
use crate::logs::Level;

/// Sockets that are made before anybody else runs, and kept for as long as the box runs, so
/// that no port is free while its program is down.
#[derive(Debug, Default)]
pub(super) struct Held(OnceCell<Vec<Rc<OwnedFd>>>);

/// A service, and the sockets that it is given at each start.
#[derive(Debug)]
pub struct Program {
    /// The service.
    pub service: Service,
    /// Its sockets, in the order of its arguments.
    pub sockets: Vec<Rc<OwnedFd>>,
}

impl Held {
    /// The sockets for these addresses, made at the first call.
    fn get(&self, tcp: &[SocketAddr], udp: &[SocketAddr]) -> Result<Vec<Rc<OwnedFd>>, EgressError> {
        if let Some(held) = self.0.get() {
            return Ok(held.clone());
        }
        let mut held: Vec<Rc<OwnedFd>> = Vec::new();
        for &address in tcp {
            keep(&mut held, address, TcpListener::bind(address))?;
        }
        for &address in udp {
            keep(&mut held, address, UdpSocket::bind(address))?;
        }
        Ok(self.0.get_or_init(|| held).clone())
    }
}

fn keep(
    held: &mut Vec<Rc<OwnedFd>>,
    address: SocketAddr,
    bound: io::Result<impl Into<OwnedFd>>,
) -> Result<(), EgressError> {
    match bound {
        Ok(socket) => held.push(Rc::new(socket.into())),
        // A box without IPv6 has nobody who could ask there.
        Err(error) if address.is_ipv6() && lacks_family(&error) => {}
        Err(source) => return Err(EgressError::Taken { address, source }),
    }
    Ok(())
}

fn lacks_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
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

    /// Where redirected connections arrive.
    pub(super) fn redirect_to(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.settings.redsocks_port)
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
        self.logs.write(level, NAME, &line);
        if level == Level::Warn {
            self.turn(Turn::Renew);
        }
    }

    pub(super) fn turn(&self, turn: Turn) {
        let gate = self.gate.borrow().clone();
        if let Some(gate) = gate {
            gate(turn);
        }
    }
}
