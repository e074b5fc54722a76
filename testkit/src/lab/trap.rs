//! A lab in which whatever leaves the box past its proxy is caught and seen.
//!
//! The box shares the network namespace of `holder`, whose default routes lead to `sink`: a
//! machine on the same network that swallows everything. So a leaking packet really goes over
//! the bridge, where the sniffer sees it, and still never leaves the engine's machine.

use std::net::{IpAddr, Ipv6Addr};

use super::{BOX, CLIENT, Lab, PROXY};
use crate::engine::{Container, Engine, Network, Packet, Sniffer, Spec};
use crate::probe::Aim;
use crate::socks::Kind;

/// The Internet by IPv6, where nobody answers. By IPv4 the upper half of the world's network stands
/// for it: `world` answers at each of its addresses.
const EVERYWHERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0);

const GATEWAY: u8 = 1;
const SINK: u8 = 5;

/// Where the kit's program is put into a box.
pub const PROGRAM: &str = "/opt/cib-testkit";

/// A lab with a sniffer and a sink.
#[derive(Debug)]
pub struct Trap {
    sniffer: Sniffer,
    /// Owns the network namespace of the box.
    pub holder: Container,
    sink: Container,
    /// Everything else.
    pub lab: Lab,
    device: String,
}

impl Trap {
    /// Sets the trap.
    ///
    /// # Panics
    /// Something does not start.
    #[must_use]
    pub fn new() -> Self {
        let engine = Engine::get();
        let inside = Network::internal_dual(engine);
        let proxy = inside.addr(PROXY).into();
        let lab = Lab::on(inside, Network::public_wide(engine), Kind::Dante, proxy);
        let idle = |role: &str| {
            engine
                .kit(role)
                .option("--entrypoint", "sleep")
                .arguments(["infinity"])
        };
        let sink = idle("sink").on(&lab.inside, SINK).start();
        let holder = idle("holder")
            .on(&lab.inside, BOX)
            .on(&lab.clients, BOX)
            .start();
        let everywhere = lab.outside.upper_half();
        route(&lab.world, &format!("local {everywhere}/25 dev lo"));
        route(&holder, &format!("default via {}", lab.inside.addr(SINK)));
        if let Some(sink6) = lab.inside.addr6(SINK) {
            route(&holder, &format!("default via {sink6}"));
        }
        let find = format!(
            "ip -br -4 addr | grep -w {} | cut -d@ -f1",
            lab.box_inside()
        );
        let device = holder.sh(&find).trim().to_owned();
        let sniffer = Sniffer::start(engine, &lab.inside);
        Self {
            sniffer,
            holder,
            sink,
            lab,
            device,
        }
    }

    /// A box in the trap that leaves through the proxy, made but not started, with the kit's
    /// program in it.
    ///
    /// # Panics
    /// The engine refuses.
    #[must_use]
    pub fn a_box(&self, with: impl FnOnce(Spec) -> Spec) -> Container {
        let spec = self.lab.proxied(self.lab.authorized(Engine::get().a_box()));
        let network = format!("container:{}", self.holder.name());
        let cage = with(spec.option("--network", &network)).create();
        cage.copy_from(&self.holder, "/usr/bin/cib-testkit", "/opt");
        cage
    }

    /// Where probes have to aim to be caught.
    #[must_use]
    pub fn aim(&self) -> Aim {
        Aim {
            v4: self.lab.outside.upper_half(),
            v6: EVERYWHERE6,
            proxy: self.lab.proxy_inside(),
            neighbour: self.lab.inside.addr(SINK),
            device: self.device.clone(),
            may_flush: true,
        }
    }

    /// Every packet so far that left past the proxy.
    #[must_use]
    pub fn leaks(&self) -> Vec<Packet> {
        let net = &self.lab.inside;
        let others: Vec<String> = [GATEWAY, PROXY, CLIENT, SINK]
            .into_iter()
            .flat_map(|n| [Some(IpAddr::V4(net.addr(n))), net.addr6(n).map(IpAddr::V6)])
            .flatten()
            .map(|addr| addr.to_string())
            .collect();
        let proxy = self.lab.proxy_inside();
        let proxy = format!("{}.{}", proxy.ip(), proxy.port());
        let until_now = self.sniffer.packets_until_now(&self.sink, &gateway(net));
        let stray = |packet: &Packet| {
            !packet.is_tcp_to(&proxy) && !others.iter().any(|other| packet.is_from(other))
        };
        until_now.into_iter().filter(stray).collect()
    }

    /// What leaks while `work` is done.
    #[must_use]
    pub fn leaks_during<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Packet>) {
        let before = self.leaks().len();
        let done = work();
        (done, self.leaks().split_off(before))
    }
}

impl Default for Trap {
    fn default() -> Self {
        Self::new()
    }
}

fn gateway(net: &Network) -> String {
    net.addr(GATEWAY).to_string()
}

/// Adds a route to a container's namespace. Privileged, since containers may not by themselves.
#[track_caller]
fn route(container: &Container, route: &str) {
    let mut command = vec!["ip"];
    if route.contains("::") {
        command.push("-6");
    }
    command.extend(["route", "add"]);
    command.extend(route.split(' '));
    let added = container.exec_privileged(&command);
    assert_eq!(
        added.code,
        0,
        "{route} in {}: {}",
        container.name(),
        added.stderr
    );
}
